"""A run that is injured anyhow has the points that were logged, or says what is missing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import Phase, event, example, given, note, settings
from hypothesis import strategies as st

from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.injuries import DAMAGES, STARVING_POINTS, Job, check_damages, read_points

pytestmark = pytest.mark.slow

Deed = tuple[str, int, int]

logs = st.tuples(st.just("log"), st.integers(0, 1), st.integers(1, 3000))
kills = st.tuples(st.just("kill rank"), st.integers(0, 1), st.just(0))
others = st.tuples(
    st.sampled_from(["kill agent", "kill all", "stop agent", "go on", "settle", "wait"]),
    st.integers(0, 50),
    st.just(0),
)
starved = st.tuples(st.just("starve"), st.integers(0, 1), st.just(STARVING_POINTS))
damages = st.lists(
    st.tuples(st.sampled_from(DAMAGES), st.integers(0, 2**32 - 1)), min_size=3, max_size=6
)


def do(job: Job, deed: Deed) -> None:
    what, number, count = deed
    match what:
        case "log":
            job.log(number, count)
        case "starve":
            job.stop_agent()
            job.log(number, count)
            job.settle()
        case "kill rank":
            job.kill_rank(number)
        case "kill agent":
            job.kill_agent()
        case "kill all":
            job.kill_all()
        case "stop agent":
            job.stop_agent()
        case "go on":
            job.go_on()
        case "settle":
            job.settle()
        case _:
            # Kills come at any moment of what the others do: that is the point.
            time.sleep(number / 1000)


def check_ledger(job: Job) -> None:
    """What is recorded and what is dropped is what was logged, for ranks whose agent lived."""
    points = read_points(job.run)
    run = StoredRun(job.run)
    dropped = int(run.record.ledger.get("dropped_points", 0))
    run.close()
    assert verify_run(job.run).is_intact, "a kill damages nothing"
    recorded = [sum(rank == number for rank, _step in points) for number in range(len(job.ranks))]
    returned = [rank.returned for rank in job.ranks]
    # A rank that was killed may have been within a call.
    assert all(0 <= step <= returned[rank] for rank, step in points)
    assert sum(recorded) + dropped <= sum(returned) + len(job.ranks)
    exact = [number for number, rank in enumerate(job.ranks) if rank.is_exact]
    assert sum(recorded[one] for one in exact) + dropped >= sum(returned[one] for one in exact)
    for number in exact if not dropped else ():
        assert recorded[number] in {returned[number], returned[number] + 1}
    for rank, count in enumerate(recorded):
        note(f"rank {rank}: {count} recorded of {returned[rank]}; {dropped} dropped by all")
    event(f"{len(exact)} exact, {'some' if dropped else 'none'} dropped")


# Every example starts three processes, so a failing one is not made smaller.
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@example([("starve", 0, STARVING_POINTS), ("kill rank", 0, 0), ("log", 1, 500)], [("cut", 1)])
@example(
    [("log", 0, 3000), ("kill agent", 0, 0), ("starve", 1, STARVING_POINTS)], [("sealed, blank", 2)]
)
@example([("log", 0, 3000), ("log", 1, 3000), ("kill all", 0, 0)], [("flip metadata", 3)])
@given(st.lists(logs | kills | starved | others, min_size=3, max_size=10), damages)
def test_no_injury_costs_more_than_is_said_or_makes_a_wrong_point(
    deeds: list[Deed], after: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="ht-", dir="/tmp") as place:
        job = Job(Path(place))
        try:
            for deed in deeds:
                do(job, deed)
            job.end()
        finally:
            job.clear()
        check_ledger(job)
        check_damages(job.run, after)
