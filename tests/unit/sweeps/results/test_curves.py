"""How the metric went in each trial: from the study, from runs, or both."""

from __future__ import annotations

from pathlib import Path

from hpctrack.sweeps.results.curves import read_curves
from hpctrack.sweeps.results.early_stop_report import (
    count_workers,
    find_finished,
    report_early_stop,
)
from hpctrack.sweeps.results.records import read_records
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.search.point import PointRecord, PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.worker.result import TrialState
from tests.unit.sweeps.results.made_sweeps import make_sweep, say, write_run


def make_record(number: int, curve: dict[int, float]) -> PointRecord:
    return PointRecord(
        number=number,
        configuration=number,
        state=PointState.FINISHED,
        parameters={},
        curve=tuple(curve.items()),
    )


def test_a_run_counts_the_steps_at_which_it_logged_the_metric(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.PRUNED, loss=0.7, iterations=3)
    say(sweep, 1, TrialState.FINISHED, loss=0.5)
    write_run(sweep, 0, {"loss": [0.9, 0.8, 0.7], "other": [1.0]}, stride=10)
    (curve,) = read_curves(read_status(sweep))
    assert curve.iterations.tolist() == [1, 2, 3]
    assert curve.steps.tolist() == [0, 10, 20]
    assert curve.values.tolist() == [0.9, 0.8, 0.7]
    assert curve.is_complete
    assert curve.to_json()["state"] == "pruned"
    assert [row["value"] for row in curve.iter_rows()] == [0.9, 0.8, 0.7]


def test_what_the_study_has_whole_is_not_read_again_from_a_run(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    for number in range(2):
        say(sweep, number, TrialState.FINISHED, loss=0.5, iterations=4)
        write_run(sweep, number, {"loss": [9.0, 9.0, 9.0, 9.0]})
    records = [
        make_record(0, {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.5}),
        make_record(1, {1: 0.9, 3: 0.5}),
    ]
    whole, thinned = read_curves(read_status(sweep), records)
    assert whole.values.tolist() == [0.9, 0.8, 0.7, 0.5]
    assert thinned.values.tolist() == [9.0] * 4
    whole, thinned = read_curves(read_status(sweep), records, needs_steps=True)
    assert whole.steps.tolist() == [0, 1, 2, 3]
    whole, thinned = read_curves(read_status(sweep), records, reads_runs=False)
    assert thinned.iterations.tolist() == [1, 3]
    assert not thinned.is_complete
    assert [row["step"] for row in thinned.iter_rows()] == [None, None]


def test_a_curve_that_ends_before_its_trial_did_is_not_whole(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.5, iterations=30)
    (curve,) = read_curves(read_status(sweep), [make_record(0, {1: 0.9, 2: 0.8})])
    assert not curve.is_complete
    assert find_finished(read_status(sweep), [curve]) == []


def test_repeats_have_curves_of_their_own_from_their_runs(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=2, run_cap=4)
    for number in range(2):
        say(sweep, number, TrialState.FINISHED, loss=0.5)
        write_run(sweep, number, {"loss": [float(number)]})
    curves = read_curves(read_status(sweep), [make_record(0, {1: 5.0})])
    assert [one.values.tolist() for one in curves] == [[0.0], [1.0]]
    assert [one.configuration for one in curves] == [0, 0]


def test_another_metric_is_read_from_the_runs(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.5)
    write_run(sweep, 0, {"loss": [0.5], "accuracy": [0.1, 0.2]})
    status = read_status(sweep)
    (curve,) = read_curves(status, [make_record(0, {1: 0.5})], metric="accuracy")
    assert curve.values.tolist() == [0.1, 0.2]
    assert read_curves(status, metric="never-logged") == []


def test_the_study_is_read_where_there_is_one_and_not_made_where_there_is_none(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path)
    assert read_records(sweep) == []
    assert not sweep.folder.journal.exists()
    with Search.open(sweep) as search:
        point = search.ask(0)
        for iteration in (1, 2):
            search.report(point.number, iteration, 1.0 / iteration)
        search.tell(point.number, PointState.FINISHED, (0.5,))
    say(sweep, 0, TrialState.FINISHED, loss=0.5, iterations=2)
    (record,) = read_records(sweep)
    assert record.curve == ((1, 1.0), (2, 0.5))
    (curve,) = read_curves(read_status(sweep), [record])
    assert curve.is_complete


def test_a_report_of_early_stopping_is_made_from_a_sweep(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, early_terminate={"type": "hyperband", "min_iter": 3})
    records = []
    for number in range(12):
        level = number / 12
        curve = {at: level + 1 / at for at in range(1, 10)}
        records.append(make_record(number, curve))
        say(sweep, number, TrialState.FINISHED, loss=curve[9], iterations=9)
    say(sweep, 12, TrialState.PRUNED, loss=2.0, iterations=1)
    status = read_status(sweep)
    assert count_workers(status) == 4
    found = report_early_stop(status, read_curves(status, records))
    assert (found.curves, found.pruned) == (12, 1)
    assert [one.iteration for one in found.rungs] == [1, 2, 4, 8]
    assert all(one.spearman > 0.999 for one in found.rungs)
    assert found.replays[0].rule == "hyperband of the sweep"
    assert len(found.replays) == 4
    assert all(one.regret == 0 and one.found_trial == 0 for one in found.replays)
    assert found.to_json()["replays"][1]["saved_share"] > 0
