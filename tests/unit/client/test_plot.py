"""Ready-made plots: against scikit-learn, on its data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression

import hpctrack
from hpctrack.client.curves import POINTS_MAX
from hpctrack.client.media import Media, capture
from hpctrack.errors import UsageError


def told(plot: Media) -> dict[str, Any]:
    captured = capture(plot, "k", 0)
    assert captured is not None
    assert captured[0].description["format"] == "plot.json"
    found: dict[str, Any] = json.loads(captured[0].payload[0])
    return found


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any, Any]:
    """True classes, scores and predictions of a weak classifier."""
    x, y = load_digits(return_X_y=True)
    model = LogisticRegression(C=1e-4, max_iter=50).fit(x[:300], y[:300])
    return y, model.predict_proba(x), model.predict(x)


@pytest.fixture(scope="module")
def cancer() -> tuple[Any, Any]:
    x, y = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return y, LogisticRegression(max_iter=50).fit(x[:, :3], y).predict_proba(x[:, :3])


def test_roc_curves_are_those_of_scikit_learn(digits: tuple[Any, Any, Any]) -> None:
    y, scores, _guesses = digits
    found = told(hpctrack.plot.roc_curve(y, scores, labels=[f"digit {n}" for n in range(10)]))
    assert [one["name"] for one in found["series"]] == [f"digit {n}" for n in range(10)]
    for n, one in enumerate(found["series"]):
        false, true, _thresholds = metrics.roc_curve(y == n, scores[:, n], drop_intermediate=False)
        every = set(zip(false.tolist(), true.tolist(), strict=True))
        assert set(zip(one["x"], one["y"], strict=True)) <= every
        assert one["auc"] == pytest.approx(metrics.roc_auc_score(y == n, scores[:, n]), abs=1e-12)
        # What was left out lies on straight pieces: the area is that of all points.
        assert metrics.auc(one["x"], one["y"]) == pytest.approx(one["auc"], abs=1e-12)
    assert found["kept"] < found["points"]


def test_precision_recall_curves_are_those_of_scikit_learn(digits: tuple[Any, Any, Any]) -> None:
    y, scores, _guesses = digits
    found = told(hpctrack.plot.pr_curve(y, scores))
    for n, one in enumerate(found["series"]):
        precision, recall, _thresholds = metrics.precision_recall_curve(
            y == n, scores[:, n], drop_intermediate=True
        )
        np.testing.assert_allclose(one["x"], recall[::-1], atol=1e-15)
        np.testing.assert_allclose(one["y"], precision[::-1], atol=1e-15)
        expected = metrics.average_precision_score(y == n, scores[:, n])
        assert one["average_precision"] == pytest.approx(expected, abs=1e-12)


def test_two_classes_may_have_one_column(cancer: tuple[Any, Any]) -> None:
    y, scores = cancer
    (alone,) = told(hpctrack.plot.roc_curve(y, scores[:, 1]))["series"]
    (chosen,) = told(hpctrack.plot.roc_curve(y, scores, classes_to_plot=[1]))["series"]
    assert alone == chosen
    assert alone["auc"] == pytest.approx(metrics.roc_auc_score(y, scores[:, 1]), abs=1e-12)


def test_classes_may_have_names(cancer: tuple[Any, Any]) -> None:
    y, scores = cancer
    names = np.array(["benign", "malignant"])[y]
    found = told(hpctrack.plot.pr_curve(names, scores))
    assert [one["name"] for one in found["series"]] == ["benign", "malignant"]


def test_equal_scores_make_one_point() -> None:
    (one,) = told(hpctrack.plot.roc_curve([0, 1, 1, 0], [0.5, 0.5, 0.5, 0.5]))["series"]
    assert (one["x"], one["y"], one["auc"]) == ([0.0, 1.0], [0.0, 1.0], 0.5)


def test_a_curve_of_many_bends_is_bounded_and_says_so() -> None:
    generator = np.random.default_rng(1)
    y = generator.integers(0, 2, 30_000)
    scores = generator.random(30_000)
    found = told(hpctrack.plot.roc_curve(y, scores))
    (one,) = found["series"]
    assert len(one["x"]) == found["kept"] == POINTS_MAX
    assert found["points"] > 30_000
    assert one["auc"] == pytest.approx(metrics.roc_auc_score(y, scores), abs=1e-12)


def test_a_class_without_samples_is_named() -> None:
    found = told(hpctrack.plot.roc_curve([0, 1, 0], np.eye(3)))
    assert found["skipped"] == ["2"]
    assert [one["name"] for one in found["series"]] == ["0", "1"]


def test_confusion_is_that_of_scikit_learn(digits: tuple[Any, Any, Any]) -> None:
    y, scores, guesses = digits
    expected = metrics.confusion_matrix(y, guesses).tolist()
    by_guess = told(hpctrack.plot.confusion_matrix(y_true=y, preds=guesses))
    by_score = told(hpctrack.plot.confusion_matrix(probs=scores, y_true=y))
    assert by_guess["counts"] == by_score["counts"] == expected
    names = np.array([f"n{n}" for n in range(10)])
    named = told(
        hpctrack.plot.confusion_matrix(
            y_true=names[y], preds=names[guesses], class_names=names.tolist()
        )
    )
    assert (named["classes"], named["counts"]) == (names.tolist(), expected)


def test_lines_scatters_bars_and_histograms_take_columns() -> None:
    frame = pd.DataFrame({"x": [1, 2, 3, 4], "y": [1.0, np.nan, 3.0, 4.0], "who": list("abab")})
    line = told(hpctrack.plot.line(frame, "x", "y", stroke="who", title="t"))
    assert (line["kind"], line["title"], line["labels"]) == ("line", "t", {"x": "x", "y": "y"})
    assert line["series"] == [
        {"name": "a", "x": [1, 3], "y": [1.0, 3.0]},
        {"name": "b", "x": [4], "y": [4.0]},
    ]
    table = hpctrack.Table(dataframe=frame)
    assert told(hpctrack.plot.scatter(table, "x", "y"))["series"][0]["x"] == [1, 3, 4]
    bars = told(hpctrack.plot.bar(table, "who", "x"))
    assert (bars["names"], bars["values"]) == (["a", "b", "a", "b"], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("y_true", "preds", "classes", "counts"),
    [
        ([-1, 1, 1], [1, 1, -1], ["-1", "1"], [[0, 1], [1, 1]]),
        ([1500, 2], [1500, 1500], ["2", "1500"], [[0, 1], [0, 1]]),
        ([-2, 10], [-10, 10], ["-10", "-2", "10"], [[0, 0, 0], [1, 0, 0], [0, 0, 1]]),
        ([2], [0], ["0", "1", "2"], [[0, 0, 0], [0, 0, 0], [1, 0, 0]]),
        (["b", 1], ["b", "b"], ["1", "b"], [[0, 1], [0, 1]]),
    ],
    ids=["negative", "large", "in-order", "from-0", "mixed"],
)
def test_classes_are_called_what_they_are(
    y_true: list[Any], preds: list[Any], classes: list[str], counts: list[list[int]]
) -> None:
    found = told(hpctrack.plot.confusion_matrix(y_true=y_true, preds=preds))
    assert (found["classes"], found["counts"]) == (classes, counts)


def test_too_many_classes_are_refused() -> None:
    numbers = list(range(-1, 1000))
    with pytest.raises(UsageError, match="1,001 classes, at most 1,000"):
        capture(hpctrack.plot.confusion_matrix(y_true=numbers, preds=numbers), "k", 0)


@pytest.mark.parametrize(
    ("spec", "fields", "kind"),
    [
        ("wandb/line/v0", {"x": "a", "y": "b", "stroke": "c"}, "line"),
        ("wandb/lineseries/v0", {"step": "a", "lineVal": "b", "lineKey": "c"}, "line"),
        ("wandb/scatter/v0", {"x": "a", "y": "b"}, "scatter"),
        ("wandb/bar/v1", {"label": "c", "value": "b"}, "bar"),
        ("wandb/histogram/v0", {"value": "b"}, "histogram"),
    ],
)
def test_charts_of_the_other_tracker_become_plots(
    spec: str, fields: dict[str, str], kind: str
) -> None:
    table = hpctrack.Table(["a", "b", "c"], [[1, 2, "x"], [2, 3, "y"]])
    made = hpctrack.plot_table(spec, table, fields, {"title": "t"}, split_table=True)
    found = told(made)
    assert (found["kind"], found["title"]) == (kind, "t")


def test_a_chart_that_nobody_here_can_draw_is_recorded_as_its_table() -> None:
    table = hpctrack.Table(["a"], [[1]])
    made = hpctrack.plot_table(vega_spec_name="me/mine", data_table=table, fields={"x": "a"})
    captured = capture(made, "k", 0)
    assert captured is not None
    assert captured[0].description["type"] == "table"
    assert "chart 'me/mine' is not known here" in captured[0].warnings[0]


def test_a_histogram_counts_as_numpy_does() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    found = told(hpctrack.plot.histogram(pd.DataFrame({"v": values}), "v"))
    counts, edges = np.histogram(values, 64)
    assert found["counts"] == counts.tolist()
    np.testing.assert_allclose(found["edges"], edges, atol=1e-12)


def test_a_long_line_keeps_its_extremes() -> None:
    values = np.sin(np.arange(21_000) / 7)
    values[17_234], values[4_321] = 9.0, -9.0
    frame = pd.DataFrame({"x": np.arange(21_000), "y": values})
    found = told(hpctrack.plot.line(frame, "x", "y"))
    (one,) = found["series"]
    assert (max(one["y"]), min(one["y"])) == (9.0, -9.0)
    assert one["x"][0] == 0
    assert one["x"][-1] == 20_999
    assert found["points"] == 21_000
    assert found["kept"] <= POINTS_MAX


def test_line_series_take_one_x_for_all() -> None:
    found = told(hpctrack.plot.line_series([0, 1], [[1, 2], [3, 4]], keys=["a", "b"], xname="t"))
    assert found["series"][1] == {"name": "b", "x": [0, 1], "y": [3, 4]}
    assert found["labels"]["x"] == "t"


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (lambda: hpctrack.plot.line(3, "x", "y"), "cannot be made of a value of type int"),
        (lambda: hpctrack.plot.line(hpctrack.Table(columns=["a"]), "x", "a"), "no column 'x'"),
        (lambda: hpctrack.plot.roc_curve([0, 1], [[1, 0]]), "2 true classes and 1 rows"),
        (lambda: hpctrack.plot.roc_curve([0, 0], [0.1, 0.2]), "no class has both"),
        (lambda: hpctrack.plot.roc_curve([0, 1], [0.1, float("nan")]), "NaN or infinite"),
        (lambda: hpctrack.plot.confusion_matrix(y_true=[0]), "either probs= or preds="),
        (hpctrack.plot.roc_curve, "needs y_true= and y_probas="),
    ],
)
def test_mistakes_are_told_when_the_plot_is_logged(plot: Any, message: str) -> None:
    made = plot()
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        capture(made, "k", 0)
