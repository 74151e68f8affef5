"""A worker: takes trials until there are none, its time is up, or somebody says so."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import StoreError
from hpctrack.sweeps.control import Wish, write_control
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.attempt import REPEAT_PRUNED, be_patient
from hpctrack.sweeps.worker.claims import list_claims, make_claim
from hpctrack.sweeps.worker.heartbeat import read_worker
from hpctrack.sweeps.worker.loop import WorkerEnd, WorkerOptions, run_worker
from hpctrack.sweeps.worker.result import (
    TrialResult,
    TrialState,
    read_result,
    read_results,
    write_result,
)
from hpctrack.sweeps.worker.signals import SignalRelay
from tests.programs import wait_for
from tests.trials import (
    LOSS,
    HandClock,
    environ,
    make_stranger,
    make_sweep,
    read_end,
    running_worker,
    silence,
)

SHOW = 'echo loss=$HPCTRACK_TRIAL; test "$HPCTRACK_TRIAL" != 1'


def work(sweep: Sweep, **options: Any) -> WorkerEnd:
    return run_worker(sweep, WorkerOptions(**options))


def states(sweep: Sweep) -> list[str]:
    return [one.state.value for _, one in sorted(read_results(sweep.folder).items())]


def records(sweep: Sweep) -> list[tuple[PointState, tuple[float, ...]]]:
    with Search.open(sweep) as search:
        return [(one.state, one.values) for one in search.records()]


def test_a_worker_runs_all_trials_and_tells_the_search(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "echo loss=$HPCTRACK_TRIAL.5", values=4, metric=LOSS)
    end = work(sweep)
    assert (end.taken, end.finished, end.pruned, end.failed) == (4, 4, 0, 0)
    assert end.why == "no trials are left"
    assert not end.should_requeue
    assert records(sweep) == [(PointState.FINISHED, (one + 0.5,)) for one in range(4)]
    assert sweep.folder.log(2).read_text() == "loss=2.5\n"
    result = read_results(sweep.folder)[3]
    assert (result.value, result.iterations, result.attempt) == (3.5, 1, 1)
    worker = read_worker(sweep.folder, result.worker)
    assert worker is not None
    assert worker.why == "no trials are left"
    assert work(sweep).taken == 0


def test_a_failure_is_tried_again_so_often_and_leaves_its_last_words(tmp_path: Path) -> None:
    text = "echo attempt $HPCTRACK_ATTEMPT $HPCTRACK_RUN_ID; echo oh no >&2; exit 3"
    sweep = make_sweep(tmp_path, text, values=1, max_retries=2, metric=LOSS)
    end = work(sweep)
    assert (end.taken, end.finished, end.failed) == (1, 0, 1)
    result = read_results(sweep.folder)[0]
    assert (result.state, result.attempt, result.failures) == (TrialState.FAILED, 3, 3)
    assert result.duration_s is not None
    assert result.earlier_s > 0
    assert result.exit_code == 3
    assert result.log_tail == "attempt 3 s-0000\noh no"
    assert records(sweep) == [(PointState.FAILED, ())]


def test_a_trial_that_works_at_the_second_try_is_no_failure(tmp_path: Path) -> None:
    text = 'test -e "$HPCTRACK_TRIAL_DIR/mark" || { touch "$HPCTRACK_TRIAL_DIR/mark"; exit 1; }'
    sweep = make_sweep(tmp_path, text, values=3)
    end = work(sweep)
    assert (end.taken, end.finished, end.failed) == (3, 3, 0)
    assert states(sweep) == ["finished"] * 3


def test_a_program_that_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, ["no-such-program"], values=1)
    assert work(sweep).taken == 1
    result = read_results(sweep.folder)[0]
    assert (result.state, result.exit_code) == (TrialState.FAILED, 127)
    assert "no-such-program" in result.message


def test_a_worker_whose_first_trials_all_fail_leaves_the_others_alone(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "exit 1", values=20, max_retries=0)
    end = work(sweep)
    assert end.taken == 5
    assert "all failed" in end.why


def test_trials_that_are_tried_often_are_counted_once(tmp_path: Path) -> None:
    text = 'test "$HPCTRACK_TRIAL" -gt 0 -o "$HPCTRACK_ATTEMPT" -gt 5'
    sweep = make_sweep(tmp_path, text, values=2, max_retries=9)
    end = work(sweep)
    assert (end.taken, end.finished, end.failed) == (2, 2, 0)
    assert end.why == "no trials are left"


def test_failures_of_others_do_not_count_against_a_worker(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "true", values=7)
    other = make_stranger(sweep, ended_wall_s=1.0)
    for number in range(6):
        make_claim(sweep.folder, other.claim(number, 1, failures=0, wall_s=0.0))
        word = TrialResult(trial=number, state=TrialState.WAITING, attempt=1, failures=1)
        write_result(sweep.folder, word)
    end = work(sweep)
    assert (end.taken, end.finished, end.failed) == (7, 7, 0)
    assert end.why == "no trials are left"


def test_run_cap_and_max_trials_bound_a_random_sweep(tmp_path: Path) -> None:
    parameters = {"x": {"min": 0.0, "max": 1.0}}
    sweep = make_sweep(tmp_path, "true", method="random", parameters=parameters, run_cap=4, seed=3)
    end = work(sweep, max_trials=3)
    assert (end.taken, end.why) == (3, "it has taken 3 trials")
    end = work(sweep, max_trials=3)
    assert (end.taken, end.why) == (1, "no trials are left")
    assert states(sweep) == ["finished"] * 4


def test_workers_of_a_submission_share_its_limit(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "sleep 0.05", values=20)
    with (
        running_worker(sweep, share=1, limit=7) as one,
        running_worker(sweep, share=1, limit=7) as two,
    ):
        taken = [read_end(one)[0], read_end(two)[0]]
    assert sum(taken) == 7
    assert len(read_results(sweep.folder)) == 7
    assert work(sweep, share=2, limit=2).taken == 2, "two submissions are additive"


@pytest.mark.parametrize(
    ("wish", "why"), [(Wish.STOP, "stopped by me"), (Wish.CANCEL, "cancelled by me")]
)
def test_a_worker_begins_nothing_against_a_wish(tmp_path: Path, wish: Wish, why: str) -> None:
    sweep = make_sweep(tmp_path)
    write_control(sweep.folder, wish, who="me")
    end = work(sweep)
    assert end.taken == 0
    assert why in end.why
    assert list_claims(sweep.folder) == {}
    write_control(sweep.folder, Wish.RUN)
    assert work(sweep).taken == 2


def test_a_stopped_sweep_finishes_what_has_begun(tmp_path: Path) -> None:
    text = f"""printf '{{"wish": "stop", "who": "", "wall_s": 0}}' > {tmp_path}/c
