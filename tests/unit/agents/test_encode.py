"""Encoding: every file is read back by somebody else's reader."""

from __future__ import annotations

import io
import json
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Pillow
from sklearn.datasets import load_sample_image

import hpctrack
from hpctrack.agents.encode import encode
from hpctrack.agents.encode.png import BAND_BYTES, encode_apng, encode_png
from hpctrack.client.media import capture
from hpctrack.client.media.source import IN_RANK_MAX_BYTES
from hpctrack.errors import ProtocolError
from hpctrack.store.media_decode import decode_png
from hpctrack.store.schema import Place
from tests.media_writing import encode_one, encode_value

QUICK = settings(max_examples=30, deadline=None)


def pixels_of(body: bytes) -> np.ndarray[Any, Any]:
    with Pillow.open(io.BytesIO(body)) as picture:
        return np.asarray(picture)


def frames_of(body: bytes) -> list[np.ndarray[Any, Any]]:
    found = []
    with Pillow.open(io.BytesIO(body)) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(np.asarray(picture.convert("RGB")))
    return found


# -- pictures ------------------------------------------------------------------------------------


@QUICK
@given(
    st.sampled_from([1, 2, 3, 4]).flatmap(
        lambda channels: hnp.arrays(
            np.uint8,
            st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(channels)),
            elements=st.integers(0, 255),
        )
    )
)
def test_any_picture_survives_png(pixels: np.ndarray[Any, Any]) -> None:
    body = encode_png(pixels)
    found = decode_png(body)
    assert found is not None
    squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    np.testing.assert_array_equal(found, squeezed)
    np.testing.assert_array_equal(pixels_of(body), squeezed)


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_a_photograph_is_as_small_as_pillow_makes_it(name: str) -> None:
    photo = load_sample_image(name)
    made = encode_one(hpctrack.Image(photo))
    stream = io.BytesIO()
    Pillow.fromarray(photo).save(stream, "PNG")
    np.testing.assert_array_equal(pixels_of(made.body), photo)
    assert len(made.body) < 1.1 * len(stream.getvalue())
    assert made.place == Place.BLOBS
    assert made.description["meta"] == {"width": 640, "height": 427, "channels": 3}


def test_a_picture_larger_than_a_band_is_whole() -> None:
    photo = np.tile(load_sample_image("china.jpg"), (2, 1, 1))
    assert photo.nbytes > BAND_BYTES
    np.testing.assert_array_equal(pixels_of(encode_png(photo)), photo)


@pytest.mark.parametrize(
    ("values", "expected", "extra"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [[0, 128, 255]], {}),
        (np.array([[-1.0, 0.0, 1.0]]), [[0, 128, 255]], {"range": [-1.0, 1.0]}),
        (np.array([[0.0, 3.0, 255.0]]), [[0, 3, 255]], {}),
        (np.array([[10.0, 20.0, 510.0]]), [[0, 5, 255]], {"range": [10.0, 510.0]}),
        (np.array([[0.0, np.nan, np.inf]]), [[0, 0, 255]], {"not_finite": 2}),
        (np.array([[True, False, True]]), [[255, 0, 255]], {}),
        (np.array([[0, 1, 1]]), [[0, 255, 255]], {}),
        (np.array([[0, 7, 200]], "u4"), [[0, 7, 200]], {}),
        (np.array([[0, 7, 200]], "u1"), [[0, 7, 200]], {}),
        (np.array([[0, 32768, 65535]], ">u2"), [[0, 128, 255]], {"range": [0.0, 65535.0]}),
        (np.array([[-1e308, 0, 1e308]]), [[0, 128, 255]], {"range": [-1e308, 1e308]}),
        (np.array([[5.0, 5.0, np.nan]]) * 100, [[0, 0, 0]], {"not_finite": 1, "range": [500, 500]}),
    ],
    ids=[str(n) for n in range(12)],
)
def test_numbers_become_brightness(
    values: np.ndarray[Any, Any], expected: list[list[int]], extra: dict[str, Any]
) -> None:
    made = encode_one(hpctrack.Image(values))
    meta = made.description["meta"]
    assert pixels_of(made.body).tolist() == expected
    assert {key: meta[key] for key in meta if key in {"range", "not_finite"}} == extra


def test_channels_first_and_pil_pictures_look_the_same() -> None:
    photo = load_sample_image("flower.jpg")[:40, :60]
    last = encode_one(hpctrack.Image(photo))
    first = encode_one(hpctrack.Image(photo.transpose(2, 0, 1)))
    pil = encode_one(Pillow.fromarray(photo))
    assert last.digest == first.digest == pil.digest


