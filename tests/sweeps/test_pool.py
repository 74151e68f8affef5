"""The pool: who takes which trial, new or left behind by somebody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.claims import Claim, make_claim
from hpctrack.sweeps.worker.heartbeat import WorkerFacts
from hpctrack.sweeps.worker.pool import INTERRUPTIONS_MAX, LOOK_INTERVAL_S, TrialPool
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_result, write_result
from tests.programs import ROOT, run_python
from tests.trials import HandClock, judge_by, make_stranger, make_sweep, make_worker, silence

RACE = """
import os, sys
sys.path.insert(0, sys.argv[3])
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.heartbeat import Liveness, describe_worker
from hpctrack.sweeps.worker.pool import TrialPool
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result
from tests.trials import write_worker
sweep = load_sweep(sys.argv[1], "s")
limit = int(sys.argv[2]) or None
go_read, go_write = os.pipe()
children = []
for number in range(8):
    child = os.fork()
    if not child:
        os.close(go_write)
        me = describe_worker({}, SYSTEM_CLOCK, share=1, cpus=1, gpus=0)
        write_worker(sweep, me)
        pool = TrialPool(
            sweep, me, Liveness(sweep.folder, me, clock=SYSTEM_CLOCK), clock=SYSTEM_CLOCK,
            limit=limit,
        )
        os.read(go_read, 1)
        while claim := pool.take():
            os.write(1, f"{claim.trial} {claim.attempt}\\n".encode())
            write_result(sweep.folder, TrialResult(
                trial=claim.trial, state=TrialState.FINISHED, attempt=claim.attempt, duration_s=1.0
            ))
            pool.settle(claim.trial)
        os._exit(0)
    children.append(child)
os.close(go_write)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def make_pool(sweep: Sweep, me: WorkerFacts, **more: Any) -> TrialPool:
    clock = more.pop("clock", SYSTEM_CLOCK)
    judge = judge_by(sweep, me, clock)
    return TrialPool(sweep, me, judge, clock=clock, **more)


def say(sweep: Sweep, claim: Claim, state: TrialState, **more: Any) -> None:
    word = TrialResult(
        trial=claim.trial, state=state, attempt=claim.attempt, worker=claim.worker, **more
    )
    write_result(sweep.folder, word)


@pytest.mark.parametrize(("limit", "taken"), [(0, 50), (17, 17)])
def test_eight_workers_that_race_take_each_trial_once(
    tmp_path: Path, limit: int, taken: int
) -> None:
    sweep = make_sweep(tmp_path, values=50)
    end = run_python(RACE, str(sweep.store), str(limit), str(ROOT))
    assert end.returncode == 0, end.stderr
    assert sorted(int(line.split()[0]) for line in end.stdout.splitlines()) == list(range(taken))
    assert {line.split()[1] for line in end.stdout.splitlines()} == {"1"}


def test_new_trials_come_in_order_until_there_are_none(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3)
    pool = make_pool(sweep, make_worker(sweep))
    claims = []
    while (claim := pool.take()) is not None:
        say(sweep, claim, TrialState.FINISHED, duration_s=2.0)
        pool.settle(claim.trial)
        claims.append((claim.trial, claim.attempt))
    assert claims == [(0, 1), (1, 1), (2, 1)]
    assert not pool.is_hopeful()


def test_run_cap_bounds_a_sweep_without_end(tmp_path: Path) -> None:
    parameters = {"x": {"min": 0.0, "max": 1.0}}
    sweep = make_sweep(tmp_path, method="random", parameters=parameters, run_cap=4, seed=1)
    me = make_worker(sweep)
    pool = make_pool(sweep, me)
    for number in range(4):
        claim = pool.take()
        assert claim is not None
        assert claim.trial == number
        say(sweep, claim, TrialState.FINISHED)
    assert pool.take() is None


