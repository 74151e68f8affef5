"""Reading how a sweep stands: what is opened, what is not, and what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.sweeps.control import Wish, write_control
from hpctrack.sweeps.results.status import SweepReader, read_status
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sweeps.worker.trial_runs import TrialRuns
from tests.stores import FakeClock
from tests.unit.sweeps.results.made_sweeps import make_sweep, run_all, say, write_run


def test_a_trial_that_said_its_metric_needs_no_run_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.5)
    say(sweep, 1, TrialState.FINISHED)
    for number in (0, 1):
        write_run(sweep, number, {"loss": [0.9, 0.7]})
    opened: list[int] = []
    read = TrialRuns.read

    def count(runs: TrialRuns, number: int) -> object:
        opened.append(number)
        return read(runs, number)

    monkeypatch.setattr(TrialRuns, "read", count)
    status = read_status(sweep)
    assert opened == [1]
    assert [one.metric for one in status.trials] == [0.5, 0.7]
    assert [one.has_run for one in status.trials] == [True, True]
    assert [one.run_state for one in status.trials] == ["", "finished"]


def test_what_is_final_is_read_once(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.5)
    say(sweep, 1, TrialState.FAILED, exit_code=1)
    reader = SweepReader(sweep)
    first = reader.read()
    say(sweep, 1, TrialState.FINISHED, loss=0.1, attempt=2)  # tried again
    sweep.folder.trial(0).write_text("not looked at any more")
    second = reader.read()
    assert second.trials[0] is first.trials[0]
    assert [one.state.value for one in second.trials] == ["finished", "finished"]
    assert second.trials[1].metric == 0.1


def test_a_rank_that_fails_late_makes_a_finished_trial_a_failed_one(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.5)
    reader = SweepReader(sweep)
    assert reader.read().trials[0].state == TrialState.FINISHED
    say(sweep, 0, TrialState.FAILED, rank=3, exit_code=9)
    assert reader.read().trials[0].exit_code == 9
    assert reader.read().trials[0].state == TrialState.FAILED


def test_pruned_and_stopped_trials_are_over_and_counted(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, run_cap=5)
    say(sweep, 0, TrialState.FINISHED, loss=1.0)
    say(sweep, 1, TrialState.PRUNED, loss=2.0)
    say(sweep, 2, TrialState.STOPPED)
    status = read_status(sweep)
    assert status.over_count == 3
    assert status.open_count == 2
    assert {name: count for name, count in status.counts().items() if count} == {
        "finished": 1, "pruned": 1, "stopped": 1,
    }  # fmt: skip
    assert not status.is_done
    write_control(sweep.folder, Wish.STOP)
    assert read_status(sweep).is_done


def test_cost_and_time_left_are_in_the_status(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, run_cap=10)
    run_all(sweep, 6, pruned=(1, 4))
    say(sweep, 6, TrialState.RUNNING, started_wall_s=5000.0, host="elsewhere")
    clock = FakeClock(now_s=5010.0)
    as_json = read_status(sweep, clock=clock.clock()).to_json()
    assert as_json["cost"]["used_s"] == pytest.approx(4 * 60 + 2 * 20 + 10)
    assert as_json["cost"]["saved_s"] == pytest.approx(2 * 40)
    assert as_json["cost"]["saved_gpu_hours"] == pytest.approx(80 / 3600)
    mean_s = (4 * 60 + 2 * 20) / 6
    assert as_json["eta_s"] == pytest.approx(3 * mean_s + mean_s - 10)
    assert as_json["over"] == 6


def test_the_log_of_a_trial_is_its_own(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=1.0)
    say(sweep, 1, TrialState.FINISHED, loss=1.0)
    sweep.folder.log(1).parent.mkdir()
    sweep.folder.log(1).write_text("hello\n")
    assert [one.log for one in read_status(sweep).trials] == ["", str(sweep.folder.log(1))]


def test_repeats_know_their_configuration(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=3, run_cap=9)
    for number in (0, 4, 8):
        say(sweep, number, TrialState.FINISHED, loss=1.0)
    trials = read_status(sweep).trials
    assert [(one.configuration, one.repeat) for one in trials] == [(0, 0), (1, 1), (2, 2)]
