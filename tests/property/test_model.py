"""The store against a model made of dictionaries."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpctrack.core import wire
from hpctrack.core.wire import Decoder
from hpctrack.store.columns import Columns
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter

pytestmark = pytest.mark.slow

SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

numbers = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(
    st.tuples(
        st.integers(1, 3),  # attempt
        st.integers(0, 2),  # rank
        st.sampled_from(["a", "b/c", "損失"]),
        st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5),  # step
        numbers,
    ),
    max_size=40,
)

Point = tuple[int, int, str, int, float]


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def model(logged: list[Point], metric: str) -> list[tuple[int, int, float]]:
    """Return (rank, step, value) that count: a later attempt hides what it computed again.

    That is everything from the step on that it logged first, and each step below that it logged.
    """
    kept = []
    mine = [one for one in logged if one[2] == metric]
    for attempt, rank, _metric, step, value in sorted(mine, key=lambda one: (one[1], one[0])):
        later: dict[int, list[int]] = {}
        for other, whose, _name, at, _value in mine:
            if whose == rank and other > attempt:
                later.setdefault(other, []).append(at)
        if all(step < steps[0] and step not in steps for steps in later.values()):
            kept.append((rank, step, value))
    return kept


@SLOW
@given(points)
def test_what_was_logged_is_read_back_live_and_sealed(logged: list[Point]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        for attempt in sorted({1, *(one[0] for one in logged)}):
            writer = NodeWriter(store, attempt=attempt)
            writer.start(0)
            for _attempt, rank, metric, step, value in (p for p in logged if p[0] == attempt):
                writer.points(metric, rank, [step], [value])
            writer.end(0, 0)
            writer.close()
        run = StoredRun(store / "p" / "r")
        check(run, logged)
        run.close()
        assert seal_run(store / "p" / "r").points == len(logged)
        check(StoredRun(store / "p" / "r"), logged)


def check(run: StoredRun, logged: list[Point]) -> None:
    assert run.metrics() == sorted({one[2] for one in logged})
    for name in run.metrics():
        metric = run.metric(name)
        expected = model(logged, name)
        found = list(
            zip(metric.ranks.tolist(), metric.steps.tolist(), metric.values.tolist(), strict=True)
        )
        assert [one[:2] for one in found] == [one[:2] for one in expected]
        assert all(same(a[2], b[2]) for a, b in zip(found, expected, strict=True))
        last = {(rank, step): value for rank, step, value in expected}
        history = run.history([name])
        keys = zip(history["_rank"].tolist(), history["_step"].tolist(), strict=True)
        table = dict(zip(keys, history[name].tolist(), strict=True))
        assert table.keys() == last.keys()
        assert all(same(table[key], last[key]) for key in last)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.lists(st.tuples(st.integers(0, 2**32 - 1), numbers), max_size=5),
        )
    ),
    st.integers(1, 50),
)
def test_frames_survive_any_cut_of_the_stream(
    calls: list[tuple[int, list[tuple[int, float]]]], piece: int
) -> None:
    stream = b"".join(
        wire.pack_points(step, 1.0, [part for pair in pairs for part in pair])
        for step, pairs in calls
    )
    decoder, found = Decoder(), []
    for start in range(0, len(stream), piece):
        for frame in decoder.feed(stream[start : start + piece]):
            step, wall_s = wire.POINTS_HEAD.unpack_from(frame.body)
            assert wall_s == 1.0
            found.append((step, list(wire.POINT.iter_unpack(frame.body[16:]))))
    assert [step for step, _pairs in found] == [step for step, _pairs in calls]
    for (_step, got), (_other, sent) in zip(found, calls, strict=True):
        assert [number for number, _value in got] == [number for number, _value in sent]
        assert all(same(a[1], b[1]) for a, b in zip(got, sent, strict=True))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_the_decoder_survives_any_bytes(data: bytes) -> None:
    from hpctrack.errors import ProtocolError

    try:
        frames = list(Decoder().feed(data))
    except ProtocolError:
        return
    assert sum(8 + len(frame.body) for frame in frames) <= len(data)


def test_joining_columns_keeps_their_order() -> None:
    empty = Columns.empty()
    assert len(Columns.join([empty, empty])) == 0
    assert not empty.superseded().any()
