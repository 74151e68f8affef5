"""The ring between a rank and its agent, both ends in one process."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.agents.points import PointDecoder
from hpctrack.core import ring_reader, wire
from hpctrack.core.ring import FIRST_BYTES, HEAD_BYTES, MIN_BYTES, RingWriter
from hpctrack.core.ring_reader import RingReader
from hpctrack.errors import ProtocolError
from hpctrack.store.schema import POINT

FRAME_BYTES = 40
"""What one number takes: header 8, step and time 16, number and value 12, rounded up."""


class Ends:
    """Both ends of a ring, and what the reader has decoded."""

    def __init__(self, size_bytes: int = MIN_BYTES) -> None:
        self.writer = RingWriter(size_bytes)
        self.names: dict[str, int] = {}
        self.attach()

    def attach(self) -> None:
        """Begin reading as an agent does, the first one or a successor."""
        self.reader = RingReader(os.dup(self.writer.fd))
        self.decoder = PointDecoder(0, lambda name: self.names.setdefault(name, len(self.names)))
        self.decoder.points = self.reader.points_done

    def read(self, *, confirm: bool = True, is_last: bool = False) -> np.ndarray:
        for view in self.reader.read(is_last=is_last):
            self.decoder.add_run(view)
        rows = np.frombuffer(self.decoder.take(), POINT)
        if confirm:
            self.reader.confirm(self.decoder.points, 0)
        return rows


def put(writer: RingWriter, step: int, *values: float) -> bool:
    pairs = [part for number, value in enumerate(values) for part in (number, value)]
    return writer.put_points(step, 1.5, pairs)


def test_what_is_written_is_read() -> None:
    ends = Ends()
    for number, name in enumerate(["loss", "acc"]):
        assert ends.writer.put_frame(wire.pack_name(number, name))
    assert put(ends.writer, 7, 0.5, 0.25)
    rows = ends.read()
    assert ends.names == {"loss": 0, "acc": 1}
    assert rows["step"].tolist() == [7, 7]
    assert rows["value"].tolist() == [0.5, 0.25]
    assert rows["wall_s"].tolist() == [1.5, 1.5]
    assert rows["metric"].tolist() == [0, 1]
    assert not ends.reader.has_news()
    assert ends.writer.unconfirmed_points == 0


def test_a_full_ring_drops_and_counts_and_goes_on_when_there_is_room() -> None:
    ends = Ends()
    ends.writer.put_frame(wire.pack_name(0, "a"))
    taken = sum(put(ends.writer, step, float(step)) for step in range(20_000))
    room = FIRST_BYTES + MIN_BYTES
    assert room - 3 * FRAME_BYTES <= taken * FRAME_BYTES <= room
    assert ends.writer.dropped_points == 20_000 - taken == ends.reader.dropped_points
    assert ends.read()["step"].tolist() == list(range(taken))
    assert put(ends.writer, 20_000, 1.0)
    assert ends.read()["step"].tolist() == [20_000]
    assert ends.writer.points == taken + 1


def test_an_agent_that_keeps_up_leaves_the_overflow_untouched() -> None:
    ends = Ends(64 * MIN_BYTES)
    ends.writer.put_frame(wire.pack_name(0, "a"))
    for step in range(30_000):
        put(ends.writer, step, 1.0)
        if step % 1000 == 0:
            ends.read()
    touched = os.fstat(ends.writer.fd).st_blocks * 512
    assert touched <= HEAD_BYTES + FIRST_BYTES


def test_a_successor_gets_what_was_not_confirmed_and_knows_how_much_was() -> None:
    ends = Ends()
    ends.writer.put_frame(wire.pack_name(0, "a"))
    put(ends.writer, 0, 1.0)
    ends.read()
    put(ends.writer, 1, 1.0)
    put(ends.writer, 2, 1.0)
    ends.read(confirm=False)  # and then it was killed
    ends.attach()
    assert ends.reader.points_done == 1
    ends.decoder.set_name(0, "a")
    assert ends.read()["step"].tolist() == [1, 2]


def test_points_that_are_in_a_file_already_are_passed_over_once() -> None:
    ends = Ends()
    ends.writer.put_frame(wire.pack_name(0, "a"))
    for step in range(40):
        put(ends.writer, step, 1.0, *([2.0] if step % 3 == 0 else []))
    ends.decoder.set_name(1, "b")
    ends.decoder.skip = 20
    rows = ends.read()
    assert len(rows) == 40 + 14 - 20
    assert ends.decoder.points == 54
    assert rows["step"].tolist()[-1] == 39


def test_points_nobody_has_named_are_counted() -> None:
    ends = Ends()
    for step in range(20):
        put(ends.writer, step, 1.0)
    put(ends.writer, 20, 1.0, 2.0)
    assert len(ends.read()) == 0
    assert ends.decoder.unnamed == 22


def test_a_step_beyond_64_bits_writes_nothing() -> None:
    ends = Ends()
    with pytest.raises(struct.error):
        put(ends.writer, 2**63, 1.0)
    assert not ends.reader.has_news()


def test_on_a_weakly_ordered_processor_the_reader_waits_one_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_reader, "IS_STRONGLY_ORDERED", False)
    ends = Ends()
    ends.writer.put_frame(wire.pack_name(0, "a"))
    put(ends.writer, 0, 1.0)
    assert len(ends.read()) == 0
    assert len(ends.read()) == 1
    put(ends.writer, 1, 1.0)
    assert len(ends.read(is_last=True)) == 1


@pytest.mark.parametrize("size", [0, 100, HEAD_BYTES + FIRST_BYTES + MIN_BYTES])
def test_what_is_no_ring_is_refused(size: int) -> None:
    fd = os.memfd_create("other")
    os.ftruncate(fd, size)
    with pytest.raises(ProtocolError):
        RingReader(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@settings(deadline=None, max_examples=40)
@given(st.binary(min_size=8, max_size=400))
def test_nonsense_in_the_ring_is_an_error_and_no_crash(data: bytes) -> None:
    decoder = PointDecoder(0, lambda _name: 0)
    try:
        decoder.add_run(memoryview(data))
    except (ProtocolError, struct.error, ValueError):
        return
    assert len(decoder.rows) % POINT.itemsize == 0


Action = tuple[str, int]
actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 300)),
        st.tuples(st.just("burst"), st.integers(1, 4000)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("peek"), st.just(0)),
        st.tuples(st.just("replace"), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_whatever_happens_points_come_once_in_order_or_are_counted(plan: list[Action]) -> None:  # noqa: C901 - a model
    ends = Ends()
    for number in range(300):
        ends.writer.put_frame(wire.pack_name(number, f"m{number}"))
    ends.read()
    offered = 0
    taken: list[int] = []
    pending: list[int] = []
    got: list[int] = []
    for what, size in plan:
        if what == "put":
            offered += size
            if put(ends.writer, offered, *range(size)):
                taken += [offered] * size
        elif what == "burst":
            for _ in range(size):
                offered += 1
                if put(ends.writer, offered, 1.0):
                    taken.append(offered)
        elif what == "read":
            got += [*pending, *ends.read()["step"].tolist()]
            pending = []
        elif what == "peek":
            pending += ends.read(confirm=False)["step"].tolist()
        else:
            pending = []
            ends.attach()
            for number in range(300):
                ends.decoder.set_name(number, f"m{number}")
    got += [*pending, *ends.read(is_last=True)["step"].tolist()]
    assert got == taken
    assert ends.writer.points == len(taken)
    assert ends.writer.dropped_points == offered - len(taken)
