"""Capturing: what a rank takes a copy of, and what it refuses."""

from __future__ import annotations

import array
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from bokeh.plotting import figure
from PIL import Image as Pillow

import hpctrack
from hpctrack.client.media import Captured, capture
from hpctrack.client.media.source import IN_RANK_MAX_BYTES
from hpctrack.client.media.value import PAYLOAD_MAX_BYTES
from hpctrack.errors import UsageError
from hpctrack.store.media_decode import decode_png
from tests.media_writing import encode_one, encode_value


def one(value: object, key: str = "k", step: int = 0, run: str = "") -> Captured:
    captured = capture(value, key, step, run=run)
    assert captured is not None
    assert len(captured) == 1
    return captured[0]


def refusal(value: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        capture(value, "k", 0)
    return caught.value


class Tensor:
    """As torch's on a GPU: an array only after detach, cpu and numpy."""

    def __init__(self, values: np.ndarray[Any, Any], where: str = "cuda+grad") -> None:
        self.values, self.where = values, where
        self.shape = values.shape
        self.dtype = f"torch.{values.dtype}"

    def detach(self) -> Tensor:
        return Tensor(self.values, "cuda")

    def cpu(self) -> Tensor:
        assert self.where == "cuda"
        return Tensor(self.values, "cpu")

    def numpy(self) -> np.ndarray[Any, Any]:
        assert self.where == "cpu"
        return self.values

    def __array__(self) -> np.ndarray[Any, Any]:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


Tensor.__module__ = "torch"


class OnGpu:
    """As CuPy's: ``get`` copies to the host."""

    __cuda_array_interface__ = {"typestr": "<f4", "shape": (2, 2)}  # noqa: RUF012

    def get(self) -> np.ndarray[Any, Any]:
        return np.ones((2, 2), np.float32)


def drawing() -> Any:
    """Return a figure as matplotlib's, which is not everywhere: ``savefig`` writes PNG."""

    class Figure:
        def savefig(self, stream: io.BytesIO, **_options: object) -> None:
            Pillow.new("RGB", (8, 5)).save(stream, "PNG")

    Figure.__module__ = "matplotlib.figure"
    return Figure()


# -- snapshots -----------------------------------------------------------------------------------


def test_what_happens_to_the_array_afterwards_does_not_matter() -> None:
    pixels = np.zeros((2, 2), np.uint8)
    image = hpctrack.Image(pixels)
    pixels[:] = 255
    assert one(image).payload == [bytes(4)]


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (np.zeros((4, 6)), {"dtype": "<f8", "shape": [4, 6, 1], "order": "HWC"}),
        (np.zeros((4, 6, 3), np.uint8), {"dtype": "|u1", "shape": [4, 6, 3], "order": "HWC"}),
        (np.zeros((3, 4, 6), ">i2"), {"dtype": ">i2", "shape": [3, 4, 6], "order": "CHW"}),
        (np.zeros((3, 4, 3), "f4"), {"dtype": "<f4", "shape": [3, 4, 3], "order": "HWC"}),
        (Tensor(np.zeros((3, 4, 3), "f4")), {"dtype": "<f4", "shape": [3, 4, 3], "order": "CHW"}),
        (OnGpu(), {"dtype": "<f4", "shape": [2, 2, 1], "order": "HWC"}),
        ([[0, 1], [1, 0]], {"dtype": "<i8", "shape": [2, 2, 1], "order": "HWC"}),
        ([[0.5, True]], {"dtype": "<f8", "shape": [1, 2, 1], "order": "HWC"}),
    ],
)
def test_arrays_of_every_library_and_layout_are_images(value: object, raw: object) -> None:
    assert one(hpctrack.Image(value)).description["raw"] == raw


def test_a_strided_array_is_copied_in_its_own_order() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    (payload,) = one(hpctrack.Image(pixels.T[::-1])).payload
    assert payload == pixels.T[::-1].tobytes()


def test_a_buffer_is_an_array_too() -> None:
    sound = one(hpctrack.Audio(array.array("h", [1, 2, 3]), sample_rate=8000))
    assert sound.description["raw"] == {"dtype": "<i2", "shape": [3], "order": "N"}


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
def test_pil_images_of_every_mode_need_no_wrapper(mode: str) -> None:
    told = one(Pillow.new(mode, (6, 4))).description
    assert told["raw"]["shape"][:2] == [4, 6]


def test_an_image_file_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "picture.of.something"
    Pillow.new("RGB", (3, 2)).save(path, "JPEG")
    captured = one(hpctrack.Image(str(path)))
    assert captured.description["format"] == "jpg"
    assert captured.payload == [path.read_bytes()]
    assert one(hpctrack.Image(path.read_bytes())).payload == captured.payload