def test_jpeg_is_made_where_pillow_is() -> None:
    photo = load_sample_image("china.jpg")
    made = encode_one(hpctrack.Image(photo, file_type="jpg"))
    assert made.description["format"] == "jpg"
    assert len(made.body) < 200_000
    assert np.abs(pixels_of(made.body).astype(int) - photo).mean() < 5


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_files_are_kept_and_measured(kind: str) -> None:
    stream = io.BytesIO()
    Pillow.new("RGB", (37, 21), "red").save(stream, kind)
    made = encode_one(hpctrack.Image(stream.getvalue()))
    assert made.body == stream.getvalue()
    assert (made.description["meta"]["width"], made.description["meta"]["height"]) == (37, 21)


def test_lossless_and_animated_webp_are_measured_too() -> None:
    for options in (
        {"lossless": True},
        {"save_all": True, "append_images": [Pillow.new("L", (37, 21))]},
    ):
        stream = io.BytesIO()
        Pillow.new("RGBA", (37, 21), "blue").save(stream, "WEBP", **options)
        meta = encode_one(hpctrack.Image(stream.getvalue())).description["meta"]
        assert (meta["width"], meta["height"]) == (37, 21)


def test_a_mask_keeps_its_class_ids() -> None:
    ids = np.array([[0, 300], [65535, 7]])
    overlays, mask, image = encode_value(
        hpctrack.Image(np.zeros((2, 2)), masks={"a": {"mask_data": ids}})
    )
    assert json.loads(overlays.body)["masks"] == {"a": {"class_labels": {}}}
    assert pixels_of(mask.body).tolist() == ids.tolist()
    assert mask.is_attachment
    assert not image.is_attachment
    assert image.description["meta"]["attachments"]["masks/a"]["digest"] == mask.digest


# -- moving pictures -----------------------------------------------------------------------------


@QUICK
@given(
    hnp.arrays(
        np.uint8,
        st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 8), st.just(3)),
        elements=st.integers(0, 3),
    )
)
def test_any_video_survives_apng(frames: np.ndarray[Any, Any]) -> None:
    found = frames_of(encode_apng(frames, 10))
    np.testing.assert_array_equal(np.array(found), frames)


def test_a_video_has_its_frames_and_its_speed() -> None:
    frames = np.zeros((4, 3, 16, 20), np.uint8)
    for n in range(4):
        frames[n, :, n * 4 : n * 4 + 4, 5:9] = 50 * n + 50
    made = encode_one(hpctrack.Video(frames, fps=20))
    assert made.description["format"] == "apng"
    assert made.description["meta"] == {"fps": 20.0, "frames": 4, "width": 20, "height": 16}
    with Pillow.open(io.BytesIO(made.body)) as picture:
        assert picture.info["duration"] == 50
        assert picture.info["loop"] == 0
    np.testing.assert_array_equal(frames_of(made.body), frames.transpose(0, 2, 3, 1))


def test_a_gif_is_made_where_pillow_is() -> None:
    frames = np.zeros((3, 10, 10), np.uint8)
    frames[1] = 255
    made = encode_one(hpctrack.Video(frames, fps=10, format="gif"))
    assert made.description["format"] == "gif"
    assert [int(one.mean()) for one in frames_of(made.body)] == [0, 255, 0]


def test_what_asks_for_mp4_is_told_what_it_gets() -> None:
    captured = capture(hpctrack.Video(np.zeros((2, 4, 4)), format="mp4"), "k", 0)
    assert captured is not None
    assert "animated PNG" in captured[0].warnings[0]
    assert captured[0].description["format"] == "apng"


# -- sounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        (np.array([0.0, 0.5, -1.0, 2.0]), 2, [0, 16384, -32767, 32767]),
        (np.array([0, 5, -7], "i2"), 2, [0, 5, -7]),
        (np.array([0, 5, -7], ">i4"), 2, [0, 5, -7]),
        (np.array([0, 32767, -32768]), 2, [0, 32767, -32768]),
        (np.array([0, 32768, -7], ">i4"), 4, [0, 32768, -7]),
        (np.array([128, 0, 255], "u1"), 1, [128, 0, 255]),
        (np.array([1, -1], "i1"), 2, [256, -256]),
        (np.array([2**40, -(2**40)]), 4, [2**31 - 1, -(2**31)]),
    ],
    ids=[str(n) for n in range(8)],
)
def test_sounds_are_read_by_the_wave_module(
    values: np.ndarray[Any, Any], width: int, expected: list[int]
) -> None:
    made = encode_one(hpctrack.Audio(values, sample_rate=8000, caption="c"))
    with wave.open(io.BytesIO(made.body)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, width)
        data = file.readframes(99)
    assert np.frombuffer(data, {1: "u1", 2: "<i2", 4: "<i4"}[width]).tolist() == expected
    assert made.description["meta"]["duration_s"] == len(values) / 8000


