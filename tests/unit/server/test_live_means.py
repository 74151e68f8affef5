"""A mean that open charts are told has all ranks' values, or is left out and they fetch again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.store.point_feed import ROWS_MAX
from hpctrack.store.schema import POINT
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.series.live_feed import ROWS_BEFORE, LiveFeeds, Tick
from hpctrack_server.data.series.live_watch import PointWatcher, Watched
from hpctrack_server.data.series.open_steps import OPEN_STEPS
from hpctrack_server.data.series.query import RankChoice
from tests.stores import FakeClock, NodeWriter
from tests.unit.server.test_live_points import MEAN, pieces_of

SOURCE = ("p", "r")
MANY = range(OPEN_STEPS * 3 // 2)

Look = Callable[[], Tick]


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    feeds = LiveFeeds(tmp_path, clock=FakeClock().clock(), stale_after_s=1e6)
    yield lambda: feeds.look({SOURCE: MEAN})[SOURCE]
    feeds.close()


def begin(store: Path, *, ranks: int = 1, **more: Any) -> NodeWriter:
    writer = NodeWriter(store, **more)
    for rank in range(ranks):
        writer.start(rank)
    return writer


def log(writer: NodeWriter, rank: int, steps: range, value: float) -> None:
    writer.points("loss", rank, steps, [value] * len(steps))
    writer.flush()


def log_together(writer: NodeWriter, steps: range, ranks: list[int], width: int = 1) -> None:
    """Log the rank as value, step by step; a row in ``width`` is the metric's."""
    rows = np.zeros((len(steps), len(ranks), width), POINT)
    rows["step"] = np.array(steps)[:, np.newaxis, np.newaxis]
    rows["wall_s"] = writer.wall_s
    rows["rank"] = np.array(ranks)[:, np.newaxis]
    rows["value"] = rows["rank"]
    rows["metric"] = [writer.number("loss"), *(writer.number(f"m{n}") for n in range(1, width))]
    writer.file.add_points(rows.tobytes())
    writer.flush()


def means_of(*ticks: Tick) -> dict[int, float]:
    """Return what a page draws that was told these."""
    told: dict[int, float] = {}
    for piece in (one for tick in ticks for one in pieces_of(tick)):
        told.update(zip(piece["step"], piece["value"], strict=True))
    return told


def test_a_rank_that_comes_too_late_for_a_mean_has_charts_fetched_again(
    tmp_path: Path, look: Look
) -> None:
    writer = begin(tmp_path, ranks=3)
    for rank in (0, 1):
        log(writer, rank, range(1), 0.0)
    look()
    for rank in (0, 1):
        log(writer, rank, MANY[1:], 0.0)
    both = look()
    assert means_of(both) == dict.fromkeys(MANY[1:], 0.0), "however many have come in one look"
    assert not both.is_stale
    log(writer, 2, MANY, 3.0)
    late = look()
    assert late.is_stale
    assert means_of(late) == dict.fromkeys(MANY[-OPEN_STEPS:], 1.0)
    log(writer, 0, range(MANY.stop, MANY.stop + 1), 0.0)
    assert not look().is_stale


def test_many_looks_give_up_no_step_that_was_logged_lately(tmp_path: Path, look: Look) -> None:
    writer = begin(tmp_path, ranks=3)
    log_together(writer, range(1), [0, 1])
    ticks = [look()]
    for start in range(1, MANY.stop, 500):
        log_together(writer, range(start, start + 500), [0, 1])
        ticks.append(look())
    stop = max(means_of(*ticks)) + 1
    assert means_of(*ticks) == dict.fromkeys(range(stop), 0.5)
    log(writer, 2, range(stop - OPEN_STEPS, stop), 2.0)
    late = look()
    assert not late.is_stale
    assert set(means_of(late).values()) == {1.0}
    log(writer, 2, range(3), 2.0)
    late = look()
    assert late.is_stale
    assert not means_of(late)


def test_a_rank_that_follows_one_that_was_alone_is_told_as_no_mean(
    tmp_path: Path, look: Look
) -> None:
    writer = begin(tmp_path, ranks=2)
    log(writer, 0, range(10), 0.0)
    look()
    for steps in (range(4), range(4, 8)):
        log(writer, 1, steps, 2.0)
        tick = look()
        assert tick.is_stale
        assert not means_of(tick), "the other's values are not known any more"
    log(writer, 0, range(10, 12), 0.0)
    log(writer, 1, range(8, 12), 2.0)
    assert means_of(look()) == {10: 1.0, 11: 1.0}
    log(writer, 0, range(12, 13), 0.0)
    assert not look().is_stale


