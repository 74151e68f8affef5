"""A series as bytes."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from hpctrack_server.data.downsample import Band
from hpctrack_server.data.encode import encode_series
from hpctrack_server.data.frames import Line, SeriesFrame, SeriesQuery, View


def decode(body: bytes) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    """Read what the browser reads."""
    (size,) = struct.unpack_from("<I", body)
    head = json.loads(body[4 : 4 + size])
    offset, arrays = 4 + size, []
    for entry in head["arrays"]:
        assert offset % 8 == 0
        dtype = np.dtype(f"<{entry['type']}")
        values = np.frombuffer(body, dtype, entry["length"], offset)
        arrays.append(values)
        offset += -(-values.nbytes // 8) * 8
    assert offset == len(body)
    return head, arrays


def encode_line(x: object, y: object) -> tuple[dict[str, Any], list[np.ndarray[Any, Any]]]:
    line = Line(2, np.array(x), np.array(y))
    query = SeriesQuery(metric="loss \u2603", view=View.ALL)
    frame = SeriesFrame(query=query, version=7, ranks=4, total=99, lines=(line,))
    return decode(encode_series(frame))


def test_lines_come_back_in_order() -> None:
    head, (x, y) = encode_line([1, 2, 3], [0.5, 0.25, 0.125])
    assert head["metric"] == "loss \u2603"
    assert (head["total"], head["drawn"], head["version"], head["ranks"]) == (99, 3, 7, 4)
    assert [one["rank"] for one in head["arrays"]] == [2, 2]
    assert (x.dtype, y.dtype) == (np.float32, np.float32)
    assert list(x) == [1, 2, 3]
    assert list(y) == [0.5, 0.25, 0.125]


def test_steps_that_float32_cannot_hold_travel_as_float64() -> None:
    steps = [123_456_789, 123_456_790, 123_456_791]
    _head, (x, _y) = encode_line(steps, [1.0, 2.0, 3.0])
    assert list(x) == steps


def test_small_changes_of_a_large_value_are_not_flattened() -> None:
    _head, (_x, y) = encode_line([0, 1, 2], [1e9, 1e9 + 0.25, 1e9 + 0.5])
    assert list(np.diff(y)) == [0.25, 0.25]


def test_what_is_not_finite_becomes_a_gap() -> None:
    _head, (_x, y) = encode_line([0, 1, 2, 3], [np.inf, -np.inf, np.nan, 1.0])
    assert np.isnan(y[:3]).all()
    _head, (_x, y) = encode_line([0, 1], [1e300, -1e300])
    assert np.isfinite(y).all(), "large, but finite"


def test_band_has_four_arrays() -> None:
    x = np.arange(5.0)
    frame = SeriesFrame(
        query=SeriesQuery(metric="m"), version=1, ranks=2, total=5, band=Band(x, x, x - 1, x + 1)
    )
    head, arrays = decode(encode_series(frame))
    assert [one["name"] for one in head["arrays"]] == ["x", "mean", "low", "high"]
    assert list(arrays[3]) == [1, 2, 3, 4, 5]


def test_empty_series_has_only_a_header() -> None:
    frame = SeriesFrame(query=SeriesQuery(metric="m"), version=1, ranks=0, total=0)
    head, arrays = decode(encode_series(frame))
    assert arrays == []
    assert head["drawn"] == 0