def test_channels_may_come_first_or_last() -> None:
    stereo = np.stack([np.linspace(-1, 1, 100), np.zeros(100)])
    first = encode_one(hpctrack.Audio(stereo, 44100))
    last = encode_one(hpctrack.Audio(stereo.T, 44100))
    assert first.digest == last.digest
    with wave.open(io.BytesIO(first.body)) as file:
        assert (file.getnchannels(), file.getnframes()) == (2, 100)


def test_what_is_clipped_is_counted() -> None:
    meta = encode_one(hpctrack.Audio([0.0, 1.5, -2.0, float("nan")], 8000)).description["meta"]
    assert meta["clipped"] == 2


# -- histograms ----------------------------------------------------------------------------------


@QUICK
@example(np.array([1.7976931312669297e308]))
@example(np.array([np.finfo(float).max]))
@example(np.array([-np.finfo(float).max]))
@given(hnp.arrays(np.float64, st.integers(0, 200), elements=st.floats(width=64)))
def test_any_values_are_counted_once(values: np.ndarray[Any, Any]) -> None:
    made = encode_one(hpctrack.Histogram(values, num_bins=10))
    told, meta = json.loads(made.body), made.description["meta"]
    finite = np.isfinite(values).sum()
    assert sum(told["counts"]) == finite
    assert len(told["edges"]) == 11
    assert meta.get("nan", 0) + meta.get("infinite", 0) == len(values) - finite


def test_bins_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=(50, 40)).astype("f4")
    told = json.loads(encode_one(hpctrack.Histogram(values)).body)
    counts, edges = np.histogram(values.astype(float), 64)
    assert told == {"counts": counts.tolist(), "edges": edges.tolist()}
    given_counts = encode_one(hpctrack.Histogram(np_histogram=(counts, edges)))
    assert json.loads(given_counts.body) == told


# -- points, texts, tables -----------------------------------------------------------------------


def test_a_point_cloud_of_nothing_finite_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no point"):
        encode_one(hpctrack.Object3D(np.full((3, 3), np.nan)))


def test_a_point_cloud_is_what_its_page_says() -> None:
    points = np.random.default_rng(0).random((7, 6)) * [1, 1, 1, 255, 255, 255]
    points[3, 0] = np.nan
    made = encode_one(hpctrack.Object3D(points))
    assert made.body[:8] == b"HPCPTS\0\1"
    (size,) = struct.unpack_from("<I", made.body, 8)
    head = json.loads(made.body[12 : 12 + size])
    kept = np.delete(points, 3, axis=0)
    assert head["points"] == 6
    np.testing.assert_allclose(head["bounds"], [kept[:, :3].min(0), kept[:, :3].max(0)], rtol=1e-6)
    position, color = head["columns"]
    assert all(one["offset"] % 8 == 0 for one in head["columns"])
    found = np.frombuffer(made.body, position["dtype"], 18, position["offset"]).reshape(6, 3)
    np.testing.assert_allclose(found, kept[:, :3], rtol=1e-6)
    colors = np.frombuffer(made.body, color["dtype"], 18, color["offset"]).reshape(6, 3)
    np.testing.assert_array_equal(colors, np.rint(kept[:, 3:]))
    assert made.description["meta"]["not_finite"] == 1


def test_texts_lie_where_they_are_compressed() -> None:
    for value, form in ((hpctrack.Text("ä"), "txt"), (hpctrack.Markdown("# x"), "md")):
        made = encode_one(value)
        assert (made.description["format"], made.place) == (form, Place.TEXT)
    assert encode_one(hpctrack.Text("ä")).body.decode() == "ä"


def test_a_table_is_json_that_browsers_read() -> None:
    table = hpctrack.Table(
        columns=["n", "text", "yes", "all", "none", "json", "picture"],
        data=[
            [1, "a", True, 1, None, {"x": [float("nan")]}, hpctrack.Image(np.zeros((2, 2)))],
            [float("nan"), None, None, "b", None, [1], None],
            [float("-inf"), "c", False, None, None, None, hpctrack.Image(np.zeros((2, 2)))],
        ],
    )
    picture, made = encode_value(table)
    told = json.loads(made.body, parse_constant=lambda _word: pytest.fail("not JSON"))
    assert told["types"] == ["number", "text", "boolean", "mixed", "empty", "json", "media"]
    assert told["data"][1] == ["NaN", None, None, "b", None, [1], None]
    assert told["data"][2][0] == "-Infinity"
    cell = told["data"][0][6]
    assert (cell["_media"], cell["digest"], cell["format"]) == ("image", picture.digest, "png")


