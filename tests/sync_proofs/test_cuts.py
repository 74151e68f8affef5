"""Whenever a connection breaks, nothing half is to be seen, and the next push ends the work."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpctrack.errors import SyncError
from hpctrack.sync.carriers.process_transport import ProcessTransport
from hpctrack.sync.wire.packing import Compress
from hpctrack.sync.wire.protocol import HEADER, MAGIC
from tests.links import Cut, Tap, push_in_process, push_over
from tests.sync_proofs.stores import Source, check_equal, check_store

CUTS, CUTS_PER_TEST = 200, 20
KILLS = 12


def cut_and_go_on(source: Source, target: Path, cut: Cut) -> None:
    """Push over a connection that breaks, look, push again, look."""
    clock = source.clock.clock()
    push_in_process(source.path, target, cut=cut, clock=clock)
    check_store(target, source.path)
    _tap, results = push_in_process(source.path, target, clock=clock)
    assert results is not None
    assert not [one for one in results if one.reason], cut
    check_equal(target, source.path)


@pytest.fixture(scope="module")
def whole(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Tap:
    """All that passes in a push that is not cut."""
    target = tmp_path_factory.mktemp("whole") / "target"
    tap, results = push_in_process(source.path, target, clock=source.clock.clock())
    assert results is not None
    shutil.rmtree(target)
    # By now every hash is known, as it is in the pushes that follow.
    tap, _results = push_in_process(source.path, target, clock=source.clock.clock())
    check_equal(target, source.path)
    return tap


@pytest.mark.parametrize("seed", range(CUTS // CUTS_PER_TEST))
def test_cut_anywhere_in_either_direction(
    source: Source, whole: Tap, folder: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for number in range(CUTS_PER_TEST):
        cut = Cut(sent_bytes=chance.randrange(len(whole.sent)))
        if number % 2:
            cut = Cut(got_bytes=chance.randrange(len(whole.got)))
        cut_and_go_on(source, folder / f"{number}", cut)
        shutil.rmtree(folder / f"{number}")


def iter_boundaries(stream: bytearray) -> Iterator[int]:
    """Yield where each frame begins, and where the last one ends."""
    at = len(MAGIC)
    while at < len(stream):
        yield at
        at += HEADER.size + HEADER.unpack_from(stream, at)[0]
    yield at


@pytest.mark.parametrize("part", range(4))
def test_cut_between_any_two_frames(source: Source, whole: Tap, folder: Path, part: int) -> None:
    cuts = [Cut(sent_bytes=0), Cut(got_bytes=0)]
    cuts += [Cut(sent_bytes=at) for at in iter_boundaries(whole.sent)]
    cuts += [Cut(got_bytes=at) for at in iter_boundaries(whole.got)]
    assert len(cuts) > 25
    for number, cut in enumerate(cuts[part::4]):
        cut_and_go_on(source, folder / f"{number}", cut)


@pytest.mark.parametrize("seed", range(2))
def test_cut_within_packs(source: Source, folder: Path, seed: int) -> None:
    clock, chance = source.clock.clock(), random.Random(seed)
    tap, _results = push_in_process(
        source.path, folder / "whole", clock=clock, compress=Compress.ON
    )
    for number in range(5):
        target = folder / f"{number}"
        cut = Cut(sent_bytes=chance.randrange(len(tap.sent)))
        push_in_process(source.path, target, cut=cut, clock=clock, compress=Compress.ON)
        check_store(target, source.path)
        push_in_process(source.path, target, clock=clock, compress=Compress.ON)
        check_equal(target, source.path)


def test_many_cuts_one_after_the_other(source: Source, whole: Tap, folder: Path) -> None:
    chance, clock, target = random.Random(7), source.clock.clock(), folder / "target"
    sent_bytes = 0
    for _again in range(20):
        cut = Cut(sent_bytes=chance.randrange(len(whole.sent) // 4))
        tap, results = push_in_process(source.path, target, cut=cut, clock=clock)
        sent_bytes += len(tap.sent)
        check_store(target, source.path)
        if results is not None:
            break
    push_in_process(source.path, target, clock=clock)
    check_equal(target, source.path)
    # What has arrived of the large file was not sent again: each cut costs a piece at most.
    assert sent_bytes < 2.5 * len(whole.sent)


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_receiver_that_is_killed_leaves_nothing_half(
    source: Source, whole: Tap, folder: Path, seed: int
) -> None:
    target, clock = folder / "target", source.clock.clock()
    sent_bytes = random.Random(seed).randrange(len(whole.sent))
    with closing(ProcessTransport(target)) as transport:
        child = transport._child
        tap = Tap(transport, lambda: os.kill(child.pid, signal.SIGKILL), Cut(sent_bytes))
        with pytest.raises(SyncError):
            push_over(source.path, tap, clock=clock)
    check_store(target, source.path)
    with closing(ProcessTransport(target)) as transport:
        results = push_over(source.path, transport, clock=clock)
    assert not [one for one in results if one.reason]
    for one in target.glob(".incoming/" + "[0-9a-f]" * 16):
        shutil.rmtree(one)  # a later receiver does that when a day has passed
    check_equal(target, source.path)