mv {tmp_path}/c {tmp_path}/store/p/.sweeps/s/control.json; sleep 0.1"""
    sweep = make_sweep(tmp_path, text, values=3)
    end = work(sweep)
    assert (end.taken, end.finished) == (1, 1)


def test_a_cancelled_sweep_ends_what_has_begun(tmp_path: Path) -> None:
    text = f"""printf '{{"wish": "cancel", "who": "", "wall_s": 0}}' > {tmp_path}/c
mv {tmp_path}/c {tmp_path}/store/p/.sweeps/s/control.json; exec sleep 60"""
    sweep = make_sweep(tmp_path, text, values=3, metric=LOSS)
    end = work(sweep)
    assert end.taken == 1
    assert states(sweep) == ["stopped"]
    assert records(sweep) == [(PointState.FAILED, ())]


def test_a_paused_sweep_waits_and_goes_on(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "true", values=3)
    write_control(sweep.folder, Wish.PAUSE)
    timer = threading.Timer(0.5, write_control, (sweep.folder, Wish.RUN))
    timer.start()
    end = work(sweep)
    timer.join()
    assert (end.taken, end.finished) == (3, 3)


def test_a_trial_that_cannot_end_in_time_is_not_begun(tmp_path: Path) -> None:
    sweep, hand = make_sweep(tmp_path, values=5), HandClock()

    def take_a_minute() -> None:
        hand.now_s += 60.0

    options = WorkerOptions(time_limit_s=130.0)
    end = run_worker(sweep, options, function=take_a_minute, clock=hand.clock)
    assert (end.taken, end.finished) == (1, 1)
    assert "its time is up" in end.why
    assert "a trial needs about" in end.why
    assert work(sweep, time_limit_s=0.0).taken == 0


def test_a_trial_is_ended_after_its_longest_time(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "exec sleep 60", values=1, max_retries=0)
    end = work(sweep, trial_timeout_s=0.2)
    assert end.failed == 1
    result = read_results(sweep.folder)[0]
    assert (result.state, result.signal) == (TrialState.FAILED, "SIGTERM")
    assert "0.2 s" in result.message


def test_repeats_are_judged_by_their_mean(tmp_path: Path) -> None:
    text = "echo loss=$HPCTRACK_TRIAL; cat"
    sweep = make_sweep(tmp_path, text, values=2, seeds=3, metric=LOSS)
    assert work(sweep).finished == 6
    assert records(sweep) == [(PointState.FINISHED, (1.0,)), (PointState.FINISHED, (4.0,))]


def test_repeats_of_a_configuration_that_was_stopped_early_are_spared(tmp_path: Path) -> None:
    early = {"type": "threshold", "upper": 5.0}
    text = 'test "$HPCTRACK_TRIAL" -lt 3 && { echo loss=9; exec sleep 60; }; echo loss=1'
    sweep = make_sweep(tmp_path, text, values=2, seeds=3, metric=LOSS, early_terminate=early)
    end = work(sweep)
    assert (end.taken, end.pruned, end.finished) == (6, 3, 3)
    results = read_results(sweep.folder)
    assert results[0].why not in {"", REPEAT_PRUNED}
    assert [results[one].why for one in (1, 2)] == [REPEAT_PRUNED] * 2
    assert records(sweep) == [(PointState.PRUNED, ()), (PointState.FINISHED, (1.0,))]


def test_a_rule_for_repeats_spares_those_that_a_loser_has_left(tmp_path: Path) -> None:
    early = {"type": "wilcoxon", "p_threshold": 0.3, "n_startup_steps": 2}
    # The first configuration has 0 to 4, the second 1000 more at each repeat.
    text = "echo loss=$((HPCTRACK_TRIAL % 5 + 1000 * (HPCTRACK_TRIAL / 5)))"
    sweep = make_sweep(tmp_path, text, values=2, seeds=5, metric=LOSS, early_terminate=early)
    end = work(sweep)
    assert end.finished >= 6
    results = read_results(sweep.folder)
    spared = [one for one in results.values() if one.why == REPEAT_PRUNED]
    assert len(spared) >= 2
    assert records(sweep) == [(PointState.FINISHED, (2.0,)), (PointState.PRUNED, ())]


def test_a_metric_that_never_came_is_said_and_the_search_learns_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, "true", values=1, metric=LOSS)
    assert work(sweep).finished == 1
    assert "never logged 'loss'" in capsys.readouterr().err
    assert records(sweep) == [(PointState.FAILED, ())]


def test_fortran_prints_are_judged(tmp_path: Path) -> None:
    early = {"type": "threshold", "upper": 5.0}
    text = "printf ' loss= 1.5D-03\\r\\n loss= 0.7D+01\\r'; exec sleep 60"
    metric = {**LOSS, "pattern": r"loss=\s*(\S+)"}
    sweep = make_sweep(tmp_path, text, values=1, metric=metric, early_terminate=early)
    end = work(sweep)
    assert end.pruned == 1
    result = read_results(sweep.folder)[0]
    assert (result.values, result.iterations) == ({"loss": 7.0}, 2)


def test_a_worker_sees_to_what_a_dead_one_has_left(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, SHOW + "; true", values=3)
    other = make_stranger(sweep)
    make_claim(sweep.folder, other.claim(1, 1, failures=0, wall_s=0.0))
    silence(sweep, other, 1.5)
    timer = threading.Timer(0.3, silence, (sweep, other, 60.0))
    timer.start()
    end = work(sweep, stale_s=2.0, interval_s=0.5)
    timer.join()
    assert (end.taken, end.finished) == (3, 3)
    result = read_results(sweep.folder)[1]
    assert result.attempt == 2


def test_a_worker_does_not_wait_for_trials_of_the_living(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "true", values=2)
    other = make_stranger(sweep)
    make_claim(sweep.folder, other.claim(0, 1, failures=0, wall_s=0.0))
    end = work(sweep)
    assert end.taken == 1
    assert end.why == "no trials are left (1 run elsewhere)"


def test_a_folder_that_cannot_be_written_for_a_while_costs_no_trial(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "sleep 0.1", values=6)
    folder = sweep.folder.path
    over = threading.Event()

    def trouble() -> None:
        for name in ("trials", "claims", "points", "work", "logs"):
            wait_for((folder / name).is_dir)
            (folder / name).rename(folder / f"{name}.away")
            (folder / name).write_text("in the way")
            over.wait(0.15)
            (folder / name).unlink()
            (folder / f"{name}.away").rename(folder / name)
            over.wait(0.1)

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        end = work(sweep)
    finally:
        over.set()
        thread.join()
    assert (end.taken, end.finished, end.failed) == (6, 6, 0)
    assert states(sweep) == ["finished"] * 6


def test_patience_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand = HandClock()

    def fail() -> None:
        hand.now_s += 70
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        be_patient(fail, SignalRelay(), hand.clock)
    assert capsys.readouterr().err.count("trying again") == 1
    relay = SignalRelay()
    relay.was_stopped = True
    with pytest.raises(StoreError):
        be_patient(fail, relay, hand.clock)


def test_variables_that_the_launcher_hid_are_there_again(tmp_path: Path) -> None:
    text = "env | grep -E '^(CUDA_VISIBLE_DEVICES|SUBMITIT_FOLDER)=' || echo none"
    for before in ("2,3", None):
        folder = tmp_path / str(before)
        folder.mkdir()
        sweep = make_sweep(folder, text, values=1)
        run_worker(
            sweep,
            WorkerOptions(restored={"CUDA_VISIBLE_DEVICES": before}),
            environ=environ(CUDA_VISIBLE_DEVICES="", SUBMITIT_FOLDER="x"),
        )
        wanted = f"CUDA_VISIBLE_DEVICES={before}" if before else "none"
        assert sweep.folder.log(0).read_text().strip() == wanted


def test_slurm_is_written_down(tmp_path: Path) -> None:
    slurm = {"SLURM_JOB_ID": "53", "SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "3"}
    sweep = make_sweep(tmp_path, "true", values=1)
    run_worker(sweep, environ=environ(**slurm, PATH=os.defpath))
    result = read_result(sweep.folder, 0)
    assert result is not None
    assert (result.job, result.attempt) == ("50_3", 1)


def test_parameters_come_as_a_file_if_the_command_asks(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, ["cp", "${args_json_file}", "seen.json"], values=1)
    assert work(sweep).finished == 1
    assert json.loads((tmp_path / "seen.json").read_text()) == {"a": 0}


def test_a_worker_without_logs_prints_what_its_trials_print(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, "echo loss=1", values=1)
    assert work(sweep, has_logs=False).finished == 1
    assert capfd.readouterr().out == "loss=1\n"
    assert not sweep.folder.log(0).exists()
