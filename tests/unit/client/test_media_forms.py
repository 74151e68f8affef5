"""Media as programs written for W&B make them, and what else is taken in many forms."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

import hpctrack
from hpctrack.errors import UsageError
from tests.media_writing import encode_one
from tests.unit.client.test_media import drawing, one, refusal


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: hpctrack.Image(np.zeros((2, 2)), "L", "c", grouping=3), "knows no grouping"),
        (lambda: hpctrack.Html("<b>", inject=False), "knows no inject"),
        (lambda: hpctrack.Image(data_or_path=np.zeros((2, 2))), ""),
        (lambda: hpctrack.Video(data_or_path=np.zeros((2, 2, 2)), fps=None), ""),
        (lambda: hpctrack.Audio(data_or_path=[0.5], sample_rate=8000), ""),
        (lambda: hpctrack.Object3D(data_or_path=np.zeros((2, 3))), ""),
        (lambda: hpctrack.Molecule(data_or_path="ATOM\n", file_type="pdb"), ""),
        (lambda: hpctrack.Video(np.zeros((2, 2, 2)), colour=1), "Video knows no colour"),
        (lambda: hpctrack.Audio([0.5], 8000, colour=1), "Audio knows no colour"),
        (lambda: hpctrack.Histogram([1], colour=1), "Histogram knows no colour"),
        (lambda: hpctrack.Figure(drawing(), colour=1), "Figure knows no colour"),
        (lambda: hpctrack.Object3D(np.zeros((2, 3)), "c", colour=1), "knows no colour"),
        (lambda: hpctrack.Object3D.from_numpy(np.zeros((2, 3))), ""),
        (lambda: hpctrack.Table(["a"], [[1]], dtype=int, allow_mixed_types=True), ""),
        (lambda: hpctrack.Table(["a"], [[1]], colour=1), "knows no colour"),
        (
            lambda: hpctrack.plot.line(
                hpctrack.Table(["a", "b"], [[1, 2]]), "a", "b", split_table=True
            ),
            "knows no split_table",
        ),
    ],
    ids=map(str, range(16)),
)
def test_arguments_that_only_the_other_tracker_knows_cost_nothing(make: Any, told: str) -> None:
    assert told in " ".join(one(make()).warnings)


def test_an_image_takes_what_the_other_tracker_takes_by_position() -> None:
    boxes = {"a": {"box_data": [{"position": {"middle": [1, 1], "width": 1, "height": 1}}]}}
    classes = hpctrack.Classes([{"id": 0, "name": "cat"}])
    captured = one(hpctrack.Image(np.zeros((2, 2)), "L", "c", 3, classes, boxes, None, "webp"))
    assert captured.description["format"] == "webp"
    overlays = json.loads(captured.payload[1])
    assert overlays["classes"] == {"0": "cat"}
    assert set(overlays["boxes"]) == {"a"}
    assert captured.warnings == ("Image knows no grouping; left out",)


def test_pyplot_means_its_present_figure() -> None:
    """As ``import matplotlib.pyplot as plt``: a module, whose ``gcf()`` is the figure."""
    figures, modules = drawing(), ("matplotlib", "matplotlib.pyplot")
    for name in modules:
        sys.modules[name] = type(sys)(name)
    plt: Any = sys.modules["matplotlib.pyplot"]
    plt.gcf = lambda: figures
    try:
        drawn, wrapped = one(plt), one(hpctrack.Image(plt))
    finally:
        for name in modules:
            del sys.modules[name]
    assert drawn.description["type"] == "figure"
    assert wrapped.description["type"] == "image"
    assert drawn.payload[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values",
    [deque([1, 2]), (one for one in (1, 2)), {"a": 1, "b": 2}.values(), {1, 2}, range(1, 3)],
    ids=["deque", "generator", "values", "set", "range"],
)
def test_a_histogram_counts_whatever_can_be_iterated(values: object) -> None:
    made = encode_one(hpctrack.Histogram(values, num_bins=1))
    assert json.loads(made.body) == {"counts": [2], "edges": [1.0, 2.0]}


def test_a_histogram_of_something_endless_is_refused() -> None:
    assert "at most 63.9" in refusal(hpctrack.Histogram(itertools.count())).message


def test_without_rdkit_a_smiles_is_told() -> None:
    code = """
import sys
sys.modules["rdkit"] = None
import hpctrack
print(hpctrack.Molecule.from_smiles("CCO"), hpctrack.Molecule.from_rdkit("a.mol"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("need rdkit") == 2


def test_a_table_is_read_as_the_other_trackers() -> None:
    table = hpctrack.Table(["a", "b"], [[1, "x"], [2, "y"]])
    assert table.get_column("a", convert_to="numpy").tolist() == [1, 2]
    assert table.get_column("a") == [1, 2]
    assert list(table.iterrows()) == [(0, [1, "x"]), (1, [2, "y"])]
    assert table.get_dataframe().to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    with pytest.raises(UsageError, match="numpy"):
        table.get_column("a", convert_to="arrow")
