"""Judgements that need no process: time left, how an attempt ended, what repeats come to."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hpctrack.sweeps.schema.sweep_file import SweepFile, parse_sweep_config
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.worker.child import ChildEnd
from hpctrack.sweeps.worker.ending import sum_up
from hpctrack.sweeps.worker.iterations import IterationCounter
from hpctrack.sweeps.worker.result import (
    TrialResult,
    TrialState,
    read_result,
    read_results,
    write_result,
)
from hpctrack.sweeps.worker.time_left import LEAVE_S, TimeLeft, estimate_s
from hpctrack.sweeps.worker.trial import judge_end
from tests.trials import HandClock, make_sweep

RUNNING = TrialResult(trial=0, state=TrialState.RUNNING, attempt=1)


def test_steps_are_numbered_in_their_order_and_keep_their_numbers() -> None:
    counter = IterationCounter()
    assert [counter.count(step) for step in (0, 10, 20, 20, 10, 15, 30)] == [1, 2, 3, 3, 2, 3, 5]
    assert len(counter) == 5
    again = IterationCounter([0, 10, 20, 20])
    assert [again.count(step) for step in (10, 20, 30)] == [2, 3, 4]


def test_a_trial_takes_what_nine_of_ten_have_taken_and_a_tenth_more() -> None:
    assert estimate_s([]) is None
    assert estimate_s([10.0]) == pytest.approx(11.0)
    assert estimate_s([1.0] * 8 + [100.0] * 2) == pytest.approx(110.0)
    assert estimate_s([10.0] * 99 + [1000.0]) == pytest.approx(11.0)


def test_a_trial_begins_only_if_it_can_end_in_time() -> None:
    hand = HandClock()
    left = TimeLeft({}, clock=hand.clock, limit_s=1000.0)
    assert left.has_room([])
    assert left.has_room([100.0])
    hand.now_s += 1000 - 110 - LEAVE_S - 0.5
    assert left.has_room([100.0])
    hand.now_s += 1
    assert not left.has_room([100.0])
    assert left.has_room([]), "nobody knows that it will not fit"
    hand.now_s += 200
    assert not left.has_room([])


def test_an_allocation_too_short_for_any_trial_takes_one_all_the_same() -> None:
    hand = HandClock()
    left = TimeLeft({}, clock=hand.clock, limit_s=100.0)
    assert left.has_room([500.0])
    hand.now_s += 11
    assert not left.has_room([500.0])


def test_without_a_limit_there_is_always_room_and_a_job_bounds_it() -> None:
    hand = HandClock()
    assert TimeLeft({}, clock=hand.clock).left_s() == math.inf
    assert TimeLeft({}, clock=hand.clock).has_room([1e9])
    job = TimeLeft({"SLURM_JOB_END_TIME": "1700000500"}, clock=hand.clock, limit_s=9999.0)
    assert job.left_s() == pytest.approx(500.0)
    hand.now_s += 200
    assert job.has_room([200.0])
    assert not job.has_room([300.0])


@pytest.mark.parametrize(
    ("end", "told", "state", "failures"),
    [
        (ChildEnd(0), ("", False, False), TrialState.FINISHED, 0),
        (ChildEnd(0), ("worse", False, False), TrialState.PRUNED, 0),
        (ChildEnd(143, "SIGTERM"), ("worse", False, True), TrialState.PRUNED, 0),
        (ChildEnd(143, "SIGTERM"), ("", True, False), TrialState.STOPPED, 0),
        (ChildEnd(143, "SIGTERM"), ("worse", True, True), TrialState.STOPPED, 0),
        (ChildEnd(0), ("", False, True), TrialState.WAITING, 0),
        (ChildEnd(1), ("", False, True), TrialState.WAITING, 0),
        (ChildEnd(1), ("", False, False), TrialState.WAITING, 1),
        (ChildEnd(126), ("", False, False), TrialState.FAILED, 1),
        (ChildEnd(127), ("", False, False), TrialState.FAILED, 1),
    ],
)
def test_how_an_attempt_ended_follows_from_who_ended_it(
    end: ChildEnd, told: tuple[str, bool, bool], state: TrialState, failures: int
) -> None:
    why, is_cancelled, is_interrupted = told
    result = judge_end(
        RUNNING,
        end,
        why=why,
        is_cancelled=is_cancelled,
        is_interrupted=is_interrupted,
        max_retries=1,
        log_tail="last words",
    )
    assert (result.state, result.failures) == (state, failures)
    assert result.why == (why if state == TrialState.PRUNED else "")
    assert (result.log_tail == "last words") == bool(failures)


def test_the_last_try_is_the_last() -> None:
    for before, state in ((0, TrialState.WAITING), (1, TrialState.WAITING), (2, TrialState.FAILED)):
        result = judge_end(
            replace(RUNNING, failures=before),
            ChildEnd(5),
            why="",
            is_cancelled=False,
            is_interrupted=False,
            max_retries=2,
            log_tail="",
        )
        assert (result.state, result.failures) == (state, before + 1)


def file_of(*metrics: str) -> SweepFile:
    config = {
        "method": "random",
        "program": "t.py",
        "parameters": {"a": {"min": 0.0, "max": 1.0}},
        **({"metric": [{"name": one} for one in metrics]} if metrics else {}),
    }
    return parse_sweep_config(config)


def ended(state: TrialState, **values: float) -> TrialResult:
    return TrialResult(trial=0, state=state, values=values)


F, P, X = TrialState.FINISHED, TrialState.PRUNED, TrialState.FAILED


@pytest.mark.parametrize(
    ("metrics", "results", "told"),
    [
        (["a"], [ended(F, a=1.0), ended(F, a=3.0)], (PointState.FINISHED, (2.0,))),
        (["a"], [ended(F, a=1.0), ended(X, a=9.0)], (PointState.FINISHED, (1.0,))),
        (["a"], [ended(F, a=1.0), ended(P, a=3.0)], (PointState.PRUNED, ())),
        (["a"], [ended(F, a=1.0), ended(F)], (PointState.FINISHED, (1.0,))),
        (["a"], [ended(F), ended(F, b=1.0)], (PointState.FAILED, ())),
        (["a"], [ended(F, a=math.nan)], (PointState.FAILED, ())),
        (["a"], [ended(X, a=1.0)], (PointState.FAILED, ())),
        (["a", "b"], [ended(F, a=1.0, b=2.0)], (PointState.FINISHED, (1.0, 2.0))),
        (["a", "b"], [ended(F, a=1.0)], (PointState.FAILED, ())),
        ([], [ended(F)], (PointState.FINISHED, ())),
        ([], [ended(X)], (PointState.FAILED, ())),
    ],
)
def test_repeats_come_to_the_mean_of_those_that_finished(
    metrics: list[str], results: list[TrialResult], told: tuple[PointState, tuple[float, ...]]
) -> None:
    assert sum_up(file_of(*metrics), results) == told


def test_a_rank_that_failed_in_an_earlier_attempt_is_forgiven(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path).folder
    failed = TrialResult(trial=0, state=TrialState.FAILED, exit_code=1, rank=4, attempt=1)
    write_result(folder, failed)
    again = TrialResult(trial=0, state=TrialState.FINISHED, exit_code=0, attempt=2)
    write_result(folder, again)
    assert read_results(folder) == {0: again}


def test_a_file_that_is_no_result_counts_for_nothing(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path).folder
    write_result(folder, RUNNING)
    for number, text in enumerate(("{", '{"state": "strange"}', "[]", "null", ""), start=1):
        folder.trial(number).write_text(text)
        assert read_result(folder, number) is None
    (folder.path / "trials" / "notes.txt").write_text("")
    assert read_results(folder) == {0: RUNNING}