def test_a_small_file_may_be_removed_after_the_call(tmp_path: Path) -> None:
    path = tmp_path / "a.pdb"
    path.write_text("ATOM\n")
    molecule = hpctrack.Molecule(path)
    path.unlink()
    assert one(molecule).payload == [b"ATOM\n"]


def test_a_large_file_is_named_to_the_agent(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x18ftypmp42")
        file.truncate(IN_RANK_MAX_BYTES + 1)
    captured = one(hpctrack.Video(path, caption="c"))
    assert captured.payload == []
    assert captured.description["source"] == {"path": str(path), "size": IN_RANK_MAX_BYTES + 1}


# -- what is recognised --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pl.DataFrame({"a": [1, 2], "b": ["x", None]}),
        pa.table({"a": [1, 2], "b": ["x", None]}),
    ],
    ids=["pandas", "polars", "pyarrow"],
)
def test_dataframes_need_no_wrapper(frame: object) -> None:
    captured = one(frame)
    told = json.loads(captured.payload[0])
    assert (captured.description["type"], told["columns"]) == ("table", ["a", "b"])
    assert [row[0] for row in told["rows"]] == [1, 2]


def test_a_bokeh_figure_needs_no_wrapper() -> None:
    plot = figure(width=200, height=100)
    plot.line([1, 2], [3, 4])
    captured = one(plot)
    item = json.loads(captured.payload[0])
    assert captured.description["format"] == "bokeh.json"
    assert {"target_id", "root_id", "doc"} <= set(item)


def test_a_matplotlib_figure_is_drawn_at_once() -> None:
    library = type(sys)("matplotlib")
    library.__version__ = "3.9"  # type: ignore[attr-defined]
    sys.modules["matplotlib"] = library
    try:
        drawn, wrapped = one(drawing()), one(hpctrack.Image(drawing()))
    finally:
        del sys.modules["matplotlib"]
    assert drawn.description["type"] == "figure"
    assert drawn.description["meta"] == {"library": "matplotlib", "version": "3.9"}
    assert wrapped.description["type"] == "image"
    assert drawn.payload[0].startswith(b"\x89PNG")


def test_a_list_of_media_is_one_event_each() -> None:
    captured = capture([hpctrack.Text("a"), hpctrack.Text("b")], "k", 3)
    assert captured is not None
    assert [each.description["meta"] for each in captured] == [
        {"index": 0, "of": 2},
        {"index": 1, "of": 2},
    ]


@pytest.mark.parametrize("value", [np.zeros(1), np.float32(3), 5, object(), None, np.zeros(())])
def test_what_may_be_a_number_is_left_to_others(value: object) -> None:
    assert capture(value, "k", 0) is None


# -- refusals ------------------------------------------------------------------------------------


REFUSALS: list[tuple[object, str, str | None]] = [
    (np.zeros(100), "array of shape (100,)", "Histogram, Image or Table"),
    (np.zeros((3, 3)), "array of shape (3, 3)", "Histogram, Image or Table"),
    ([1.0, 2.0], "a list of 2", "Histogram"),
    ("text", "is text", "hpctrack.Text"),
    (hpctrack.Image(np.zeros((5, 5, 5))), "neither the first nor the last", "(h, w, c)"),
    (hpctrack.Image(np.zeros((2, 3, 4, 5))), "shape (2, 3, 4, 5)", "list of images"),
    (hpctrack.Image(np.zeros((2, 2), complex)), "type '<c16'", "real numbers"),
    (hpctrack.Image(np.zeros((2, 2)), mode="RGB"), "has 3 channels, the image has 1", "mode"),
    (hpctrack.Image("/nowhere.png"), "'/nowhere.png' cannot be opened: No such", "existing"),
    (hpctrack.Image(b"not an image"), "not a file of a known format", "png"),
    (hpctrack.Image([[1], [1, 2]]), "rows differ in length", None),
    (hpctrack.Image(np.zeros((8200, 8200), np.uint8)), "64.1 MiB, at most 63.9", "smaller"),
    (hpctrack.Audio(np.zeros(5)), "needs sample_rate=", "44100"),
    (hpctrack.Audio(np.zeros((99, 99)), 8000), "shape (99, 99)", "at most 32 channels"),
    (hpctrack.Video(np.zeros((2, 2, 2, 2))), "shape (2, 2, 2, 2)", "(t, c, h, w)"),
    (hpctrack.Video(np.zeros((2, 2, 2)), fps=0), "fps is 0", None),
    (hpctrack.Histogram(), "either sequence or np_histogram", None),
    (hpctrack.Histogram(np_histogram=([1], [2])), "1 counts and 1 edges", "one edge more"),
    (hpctrack.Histogram([1], num_bins=513), "num_bins is 513", None),
    (hpctrack.Object3D(np.zeros((5, 5))), "shape (5, 5)", "(n, 6)"),
    (hpctrack.Molecule("C\nC\n"), "not a file of a known format", "pdb"),
    (hpctrack.Figure(3), "of type int is no figure", "matplotlib"),
    (hpctrack.Table(data=3), "cannot be made of a value of type int", "dataframe"),
    (hpctrack.Table(columns=["a", "a"]), "two columns 'a'", None),
    (hpctrack.Table(log_mode="ONCE"), "'ONCE' is not known", "incremental"),
    ([hpctrack.Text("a"), 3], "list of media and other things", "apart"),
]


