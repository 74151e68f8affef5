"""Sealing any set of node files changes nothing that readers see; envelopes are exact."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpctrack.store.chunk_codec import encode_chunk, fletcher32
from hpctrack.store.columns import Columns
from hpctrack.store.envelope import draw_series, draw_window
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_metrics import SealLimits
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter

pytestmark = pytest.mark.slow

TINY = SealLimits(memory_rows=8, piece_rows=5, series_min=3, bucket=2)
"""Everything that is made for 10**8 points happens with a dozen."""

values = st.floats(allow_nan=True, allow_infinity=True)
steps = st.integers(0, 12) | st.integers(-(2**63), 2**63 - 1)

node_file = st.tuples(
    st.integers(1, 3),  # attempt
    st.integers(0, 2),  # node
    st.lists(
        st.tuples(st.sampled_from(["a", "b/c", "損失"]), st.integers(0, 3), steps, values),
        max_size=25,
    ),
)

shared = st.tuples(
    st.integers(2, 5),  # ranks
    st.lists(st.integers(0, 9), min_size=1, max_size=9),  # their steps
    st.booleans(),  # a second metric logged with the first
)

NodeFile = tuple[int, int, list[tuple[str, int, int, float]]]


def columns_of(run: StoredRun) -> dict[str, dict[str, list[object]]]:
    """Everything there is of the points; NaN as a word, so that equal is equal."""
    return {
        name: {key: [repr(one) for one in getattr(columns, key).tolist()] for key in KEYS}
        for name, columns in run.columns().items()
    }


KEYS = Columns.__slots__


def write(store: Path, files: list[NodeFile]) -> Path:
    folder = Path()
    for number, (attempt, node, points) in enumerate(files):
        writer = NodeWriter(store, attempt=attempt, node=node, wall_s=1e6 + number)
        session = writer.start(node, size=3)
        for metric, rank, step, value in points:
            writer.points(metric, rank, [step], [value])
        writer.end(node, session)
        folder = writer.close().parent
    return folder


@settings(max_examples=25, deadline=None)
@given(st.lists(node_file, min_size=1, max_size=4), st.integers(0, 3))
def test_sealing_changes_nothing_that_readers_see(files: list[NodeFile], sealed: int) -> None:
    """Some of the files are sealed first, the others come later: a requeue after sealing."""
    with tempfile.TemporaryDirectory() as place:
        if files[:sealed]:
            seal_run(write(Path(place), files[:sealed]), limits=TINY)
        folder = write(Path(place), files[sealed:]) if files[sealed:] else Path(place) / "p" / "r"
        before = StoredRun(folder)
        expected, record = columns_of(before), repr(before.record)
        before.close()
        seal_run(folder, limits=TINY)
        assert [path.name for path in folder.iterdir()] == ["run.h5"]
        after = StoredRun(folder)
        assert columns_of(after) == expected
        assert repr(after.record) == record


@settings(max_examples=25, deadline=None)
@given(shared)
def test_ranks_that_share_their_steps_are_read_back(
    shape: tuple[int, list[int], bool],
) -> None:
    ranks, logged, is_double = shape
    with tempfile.TemporaryDirectory() as place:
        writer = NodeWriter(Path(place))
        for rank in range(ranks):
            for step in logged:
                writer.points("a", rank, [step], [rank + step / 16])
                if is_double:
                    writer.points("b", rank, [step], [-rank - step / 16])
        folder = writer.close().parent
        before = columns_of(StoredRun(folder))
        seal_run(folder, limits=TINY)
        assert columns_of(StoredRun(folder)) == before


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40), values), min_size=1, max_size=80),
    st.integers(-2, 42),
    st.integers(0, 45),
    st.integers(1, 9),
    st.none() | st.lists(st.integers(0, 79), max_size=3),
)
def test_envelopes_of_any_window_are_exact(
    logged: list[tuple[int, int, float]],
    start: int,
    length: int,
    width: int,
    late: list[int] | None,
) -> None:
    """Late steps, repeated steps, requeues and NaN included.

    As they come most points are late, and the levels are those of points by step; in order but
    for a few, late ones lie beside levels in the order of logging.
    """
    if late is not None:
        logged = sorted(logged, key=lambda one: one[1])
        logged += [logged.pop(place) for place in late if place < len(logged)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path()
        for attempt in sorted({one[0] for one in logged}):
            mine = [one for one in logged if one[0] == attempt]
            writer = NodeWriter(Path(place), attempt=attempt)
            writer.points("a", 0, [one[1] for one in mine], [one[2] for one in mine])
            folder = writer.close().parent
        seal_run(folder, limits=TINY)
        run = StoredRun(folder)
        series = run.metric("a").rank(0)
        window = (start, start + length)
        found = run.envelope("a", window=window, width=width)
        inside = (series.step >= start) & (series.step < start + length) & ~np.isnan(series.value)
        expected = series.value[inside]
        assert found.points.sum() == len(expected)
        assert len(found) <= 2 * width
        if len(expected):
            assert (found.low.min(), found.high.max()) == (expected.min(), expected.max())
            assert found.step.min() == series.step[inside].min()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), values), max_size=60), st.integers(1, 20))
def test_envelopes_in_memory_hold_every_point(logged: list[tuple[int, float]], width: int) -> None:
    step = np.array([one[0] for one in logged], np.int64)
    value = np.array([one[1] for one in logged], np.float64)
    found = draw_series(step, value, width)
    known = sorted(one for one in value.tolist() if not math.isnan(one))
    assert found.points.sum() == len(known)
    if known:
        assert (found.low.min(), found.high.max()) == (known[0], known[-1])
    assert len(draw_window(step, value, (51, None), width)) == 0


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_definition(data: bytes) -> None:
    first = second = 0
    padded = data + b"\0" * (len(data) % 2)
    for at in range(0, len(padded), 2):
        first += int.from_bytes(padded[at : at + 2], "big")
        first = (first & 0xFFFF) + (first >> 16)
        second += first
        second = (second & 0xFFFF) + (second >> 16)
    assert fletcher32(data) == second << 16 | first


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5000),
    st.sampled_from(["noise", "steps", "repeated", "float32", "few", "constant"]),
    st.integers(0, 2**32 - 1),
)
def test_hdf5_reads_back_the_chunks_that_we_make(rows: int, kind: str, seed: int) -> None:
    import io

    import h5py

    rng = np.random.default_rng(seed)
    chunk = {
        "noise": lambda: rng.normal(size=rows),
        "steps": lambda: np.arange(rows) * 10 + seed,
        "repeated": lambda: np.resize(rng.normal(size=max(1, rows // 4)), rows),
        "float32": lambda: rng.normal(size=rows).astype(np.float32).astype(np.float64),
        "few": lambda: rng.integers(0, 5, rows) / 4,
        "constant": lambda: np.full(rows, 0.1),
    }[kind]()  # type: ignore[no-untyped-call]
    with h5py.File(io.BytesIO(), "w") as file:
        column = file.create_dataset(
            "x", (rows,), chunk.dtype, chunks=(rows,), shuffle=True, compression=1, fletcher32=True
        )
        column.id.write_direct_chunk((0,), encode_chunk(chunk))
        assert np.array_equal(column[:], chunk)