def test_a_silent_worker_on_another_machine_loses_its_trial(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me, other = make_worker(sweep), make_stranger(sweep)
    make_claim(sweep.folder, claim := other.claim(0, 1, failures=0, wall_s=0.0))
    say(sweep, claim, TrialState.RUNNING)
    pool = make_pool(sweep, me)
    assert pool.take() is None
    assert not pool.is_hopeful()
    assert pool.running_count == 1
    silence(sweep, other, 30)
    assert pool.take() is None
    assert pool.is_hopeful()
    silence(sweep, other, 61)
    taken = pool.take()
    assert taken is not None
    assert (taken.trial, taken.attempt, taken.failures, taken.worker) == (0, 2, 0, me.id)


def test_what_is_left_behind_comes_before_what_is_new_at_the_next_look(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=4)
    hand = HandClock()
    me, other = make_worker(sweep), make_stranger(sweep)
    make_claim(sweep.folder, other.claim(0, 1, failures=0, wall_s=0.0))
    pool = make_pool(sweep, me, clock=hand.clock)
    first = pool.take()
    assert first is not None
    assert first.trial == 1
    say(sweep, first, TrialState.FINISHED)
    pool.settle(1)
    silence(sweep, other, 100)
    hand.now_s += LOOK_INTERVAL_S
    second = pool.take()
    assert second is not None
    assert (second.trial, second.attempt) == (0, 2)


def test_a_trial_whose_worker_has_said_so_is_free_at_once_and_keeps_its_failures(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me, other = make_worker(sweep), make_stranger(sweep)
    make_claim(sweep.folder, claim := other.claim(0, 1, failures=0, wall_s=0.0))
    say(sweep, claim, TrialState.WAITING, failures=1)
    taken = make_pool(sweep, me).take()
    assert taken is not None
    assert (taken.attempt, taken.failures, taken.interruptions) == (2, 1, 0)


def test_a_word_of_an_earlier_attempt_does_not_free_a_later_one(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me, other = make_worker(sweep), make_stranger(sweep)
    for attempt in (1, 2):
        make_claim(sweep.folder, other.claim(0, attempt, failures=0, wall_s=0.0))
    word = TrialResult(trial=0, state=TrialState.WAITING, attempt=1)
    write_result(sweep.folder, word)
    assert make_pool(sweep, me).take() is None


def test_what_is_over_is_not_run_again_by_whom_it_may_concern(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=4)
    me, other = make_worker(sweep), make_stranger(sweep, ended_wall_s=1.0)
    states = (TrialState.FINISHED, TrialState.FAILED, TrialState.PRUNED, TrialState.STOPPED)
    for number, state in enumerate(states):
        make_claim(sweep.folder, claim := other.claim(number, 1, failures=0, wall_s=0.0))
        say(sweep, claim, state, duration_s=3.0)
    pool = make_pool(sweep, me)
    assert pool.take() is None
    assert pool.running_count == 0
    assert pool.durations_s == [3.0], "only what ran to its end says how long a trial takes"


def test_a_word_that_cannot_be_read_may_say_that_the_trial_is_over(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me, other = make_worker(sweep), make_stranger(sweep, ended_wall_s=1.0)
    make_claim(sweep.folder, claim := other.claim(0, 1, failures=0, wall_s=0.0))
    sweep.folder.trial(0).mkdir(parents=True)  # any error but "no such file"
    pool = make_pool(sweep, me)
    assert pool.take() is None
    sweep.folder.trial(0).rmdir()
    say(sweep, claim, TrialState.FINISHED)
    assert pool.take() is None
    sweep.folder.trial(0).write_text("{")  # makes no sense, and will make none later
    pool = make_pool(sweep, me)
    assert pool.take() is not None


def test_a_trial_that_is_cut_short_again_and_again_is_given_up(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me = make_worker(sweep)
    lost: list[TrialResult] = []
    pool = make_pool(sweep, me, on_loss=lost.append)
    for attempt in range(1, INTERRUPTIONS_MAX + 2):
        claim = pool.take()
        assert claim is not None
        assert claim.attempt == attempt  # the one before was this worker's, which has come back
    assert pool.take() is None
    word = read_result(sweep.folder, 0)
    assert lost == [word]
    assert word is not None
    assert word.state == TrialState.FAILED
    assert "cut short" in word.message
    assert pool.take() is None


def test_attempts_that_were_given_back_say_nothing_against_a_trial(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    pool = make_pool(sweep, make_worker(sweep))
    for attempt in range(1, 2 * INTERRUPTIONS_MAX):
        claim = pool.take()
        assert claim is not None
        assert (claim.attempt, claim.interruptions) == (attempt, 0)
        say(sweep, claim, TrialState.WAITING)


def test_failures_do_not_count_as_interruptions(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=1)
    me = make_worker(sweep)
    pool = make_pool(sweep, me)
    for attempt in range(1, INTERRUPTIONS_MAX + 5):
        claim = pool.take()
        assert claim is not None
        say(sweep, claim, TrialState.WAITING, failures=attempt)


def test_several_workers_of_a_submission_share_its_limit(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=10)
    pools = [make_pool(sweep, make_worker(sweep, share=1), limit=3) for _ in range(3)]
    claims = [pool.take() for pool in pools]
    assert [one.trial for one in claims if one is not None] == [0, 1, 2]
    for claim in claims:
        assert claim is not None
        say(sweep, claim, TrialState.FINISHED)
    assert [pool.take() for pool in pools] == [None] * 3
    other = make_pool(sweep, make_worker(sweep, share=2), limit=1)
    claim = other.take()
    assert claim is not None
    assert claim.trial == 3, "another submission has its own limit"


def test_a_worker_without_tickets_still_sees_to_what_others_left_behind(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=10)
    pool = make_pool(sweep, make_worker(sweep, share=1), limit=1)
    other = make_stranger(sweep, share=1)
    one = pool.take()
    assert one is not None
    say(sweep, one, TrialState.FINISHED)
    pool.settle(0)
    # Somebody takes a trial after we have looked, and dies.
    make_claim(sweep.folder, other.claim(1, 1, failures=0, wall_s=0.0))
    silence(sweep, other, 100)
    taken = pool.take()
    assert taken is not None
    assert (taken.trial, taken.attempt) == (1, 2)


def test_a_ticket_is_not_lost_when_the_claim_cannot_be_written(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=10)
    pool = make_pool(sweep, make_worker(sweep, share=1), limit=1)
    (sweep.folder.path / "claims").write_text("in the way")
    with pytest.raises(Exception, match="cannot write"):
        pool.take()
    (sweep.folder.path / "claims").unlink()
    assert pool.take() is not None


def test_settled_trials_are_left_alone(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=3)
    other = make_stranger(sweep, ended_wall_s=1.0)
    for number in range(2):
        make_claim(sweep.folder, other.claim(number, 1, failures=0, wall_s=0.0))
    pool = make_pool(sweep, make_worker(sweep), settled=frozenset({0}))
    claim = pool.take()
    assert claim is not None
    assert (claim.trial, claim.attempt) == (1, 2)
    say(sweep, claim, TrialState.FINISHED)
    claim = pool.take()
    assert claim is not None
    assert (claim.trial, claim.attempt) == (2, 1)


def test_a_gap_before_a_trial_that_was_run_by_hand_is_filled(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=4)
    other = make_stranger(sweep)
    make_claim(sweep.folder, claim := other.claim(2, 1, failures=0, wall_s=0.0))
    say(sweep, claim, TrialState.FINISHED)
    pool = make_pool(sweep, make_worker(sweep))
    taken = []
    while (next_claim := pool.take()) is not None:
        taken.append((next_claim.trial, next_claim.attempt))
        say(sweep, next_claim, TrialState.FINISHED)
    assert taken == [(0, 1), (1, 1), (3, 1)]


def test_a_worker_that_begins_learns_how_long_trials_take(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, values=4)
    for number, (state, attempt) in enumerate(
        [(TrialState.FINISHED, 1), (TrialState.PRUNED, 1), (TrialState.FINISHED, 2)]
    ):
        result = TrialResult(trial=number, state=state, attempt=attempt, duration_s=60.0 + number)
        write_result(sweep.folder, result)
    pool = make_pool(sweep, make_worker(sweep), settled=frozenset({0, 1, 2}))
    assert pool.durations_s == [60.0], "neither stopped early nor continued"
