"""Ranks of one launch stop at the same call, or the same step, whatever their pace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import hpctrack
from hpctrack.core.trial_wire import Report
from tests.capabilities import require_program
from tests.programs import (
    list_agents,
    only_run,
    rank_environment,
    start_python,
    wait_for,
)
from tests.trial_workers import listening, trial_environment

RANKS = 4

PROGRAM = """
import json, os, random, sys, time
import hpctrack
pace_s, mode, seed = float(sys.argv[1]), sys.argv[2], int(sys.argv[3])
run = hpctrack.init(raise_pruned=mode == "step", settings={"quiet": True})
chance = random.Random(seed * 1000 + run.rank)
calls = 0
try:
    for step in range(0, 40_000_000, 1 if mode == "call" else 3):
        time.sleep(chance.expovariate(1 / pace_s) if pace_s else 0)
        run.log({"loss": 1.0, "mine": run.rank}, step=step)
        if mode == "call":
            calls += 1
            if run.should_stop():
                break
except hpctrack.Pruned:
    pass
print(json.dumps({"rank": run.rank, "calls": calls, "step": step, "why": run.stop_reason}))
run.finish()
"""


def start_ranks(
    size: int, arguments: list[str], more: Mapping[str, str], *, code: str = PROGRAM
) -> list[subprocess.Popen[str]]:
    return [
        start_python(code, *arguments, env={**more, **rank_environment(rank, size)})
        for rank in range(size)
    ]


Found = dict[str, object]


def collect(ranks: list[subprocess.Popen[str]], *, timeout_s: float = 180) -> list[Found]:
    found = []
    try:
        for one in ranks:
            out, err = one.communicate(timeout=timeout_s)
            assert one.returncode == 0, err
            found.append({**json.loads(out.splitlines()[-1]), "err": err})
    finally:
        for one in ranks:
            if one.poll() is None:
                one.kill()
                one.communicate()
    return found


def stop_at(step: int) -> object:
    def decide(reports: list[Report]) -> str:
        return "bad" if reports and reports[-1].step >= step else ""

    return decide


def is_agreed(found: list[Found]) -> bool:
    places = {(one["calls"], one["step"]) for one in found}
    return len(places) == 1 and {one["why"] for one in found} == {"sweep: bad"}


@pytest.mark.parametrize("mode", ["call", "step"])
@pytest.mark.parametrize("pace_s", [0.0, 0.003])
def test_ranks_of_random_pace_stop_at_the_same_place(mode: str, pace_s: float) -> None:
    last = 100 if pace_s else 3000
    with listening(stop_at(last)) as worker:  # type: ignore[arg-type]
        ranks = start_ranks(RANKS, [str(pace_s), mode, "7"], trial_environment(worker.path))
        found = collect(ranks)
        assert is_agreed(found), found
        assert {one["rank"] for one in found} == set(range(RANKS))
        assert last <= found[0]["step"]  # type: ignore[operator]


def test_all_ranks_have_logged_the_same_steps_when_pruned_is_raised(tmp_path: Path) -> None:
    with listening(stop_at(30)) as worker:  # type: ignore[arg-type]
        collect(start_ranks(3, ["0.002", "step", "1"], trial_environment(worker.path)))
    metric = only_run(tmp_path / "store").metric("mine")
    steps = [metric.rank(rank).step.tolist() for rank in range(3)]
    assert steps[0] == steps[1] == steps[2]
    assert steps[0][-1] >= 30


SLOW = PROGRAM.replace(
    "    time.sleep(", "    time.sleep(0.0 if run.rank or step < 8 else 0.3)\n        time.sleep("
)


def test_a_slow_run_is_stopped_at_once_or_at_the_next_call() -> None:
    with listening(stop_at(12)) as worker:  # type: ignore[arg-type]
        ranks = start_ranks(2, ["0.0", "call", "1"], trial_environment(worker.path), code=SLOW)
        found = collect(ranks)
    assert is_agreed(found), found
    assert found[0]["step"] < 35  # type: ignore[operator]


def test_others_go_on_when_rank_0_was_killed() -> None:
    with listening() as worker:
        more = trial_environment(worker.path) | {"HPCTRACK_STOP_AGREEMENT_TIMEOUT_S": "600"}
        code = PROGRAM.replace("40_000_000", "120")
        ranks = start_ranks(3, ["0.01", "call", "1"], more, code=code)
        wait_for(lambda: len(worker.reports) > 20)
        ranks[0].kill()
        ranks[0].communicate()
        found = collect(ranks[1:])
    assert [(one["calls"], one["why"]) for one in found] == [(120, "")] * 2


def test_a_rank_that_asks_alone_waits_once_and_says_so() -> None:
    alone = """
    import hpctrack, json, time
    run = hpctrack.init()
    begun_s = time.monotonic()
    answers = []
    for step in range(200):
        if run.rank:
            answers.append(run.should_stop())
    print(json.dumps([any(answers), time.monotonic() - begun_s]))
    run.finish()
    """
    with listening() as worker:
        more = trial_environment(worker.path) | {"HPCTRACK_STOP_AGREEMENT_TIMEOUT_S": "0.5"}
        first = start_python(
            "import hpctrack, sys; run = hpctrack.init(); sys.stdin.read()",
            env={**more, **rank_environment(0, 2)},
            stdin=subprocess.PIPE,
        )
        (second,) = [start_python(alone, env={**more, **rank_environment(1, 2)})]
        out, err = second.communicate(timeout=180)
        first.communicate(timeout=180)
    stopped, took_s = json.loads(out.splitlines()[-1])
    assert not stopped
    assert 0.4 < took_s < 40, "200 waits would be 100 s"
    assert "nothing was heard of rank 0 for 0.5 s, at call of should_stop() 2" in err


@pytest.mark.parametrize("mode", ["call", "step"])
def test_an_agent_that_is_killed_breaks_no_agreement(mode: str) -> None:
    def decide(reports: list[Report]) -> str:
        return "bad" if is_killed else ""

    is_killed: list[int] = []
    with listening(decide) as worker:  # type: ignore[arg-type]
        ranks = start_ranks(RANKS, ["0.01", mode, "3"], trial_environment(worker.path))
        wait_for(lambda: len(worker.reports) > 20)
        for pid in list_agents():
            os.kill(pid, signal.SIGKILL)
        seen = len(worker.reports)
        wait_for(lambda: len(worker.reports) > seen + 20)
        is_killed.append(1)
        assert is_agreed(collect(ranks))


def test_a_worker_that_is_gone_leaves_the_agreement_to_the_stop_file(tmp_path: Path) -> None:
    from hpctrack.agents.stop import write_stop

    with listening() as worker:
        more = trial_environment(worker.path) | {"HPCTRACK_HEARTBEAT_S": "0.1"}
        ranks = start_ranks(RANKS, ["0.01", "call", "3"], more)
        wait_for(lambda: len(worker.reports) > 20)
        wait_for(lambda: list((tmp_path / "store").glob("p/t/*.h5")))
    write_stop(tmp_path / "store" / "p" / "t", who="sweep", why="bad", attempt=1, wall_s=0.0)
    assert is_agreed(collect(ranks))


def test_outside_sweeps_a_program_can_ask_for_an_agreement(tmp_path: Path) -> None:
    from hpctrack.agents.stop import write_stop

    code = PROGRAM.replace("run.should_stop()", "run.should_stop(agreed=True)")
    more = {"HPCTRACK_RUN_ID": "t", "HPCTRACK_PROJECT": "p", "HPCTRACK_HEARTBEAT_S": "0.1"}
    ranks = start_ranks(RANKS, ["0.005", "call", "3"], more, code=code)
    wait_for(lambda: list((tmp_path / "store").glob("p/t/*.h5")))
    write_stop(tmp_path / "store" / "p" / "t", who="sweep", why="bad", attempt=1, wall_s=0.0)
    assert is_agreed(collect(ranks))


def nodes_of(size: int, rank: int) -> dict[str, str]:
    """Return what says that ranks are two a node, each node with an agent of its own."""
    more = rank_environment(rank, size, node=rank // 2)
    runtime = Path(os.environ["HPCTRACK_RUNTIME_DIR"]) / str(rank // 2)
    runtime.mkdir(exist_ok=True)
    more |= {"LOCAL_RANK": str(rank % 2), "LOCAL_WORLD_SIZE": "2"}
    return more | {"HPCTRACK_RUNTIME_DIR": str(runtime)}


@pytest.mark.parametrize("mode", ["call", "step"])
def test_nodes_agree_by_a_file(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "p" / "t"
    folder.mkdir(parents=True)
    # An earlier attempt has stopped; so has another launch that took itself for this attempt.
    (folder / "agreement.a1.json").write_text("nonsense")
    with listening(stop_at(150)) as worker:  # type: ignore[arg-type]
        more = trial_environment(worker.path) | {"HPCTRACK_SEAL": "manual"}
        ranks = [
            start_python(PROGRAM, "0.003", mode, "5", env={**more, **nodes_of(6, rank)})
            for rank in range(6)
        ]
        found = collect(ranks)
    assert is_agreed(found), found
    assert (folder / "agreement.a1.json").stat().st_size == 4096
    assert len(list(folder.glob("node-*.h5"))) == 3
    hpctrack.Store(tmp_path / "store").run("t").close()


ON_A_THREAD = (
    """
