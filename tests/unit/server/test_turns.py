"""Long work gives way to short work, and ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from tornado.web import Finish

from hpctrack.core.clock import Clock
from hpctrack.store.seal import seal_run
from hpctrack_server.data.reader import TURN_S, EndingError, Reader
from hpctrack_server.data.series.charts import ChartReader, Wanted
from hpctrack_server.data.series.query import ChartQuery
from hpctrack_server.settings import ServerSettings
from tests.stores import START_S, write_run

RUNS = 12


@pytest.fixture
def numbers() -> Iterator[Reader]:
    """Return a reader for whose clock each look is a turn later: a turn has one step."""
    ticks = count()
    late = Clock(wall_s=lambda: START_S, mono_s=lambda: next(ticks) * TURN_S)
    reader = Reader("test", clock=late)
    yield reader
    reader.close()


def no_look() -> None:
    """Go on always."""


def test_a_small_chart_is_answered_after_one_run_of_a_large_one(
    tmp_path: Path, numbers: Reader
) -> None:
    for at in range(RUNS):
        seal_run(write_run(tmp_path, run=f"r{at}", steps=5))
    charts = ChartReader(ServerSettings(store=tmp_path))
    wanted = [Wanted(f"r{at}", f"run {at}") for at in range(RUNS)]
    query = ChartQuery(y="loss")
    looks: list[int] = []
    begun, asked = threading.Event(), threading.Event()
    answers: list[tuple[str, int]] = []

    def look() -> None:
        looks.append(len(looks))
        if len(looks) == 4:  # the first runs are read
            begun.set()
            assert asked.wait(60)

    async def ask(name: str, runs: list[Wanted], look: object) -> None:
        steps = charts.draw_in_steps("p", runs, query)
        frame = await numbers.call_in_turns(steps, look)  # type: ignore[arg-type]
        assert len(frame.lines) == len(runs)
        answers.append((name, len(looks)))

    async def work() -> None:
        large = asyncio.create_task(ask("large", wanted, look))
        await asyncio.to_thread(begun.wait, 60)
        small = asyncio.create_task(ask("small", wanted[:1], no_look))
        await asyncio.sleep(0)
        asked.set()
        await asyncio.gather(large, small)

    asyncio.run(work())
    charts.close()
    assert [name for name, _looks in answers] == ["small", "large"]
    # Each of its own few steps may have waited for one of the other's.
    assert answers[0][1] <= 4 + 3


def test_whoever_asks_anew_comes_before_all_that_have_had_a_turn(numbers: Reader) -> None:
    done: list[str] = []
    begun, asked = threading.Event(), threading.Event()

    def steps(name: str) -> Generator[None, None, str]:
        for at in range(5):
            if name == "c" and at == 1:
                begun.set()
                assert asked.wait(60)
            done.append(name)
            yield
        return name

    async def work() -> list[str]:
        long = [
            asyncio.create_task(numbers.call_in_turns(steps(one), no_look))
            for one in ("a", "b", "c")
        ]
        await asyncio.to_thread(begun.wait, 60)
        short = asyncio.create_task(numbers.call(done.append, "short"))
        await asyncio.sleep(0)
        asked.set()
        await short
        return list(await asyncio.gather(*long))

    assert asyncio.run(work()) == ["a", "b", "c"]
    at = done.index("short")
    assert done[at - 1] == "c"
    assert sorted(done) == ["a"] * 5 + ["b"] * 5 + ["c"] * 5 + ["short"]


def test_work_in_turns_ends_where_nobody_waits_any_more(numbers: Reader) -> None:
    done: list[int] = []
    is_closed = False

    def steps() -> Generator[None, None, None]:
        nonlocal is_closed
        try:
            for at in range(100):
                done.append(at)
                yield
        finally:
            is_closed = True

    def look() -> None:
        if len(done) == 3:
            raise Finish

    with pytest.raises(Finish):
        asyncio.run(numbers.call_in_turns(steps(), look))
    assert done == [0, 1, 2]
    assert is_closed


def test_what_goes_wrong_in_a_turn_reaches_whoever_asked(numbers: Reader) -> None:
    def steps() -> Generator[None, None, None]:
        yield
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        asyncio.run(numbers.call_in_turns(steps(), no_look))


def test_what_has_not_begun_is_told_that_the_server_ends(numbers: Reader) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return go.wait(60)

    async def end() -> list[object]:
        first = asyncio.create_task(numbers.call(work))
        await asyncio.to_thread(begun.wait, 60)
        second = asyncio.create_task(numbers.call(int))
        await asyncio.sleep(0)
        numbers.close()
        go.set()
        answers = await asyncio.gather(first, second, return_exceptions=True)
        with pytest.raises(EndingError, match="is ending"):
            await numbers.call(int)
        return list(answers)

    was_done, given_up = asyncio.run(end())
    assert was_done is True
    assert isinstance(given_up, EndingError)
