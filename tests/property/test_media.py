"""Media come back as they were logged, and make way as points do."""

from __future__ import annotations

import io
import math
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import hpctrack
from hpctrack.agents.encode.png import encode_png
from hpctrack.store.media_decode import decode_png, decode_table
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.media_writing import encode_one
from tests.property.test_ranks import Point, current
from tests.stores import NodeWriter

pytestmark = pytest.mark.slow

FEW = settings(deadline=None, max_examples=25)


@FEW
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 7, 256]),
)
def test_a_png_has_the_pixels_it_was_made_of(
    shape: tuple[int, int, int], is_wide: bool, seed: int, colours: int
) -> None:
    """Noise, few colours, and one: each takes another filter."""
    rng = np.random.default_rng(seed)
    pixels: Any = rng.integers(0, colours, shape, np.uint8)
    if is_wide and shape[2] == 1:
        pixels = pixels.astype(np.uint16) * 257
    body = encode_png(pixels)
    expected = pixels[..., 0] if shape[2] == 1 else pixels
    ours = decode_png(body)
    assert ours is not None
    np.testing.assert_array_equal(np.squeeze(ours), np.squeeze(pixels))
    theirs = np.asarray(Image.open(io.BytesIO(body)))
    np.testing.assert_array_equal(theirs.reshape(expected.shape), expected)


@FEW
@given(
    # Of two samples in two channels nobody can tell which is which.
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=3, max_size=200),
    st.integers(1, 2),
    st.sampled_from([8000, 44100]),
)
def test_a_sound_of_16_bits_has_the_samples_it_was_made_of(
    samples: list[int], channels: int, rate: int
) -> None:
    array = np.array([samples] * channels, np.int16).T
    with wave.open(io.BytesIO(encode_one(hpctrack.Audio(array, rate)).body)) as file:
        assert (file.getframerate(), file.getnchannels()) == (rate, channels)
        found = np.frombuffer(file.readframes(len(samples)), "<i2").reshape(-1, channels)
    np.testing.assert_array_equal(found, array)


cells = (
    st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=True)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    | st.booleans()
    | st.none()
)


@FEW
@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_table_has_the_cells_it_was_made_of(rows: list[list[Any]]) -> None:
    found = decode_table(encode_one(hpctrack.Table(columns=["a", "b", "c"], data=rows)).body)
    assert found.columns == ["a", "b", "c"]
    assert len(found.rows) == len(rows)
    for got, sent in zip(found.rows, rows, strict=True):
        assert all(map(is_same, got, sent)), (got, sent)


def is_same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and (one is None) == (other is None)


logged = st.lists(
    st.builds(
        Point,
        st.integers(1, 3),
        st.integers(0, 2),
        st.integers(0, 6),
        st.just(0.0),
        st.integers(0, 999).map(float),
    ),
    max_size=30,
)


@FEW
@given(logged, st.booleans())
def test_a_later_attempt_takes_the_place_of_media_by_the_rule_of_points(
    found: list[Point], is_sealed: bool
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path()
        for attempt in sorted({1, *(one.attempt for one in found)}):
            writer = NodeWriter(Path(place), attempt=attempt)
            writer.start(0)
            mine = [one for one in found if one.attempt == attempt]
            for number, one in enumerate(mine):
                told = {"key": "k", "step": one.step, "n": number, "meta": {"value": one.value}}
                told |= {"type": "text", "format": "txt", "digest": "0" * 64, "size": 1}
                writer.event(EventKind.MEDIA, told, rank=one.rank)
            writer.end(0, 0)
            folder = writer.close().parent
        if is_sealed:
            seal_run(folder)
        run = StoredRun(folder)
        items = [(one.rank, one.step, one.attempt, one.meta["value"]) for one in run.media("k")]
        run.close()
    expected = [(one.rank, one.step, one.attempt, one.value) for one in current(found)]
    assert sorted(items) == sorted(expected)