@pytest.mark.parametrize("cut_off", [0, 1, 333])
def test_the_first_look_tells_only_steps_that_it_has_seen_whole(
    tmp_path: Path, look: Look, cut_off: int
) -> None:
    writer, width, ranks = begin(tmp_path, ranks=6), 80, [5, 4, 3, 2, 1, 0]
    count = ROWS_BEFORE // (width * len(ranks)) + 40
    log_together(writer, range(count), ranks, width)
    log_together(writer, range(count, count + 1), ranks[:1], width)
    writer.points("m1", 5, range(cut_off), [0.0] * cut_off)
    writer.flush()
    first = look()
    told = means_of(first)
    assert told.pop(count) == 5.0, "all that there is of it"
    assert set(told.values()) == {2.5}
    assert 100 < len(told) < count
    assert not first.is_stale
    log_together(writer, range(count, count + 1), ranks[1:], width)
    later = look()
    assert (means_of(later), later.is_stale) == ({count: 2.5}, False)


def test_the_first_look_knows_what_a_rank_that_is_ahead_has_logged_before(
    tmp_path: Path, look: Look
) -> None:
    writer = begin(tmp_path, ranks=2)
    log(writer, 1, range(1000), 2.0)
    log_together(writer, range(ROWS_BEFORE), [0], 1)
    log(writer, 1, range(70_000, 70_001), 2.0)
    assert not means_of(look())
    log(writer, 0, range(70_000, 70_002), 0.0)
    log(writer, 1, range(70_001, 70_002), 2.0)
    later = look()
    assert later.is_stale
    assert means_of(later) == {70_001: 1.0}


def test_after_more_than_one_look_reads_means_are_told_of_whole_steps_only(
    tmp_path: Path, look: Look
) -> None:
    writer, width, ranks = begin(tmp_path, ranks=31), 10, list(range(31))
    log_together(writer, range(5), ranks, width)
    look()
    stop = ROWS_MAX // (width * len(ranks)) + 40
    log_together(writer, range(5, stop), ranks, width)
    tick = look()
    told = means_of(tick)
    assert tick.is_stale
    assert set(told.values()) == {15.0}
    assert stop // 2 < len(told) < stop - 5
    log_together(writer, range(stop, stop + 1), ranks, width)
    tick = look()
    assert (means_of(tick), tick.is_stale) == ({stop: 15.0}, False)


def test_a_mean_over_nodes_has_the_ranks_of_all(tmp_path: Path, look: Look) -> None:
    nodes = [begin(tmp_path, node=node) for node in range(2)]
    for rank, writer in enumerate(nodes):
        log(writer, rank, range(5), 2.0 * rank)
    assert means_of(look()) == dict.fromkeys(range(5), 1.0)
    for rank, writer in enumerate(nodes):
        log(writer, rank, range(5, 7), 2.0 * rank)
    tick = look()
    assert len(pieces_of(tick)) == 1
    assert (means_of(tick), tick.is_stale) == ({5: 1.0, 6: 1.0}, False)


def test_the_first_look_tells_nothing_that_a_requeue_has_computed_again(
    tmp_path: Path, look: Look
) -> None:
    log(begin(tmp_path), 0, range(10), 1.0)
    log(begin(tmp_path, attempt=2), 0, range(6, 8), 2.0)
    assert means_of(look()) == {6: 2.0, 7: 2.0}


def test_ranks_of_their_own_are_told_whatever_the_mean_lacks(tmp_path: Path) -> None:
    feeds = LiveFeeds(tmp_path, clock=FakeClock().clock(), stale_after_s=1e6)
    wanted = {SOURCE: frozenset[RankChoice | int]({RankChoice.MEAN, 1})}
    writer = begin(tmp_path, ranks=2)
    log(writer, 0, range(10), 0.0)
    feeds.look(wanted)
    log(writer, 1, range(4), 2.0)
    tick = feeds.look(wanted)[SOURCE]
    feeds.close()
    assert pieces_of(tick, how=1)[0]["step"] == list(range(4))


def test_a_page_that_begins_after_means_were_found_to_lack_a_rank_fetches_again(
    tmp_path: Path,
) -> None:
    writer = begin(tmp_path, ranks=2)

    async def begin_to_watch(watcher: PointWatcher) -> list[str]:
        with watcher.watch(Watched("p", ("r",), frozenset())) as viewer:
            await watcher.begin(viewer)
            return [event.name for event in await viewer.next(1)]

    async def watch() -> list[list[str]]:
        feeds = LiveFeeds(tmp_path, clock=FakeClock().clock(), stale_after_s=1e6)
        watcher = PointWatcher(feeds, reader := Reader(), interval_s=2)
        with watcher.watch(Watched("p", ("r",), frozenset())):
            await watcher.look()
            log(writer, 0, range(10), 0.0)
            await watcher.look()
            found = [await begin_to_watch(watcher)]
            log(writer, 1, range(4), 2.0)
            await watcher.look()
            found.append(await begin_to_watch(watcher))
        await watcher.close(1)
        await reader.call(feeds.close)
        reader.close()
        return found

    assert asyncio.run(watch()) == [["points"], ["points", "stale"]]