def test_a_pandas_nan_among_text_is_nothing() -> None:
    import pandas as pd

    made = encode_one(pd.DataFrame({"a": ["x", None, "y"]}))
    told = json.loads(made.body)
    assert (told["types"], told["data"]) == (["text"], [["x"], [None], ["y"]])


def test_a_large_file_is_read_by_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(IN_RANK_MAX_BYTES + 1)
    captured = capture(hpctrack.Video(path), "k", 0)
    assert captured is not None
    (made,) = encode(captured[0].description, memoryview(b""))
    assert made.body == path.read_bytes()
    path.unlink()
    with pytest.raises(ProtocolError, match="after it was logged: No such file"):
        encode(captured[0].description, memoryview(b""))


# -- nonsense ------------------------------------------------------------------------------------

IMAGE = {
    "key": "k",
    "step": 0,
    "type": "image",
    "encode": "pixels",
    "format": "png",
    "raw": {"dtype": "|u1", "shape": [2, 2, 1], "order": "HWC"},
    "meta": {},
    "parts": [4],
}


NONSENSE: list[dict[str, Any]] = [
    {"key": "a\nb"},
    {"key": 3},
    {"step": 2**63},
    {"step": "1"},
    {"type": "virus"},
    {"encode": "eval"},
    {"format": "../../etc/passwd"},
    {"raw": {"dtype": "|u1", "shape": [2, 2, 2], "order": "HWC"}},
    {"raw": {"dtype": "O", "shape": [4], "order": "HWC"}},
    {"raw": {"dtype": "|u1", "shape": [10**9, 10**9, 10**9], "order": "HWC"}},
    {"raw": {"dtype": "|u1", "shape": [-2, -2, 1], "order": "HWC"}},
    {"raw": {"dtype": "|u1", "shape": [4, 1, 1.0], "order": "HWC"}},
    {"raw": None},
    {"parts": [5]},
    {"parts": [4, -1, 1]},
    {"parts": None},
    {"meta": []},
    {"meta": {"caption": "x" * 200_000}},
    {"attachments": [{"name": "a", "encode": "copy", "format": "json"}]},
    {"encode": "copy", "parts": [], "source": {"path": "/etc"}},
    {"encode": "copy", "parts": [], "source": {"path": "etc/passwd"}},
    {"encode": "table"},
    {"encode": "frames"},
    {"encode": "histogram"},
    {"encode": "samples"},
    {"encode": "points"},
]


@pytest.mark.parametrize("change", NONSENSE, ids=[str(n) for n in range(len(NONSENSE))])
def test_nonsense_is_refused_and_nothing_else(change: dict[str, Any]) -> None:
    facts = {**IMAGE, **change}
    payload = bytes(4) if facts["parts"] != [] else b""
    with pytest.raises(ProtocolError):
        encode(facts, memoryview(payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
TEMPLATES: list[tuple[dict[str, Any], bytes]] = []
for _value in (
    hpctrack.Image(np.zeros((2, 2)), masks={"a": {"mask_data": [[0, 1], [1, 0]]}}),
    hpctrack.Audio([0.1, 0.2], 8000),
    hpctrack.Video(np.zeros((2, 2, 2))),
    hpctrack.Histogram([1.0, 2.0]),
    hpctrack.Object3D(np.zeros((2, 6))),
    hpctrack.Table(columns=["a"], data=[[1], [hpctrack.Text("x")]]),
):
    for _one in capture(_value, "k", 0) or []:
        TEMPLATES.append((_one.description, b"".join(_one.payload)))  # noqa: PERF401


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_broken_frame_never_raises_anything_else(data: st.DataObject) -> None:
    description, payload = data.draw(st.sampled_from(TEMPLATES))
    facts = dict(description)
    for key in data.draw(st.lists(st.sampled_from(sorted(facts)), min_size=1, max_size=2)):
        inner = facts[key]
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            facts[key] = {
                **inner,
                data.draw(st.sampled_from(sorted(inner))): data.draw(json_values),
            }
        else:
            facts[key] = data.draw(json_values)
    raw = bytearray(payload)
    if raw and data.draw(st.booleans()):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        made = encode(facts, memoryview(bytes(raw)))
    except ProtocolError:
        return
    assert all(len(one.digest) == 64 for one in made)