from hpctrack.client import spawn
spawn.SOCKET_PATH_MAX_BYTES = 1  # no place for a socket
"""
    + PROGRAM
)


def test_ranks_that_record_on_threads_of_their_own_agree_by_the_file_too() -> None:
    with listening(stop_at(100)) as worker:  # type: ignore[arg-type]
        more = trial_environment(worker.path)
        found = collect(start_ranks(3, ["0.003", "call", "5"], more, code=ON_A_THREAD))
    assert is_agreed(found), found
    assert all("records on a thread" in str(one["err"]) for one in found)


def test_a_second_attempt_does_not_hear_of_the_end_of_the_first(tmp_path: Path) -> None:
    with listening(stop_at(20)) as worker:  # type: ignore[arg-type]
        more = trial_environment(worker.path) | {"HPCTRACK_SEAL": "manual"}

        def run_all() -> list[Found]:
            return collect(
                [
                    start_python(PROGRAM, "0.003", "call", "5", env={**more, **nodes_of(4, rank)})
                    for rank in range(4)
                ]
            )

        assert is_agreed(run_all())
        worker.decide = stop_at(100)  # type: ignore[assignment]
        worker.said.clear()
        more["HPCTRACK_ATTEMPT"] = "2"
        again = run_all()
    assert is_agreed(again)
    assert again[0]["step"] >= 100  # type: ignore[operator]
    assert only_run(tmp_path / "store").record.attempts == 2


MPI_PROGRAM = """
import json, os, random, sys, time
from mpi4py import MPI
import hpctrack
world, mode = MPI.COMM_WORLD, sys.argv[1]
run = hpctrack.init(raise_pruned=mode == "step", settings={"quiet": True})
chance = random.Random(run.rank)
calls, total = 0, 0
try:
    for step in range(100_000):
        time.sleep(chance.expovariate(1 / 0.002))
        total = world.allreduce(1)
        run.log({"loss": 1.0}, step=step)
        if mode == "call":
            calls += 1
            if run.should_stop():
                break
except hpctrack.Pruned:
    pass
total = world.allreduce(total)
said = {"rank": run.rank, "calls": calls, "step": step, "why": run.stop_reason, "total": total}
os.write(1, f"{json.dumps(said)}\\n".encode())
run.finish()
"""


@pytest.mark.mpi
@pytest.mark.parametrize("mode", ["call", "step"])
def test_ranks_of_mpi_leave_their_collectives_together(mode: str) -> None:
    with listening(stop_at(200)) as worker:  # type: ignore[arg-type]
        done = subprocess.run(
            [require_program("mpiexec"), "-n", "4", sys.executable, "-c", MPI_PROGRAM, mode],
            env={**os.environ, **trial_environment(worker.path)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 4, done.stdout
    assert is_agreed(found), found
    assert {one["total"] for one in found} == {16}