@pytest.mark.parametrize(
    ("value", "message", "hint"), REFUSALS, ids=[str(n) for n in range(len(REFUSALS))]
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(
    value: object, message: str, hint: str | None
) -> None:
    error = refusal(value)
    assert message in error.message
    assert hint is None or hint in str(error.hint)


def test_nothing_a_user_gives_makes_a_constructor_raise() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("CUDA error: device-side assert triggered")

    for kind in ("Image", "Audio", "Video", "Histogram", "Object3D", "Molecule", "Table", "Text"):
        error = refusal(getattr(hpctrack, kind)(Hostile()))
        assert "cannot be made" in error.message


def test_a_pipe_does_not_make_the_program_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(hpctrack.Image(tmp_path / "pipe.png")).message


def test_a_payload_never_exceeds_a_frame() -> None:
    images = [hpctrack.Image(np.zeros((6000, 6000), np.uint8)) for _n in range(2)]
    table = hpctrack.Table(columns=["a", "b"], data=[images])
    assert sum(each.piece().size_bytes for each in images) > PAYLOAD_MAX_BYTES
    assert "at most 63.9" in refusal(table).message


# -- overlays ------------------------------------------------------------------------------------


def test_boxes_of_both_forms_become_corners() -> None:
    boxes = {
        "found": {
            "box_data": [
                {"position": {"middle": [5, 6], "width": 2, "height": 4}, "domain": "pixel"},
                {
                    "position": {"minX": 0.1, "maxX": 0.2, "minY": np.float32(0.5), "maxY": 1},
                    "class_id": np.int64(2),
                    "scores": {"sure": 0.9},
                },
            ],
            "class_labels": {2: "cat"},
        }
    }
    captured = one(hpctrack.Image(np.zeros((9, 9)), boxes=boxes))
    told = json.loads(captured.payload[1])["boxes"]["found"]
    assert told["box_data"][0] == {
        "position": {"minX": 4.0, "minY": 4.0, "maxX": 6.0, "maxY": 8.0},
        "domain": "pixel",
    }
    assert told["box_data"][1]["class_id"] == 2
    assert told["class_labels"] == {"2": "cat"}


@pytest.mark.parametrize(
    "mask",
    [np.array([[-1, 0], [255, 3]]), Tensor(np.array([[-1, 0], [255, 3]])), [[-1, 0], [255, 3]]],
    ids=["numpy", "torch", "list"],
)
def test_class_ids_that_a_mask_cannot_have_are_told(mask: object) -> None:
    captured = one(hpctrack.Image(np.zeros((2, 2)), masks={"m": {"mask_data": mask}}))
    (told,) = captured.warnings
    assert "masks['m'] has class ids from -1 to 255" in told


@pytest.mark.parametrize(
    "mask",
    [
        np.array([[0.0, 1.0], [300.0, 3.0]]),
        np.array([[0, 1], [300, 3]], ">f4"),
        np.array([[0, 1], [300, 3]], "f2"),
        np.array([[0, 1], [300, 3]])[..., None],
        [[0.0, 1.0], [300.0, 3.0]],
    ],
    ids=["f8", "big-endian", "half", "channel", "list"],
)
def test_a_mask_may_be_of_whole_floats_or_have_a_channel(mask: object) -> None:
    made = encode_value(hpctrack.Image(np.zeros((2, 2)), masks={"m": {"mask_data": mask}}))
    found = decode_png(made[1].body)
    assert found is not None
    assert found.tolist() == [[0, 1], [300, 3]]
    halves = refusal(hpctrack.Image(np.zeros((1, 1)), masks={"m": {"mask_data": [[0.5]]}}))
    assert "whole" in halves.message


def test_what_is_masked_in_an_array_is_not_counted() -> None:
    values = np.ma.array([1, 2, 99], mask=[False, False, True])
    counts = json.loads(encode_one(hpctrack.Histogram(values, num_bins=2)).body)["counts"]
    assert counts == [1, 1]


def test_a_box_that_is_not_understood_is_named() -> None:
    boxes = {"a": {"box_data": [{"position": {"minX": 1}}]}}
    error = refusal(hpctrack.Image(np.zeros((9, 9)), boxes=boxes))
    assert "boxes['a'], box 0" in error.message
    assert "middle" in str(error.hint)


def test_a_mask_is_an_attachment() -> None:
    masks = {"truth": {"mask_data": np.eye(3, dtype=int), "class_labels": {0: "no", 1: "yes"}}}
    captured = one(hpctrack.Image(np.zeros((3, 3)), masks=masks))
    names = [each["name"] for each in captured.description["attachments"]]
    assert names == ["overlays", "masks/truth"]
    assert captured.description["parts"] == [len(part) for part in captured.payload]


# -- tables --------------------------------------------------------------------------------------


def rows(captured: Captured) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(captured.payload[0])["rows"]
    return found


def test_cells_are_copied_when_they_are_added() -> None:
    table = hpctrack.Table(columns=["a", "b"])
    mutable = [1, 2]
    table.add_data(mutable, np.float32(0.5))
    mutable.append(3)
    assert rows(one(table)) == [[[1, 2], 0.5]]


def test_cells_of_every_kind() -> None:
    table = hpctrack.Table(columns=["cell"])
    for cell in (np.int64(3), np.bool_(True), pd.NaT, pd.NA, {"a": np.arange(2)}, {1}, Tensor):
        table.add_data(cell)
    assert rows(one(table))[:-1] == [[3], [True], [None], [None], [{"a": [0, 1]}], [[1]]]


def test_media_within_a_cells_list_are_left_out_and_told() -> None:
    picture = hpctrack.Image(np.zeros((2, 2)))
    table = hpctrack.Table(columns=["n", "a"])
    table.add_data(1, [picture, picture])
    table.add_data(2, {"x": {"y": (picture,)}})
    captured = one(table)
    assert rows(captured) == [[1, None], [2, None]]
    assert "an Image within a list or mapping cannot be in a cell" in captured.warnings[0]


def test_an_incremental_table_sends_only_new_rows_to_each_run() -> None:
    table = hpctrack.Table(columns=["a"], data=[[1]], log_mode="INCREMENTAL")
    first = one(table, run="r")
    table.add_data(2)
    table.add_data(3)
    second = one(table, run="r")
    assert (rows(first), rows(second)) == ([[1]], [[2], [3]])
    assert second.description["meta"] == {"rows": 2, "columns": 1, "first_row": 1}
    assert rows(one(table, run="another")) == [[1], [2], [3]]


def test_an_incremental_table_begins_anew_with_a_new_column() -> None:
    table = hpctrack.Table(columns=["a"], data=[[1]], log_mode="INCREMENTAL")
    one(table)
    table.add_column("b", [5])
    assert rows(one(table)) == [[1, 5]]


def test_a_table_that_changed_is_recorded_again_with_a_warning() -> None:
    table = hpctrack.Table(columns=["a"], data=[[1]])
    assert one(table).warnings == one(table).warnings == ()
    table.add_data(2)
    captured = one(table)
    assert rows(captured) == [[1], [2]]
    assert "INCREMENTAL" in captured.warnings[0]


def test_a_row_that_does_not_fit_is_left_out_and_told() -> None:
    table = hpctrack.Table(columns=["a", "b"], data=[[1, 2]])
    table.add_data(1)
    table.add_data(1)
    table.add_data(hpctrack.Image("/nowhere"), 2)
    table.add_column("c", [1, 2, 3])
    captured = one(table)
    assert rows(captured) == [[1, 2]]
    assert captured.warnings[0] == "a row of 1 cells does not fit 2 columns (2 times)"
    assert "No such file" in captured.warnings[1]
    assert "column 'c' is left out" in captured.warnings[2]


# -- what it costs -------------------------------------------------------------------------------


def test_capturing_imports_nothing_but_the_standard_library() -> None:
    code = """
import sys, array, hpctrack
before = "hpctrack.client.media" in sys.modules
from hpctrack.client.media import capture
for value in (hpctrack.Image([[0, 1]]), hpctrack.Audio(array.array("d", [0.5]), 8000),
              hpctrack.Table(columns=["a"], data=[[1]]), hpctrack.Histogram([1, 2]),
              hpctrack.plot.line(hpctrack.Table(columns=["x", "y"], data=[[1, 2]]), "x", "y")):
    assert capture(value, "k", 0)
heavy = {"numpy", "h5py", "PIL", "click"} & set(sys.modules)
print(before, sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"
