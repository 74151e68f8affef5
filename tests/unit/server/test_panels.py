"""The arithmetic of panels, against numpy and scipy, and the addresses that answer with it."""

from __future__ import annotations

import http.client
import json
import struct
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hpctrack_server.components.panels import binning, correlation, forest, statistics, surface
from hpctrack_server.components.panels.column import (
    Kind,
    categorise,
    is_worth_logarithm,
    make_column,
)
from hpctrack_server.components.panels.kinds import KINDS
from hpctrack_server.components.panels.table import PanelError, Table
from tests.unit.server.conftest import HOST_NAME, HOSTILE, TOKEN, Live

DRAW = np.random.default_rng(5)


def make_table(**columns: list[Any]) -> Table:
    size = len(next(iter(columns.values())))
    names = tuple(f"run-{i}" for i in range(size))
    made = {key: make_column(key, values) for key, values in columns.items()}
    return Table(ids=names, names=names, columns=made)


def test_column_is_numbers_if_all_values_are() -> None:
    column = make_column("lr", [1, 2.5, None, float("inf"), float("nan"), 10**400])
    assert column.kind == Kind.NUMBER
    assert column.infinite == 2
    np.testing.assert_array_equal(column.numbers, [1, 2.5] + [np.nan] * 4)


def test_column_of_anything_else_is_categories_in_a_natural_order() -> None:
    column = make_column("x", ["10", "9", None, True, ["a", "b"], "9", 2.0])
    assert column.labels == ("2", "9", "10", "a, b", "true")
    assert column.codes.tolist() == [2, 1, -1, 4, 3, 1, 0]


def test_rarest_categories_are_put_together() -> None:
    column = categorise(make_column("x", [*"aaabbbccd", "é" * 500]), most=3)
    assert column.labels == ("a", "b", "3 others")
    assert np.bincount(column.codes).tolist() == [3, 3, 4]


def test_numbers_become_categories_in_their_order() -> None:
    column = categorise(make_column("n", [64, 8, None, 0.5, 8]))
    assert column.labels == ("0.5", "8", "64")
    assert column.codes.tolist() == [2, 1, -1, 0, 1]


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        (10 ** DRAW.uniform(-5, -2, 500), True),
        (DRAW.uniform(0, 0.4, 5000), False),
        (np.array([32, 64, 128, 256, 512] * 9, float), True),
        (np.array([1, 2, 3, 4, 5] * 9, float), False),
        (np.array([-1, 10, 1e6]), False),
        (np.array([0, 1e-4, 1e6]), False),
        (np.array([1e-4, 1e6]), False),
        (np.array([1e-4, 1e-3, 1e-2]), False),
        (np.array([1e-4, 1e-3, 1e-2, 0.1]), True),
        (np.array([]), False),
    ],
)
def test_logarithm_is_chosen_where_values_span_decades(values: Any, is_log: bool) -> None:
    assert is_worth_logarithm(values) is is_log


def test_error_bars_agree_with_scipy() -> None:
    draw = np.random.default_rng(5)
    values = draw.normal(3, 2, 40)
    bar = statistics.summarise(values, spread=statistics.Spread.STDERR)
    error = stats.sem(values)
    assert (bar.mean, bar.low, bar.high) == pytest.approx(
        (values.mean(), values.mean() - error, values.mean() + error)
    )
    wide = statistics.summarise(values, spread=statistics.Spread.STD)
    assert wide.high - wide.mean == pytest.approx(values.std(ddof=1))
    ends = statistics.summarise(values, spread=statistics.Spread.RANGE)
    assert (ends.low, ends.high) == (values.min(), values.max())


def test_bootstrap_interval_agrees_with_scipy() -> None:
    draw = np.random.default_rng(5)
    values = draw.exponential(2, 60)
    low, high = statistics.bootstrap_mean(values)
    wanted = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=5000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert low == pytest.approx(wanted.low, abs=0.05)
    assert high == pytest.approx(wanted.high, abs=0.05)
    assert (low, high) == statistics.bootstrap_mean(values), "the same runs give the same bar"


def test_box_has_the_quartiles_and_names_what_lies_beyond() -> None:
    draw = np.random.default_rng(5)
    values = np.append(draw.normal(0, 1, 99), 50.0)
    box = statistics.make_box(values, np.arange(100) + 7, label="g")
    assert box.quartiles == pytest.approx(tuple(np.percentile(values, [25, 50, 75])))
    assert 106 in box.rows
    assert box.whiskers[1] < 50
    logarithmic = statistics.make_box(np.array([1.0, 10, 100]), np.arange(3), is_log=True)
    assert logarithmic.quartiles[1] == pytest.approx(10)
    same = statistics.make_box(np.full(5, 2.0), np.arange(5))
    assert same.density == ([], [])


def test_density_has_the_shape_of_scipys() -> None:
    draw = np.random.default_rng(5)
    values = draw.normal(0, 1, 300)
    places, heights = statistics.estimate_density(values, is_log=False)
    wanted = stats.gaussian_kde(values, bw_method="silverman")(places)
    assert np.corrcoef(heights, wanted)[0, 1] > 0.99
    assert max(heights) == 1


def test_histogram_counts_as_numpy_does_and_every_run_once() -> None:
    draw = np.random.default_rng(5)
    column = make_column("x", [*draw.normal(0, 1, 500).tolist(), None])
    axis = binning.make_axis(column, bins=13)
    counts = np.bincount(axis.place(column.numbers[:-1]), minlength=13)
    np.testing.assert_array_equal(counts, np.histogram(column.numbers[:-1], bins=13)[0])
    decades = make_column("x", (10 ** draw.uniform(-5, 0, 400)).tolist())
    placed = binning.make_axis(decades, is_log=True).place(decades.numbers)
    assert (placed >= 0).all(), "the outermost ones too"


def test_whole_numbers_and_equal_ones_get_bins_of_their_own() -> None:
    whole = binning.make_axis(make_column("layers", [4, 8, 8, 12]))
    assert whole.edges[0] == 3.5
    assert whole.bins == 9
    assert binning.make_axis(make_column("x", [0.5, 0.5])).bins == 1
    assert binning.make_axis(make_column("x", [None])).bins == 1


@pytest.mark.parametrize("how", list(binning.Aggregate))
def test_cells_agree_with_scipy(how: binning.Aggregate) -> None:
    draw = np.random.default_rng(5)
    x, y, z = draw.uniform(0, 1, (3, 300))
    columns = [
        make_column(name, values.tolist()) for name, values in zip("xyz", (x, y, z), strict=True)
    ]
    axes = (binning.make_axis(columns[0], bins=4), binning.make_axis(columns[1], bins=3))
    values, counts = binning.aggregate_cells(columns[0], columns[1], columns[2], axes, how)
    statistic: Any = (lambda part: np.std(part, ddof=1)) if how == "std" else str(how)
    wanted = stats.binned_statistic_2d(
        x, y, z, statistic=statistic, bins=[axes[0].edges, axes[1].edges]
    ).statistic.T
    np.testing.assert_allclose(values, wanted)
    assert counts.sum() == 300


@pytest.mark.parametrize("is_spearman", [False, True])
def test_correlation_agrees_with_scipy_over_pairs_that_have_both(is_spearman: bool) -> None:
    draw = np.random.default_rng(5)
    a, b = draw.integers(0, 9, (2, 80)).astype(float)
    b += a
    b[:20] = np.nan
    columns = [
        make_column("a", a.tolist()),
        make_column("b", b.tolist()),
        make_column("c", [1] * 80),
    ]
    values, counts = correlation.correlate(columns, is_spearman=is_spearman)
    measure = stats.spearmanr if is_spearman else stats.pearsonr
    assert values[0, 1] == pytest.approx(float(measure(a[20:], b[20:])[0]))
    assert counts[0, 1] == 60
    assert np.isnan(values[0, 2])
    assert values[0, 0] == pytest.approx(1)


def test_correlation_of_huge_numbers_does_not_overflow() -> None:
    value, _count = correlation.correlate_pair(
        np.array([1e300, 2e300, 3e300]), np.array([1.0, 2, 3]), is_spearman=False
    )
    assert value == pytest.approx(1)


def test_importance_is_the_share_of_variance_and_nothing_for_noise() -> None:
    draw = np.random.default_rng(5)
    a, b, noise = draw.uniform(0, 1, (3, 400))
    kind = draw.choice(["adam", "sgd", "lion"], 400)
    target = 3 * a + 1.5 * b + (kind == "sgd")
    columns = [
        make_column("a", a.tolist()), make_column("b", b.tolist()),
        make_column("kind", kind.tolist()), make_column("noise", noise.tolist()),
    ]  # fmt: skip
    found = forest.measure_importance(columns, target)
    # Permuting a column costs twice the variance that it explains: 9, 2.25 and 12 x 2/9 parts.
    np.testing.assert_allclose(found.shares[:3], np.array([9, 2.25, 12 * 2 / 9]) / 13.9, atol=0.1)
    assert found.shares[3] < 0.01
    assert found.explained_frac > 0.85
    assert forest.measure_importance(columns, target).shares.tolist() == found.shares.tolist()
    nothing = forest.measure_importance(columns[3:], draw.normal(0, 1, 400))
    assert nothing.explained_frac < 0.05


def test_importance_knows_that_a_run_without_a_value_differs() -> None:
    draw = np.random.default_rng(5)
    with_value = draw.random(300) < 0.5
    column = make_column(
        "warmup",
        [
            float(one) if flag else None
            for one, flag in zip(draw.random(300), with_value, strict=True)
        ],
    )
    found = forest.measure_importance([column], with_value.astype(np.float64))
    assert found.explained_frac > 0.9


def test_surface_goes_through_the_runs_and_not_beyond_them() -> None:
    draw = np.random.default_rng(5)
    x, y = draw.uniform(0.2, 0.8, (2, 60))
    found = surface.fit_surface(x, y, 2 * x - y)
    assert found is not None
    side = np.linspace(0, 1, surface.GRID_POINTS)
    wanted = 2 * side[np.newaxis, :] - side[:, np.newaxis]
    known = np.isfinite(found.heights)
    np.testing.assert_allclose(found.heights[known], wanted[known], atol=1e-9)
    assert not known[0].any()
    for level, points in found.lines:
        np.testing.assert_allclose(2 * points[:, 0] - points[:, 1], level, atol=1e-9)
    assert surface.fit_surface(x, x, y) is None, "all on one line"


def test_levels_are_round_numbers_between_the_ends() -> None:
    assert surface.choose_levels(0, 1.05) == pytest.approx([0.1 * i for i in range(1, 11)])
    assert surface.choose_levels(1, 1) == []


def test_bars_are_sorted_and_name_their_runs() -> None:
    table = make_table(y=[1, 2, 3, None, 9], g=["a", "b", "a", "a", None])
    answer = KINDS["bar"].make(table, {"y": "y", "group": "g"})
    assert [(one["label"], one["n"], one["mean"]) for one in answer["bars"]] == [
        ("no value", 1, 9), ("a", 2, 2), ("b", 1, 2),
    ]  # fmt: skip
    assert answer["bars"][1]["rows"].tolist() == [0, 2]
    assert (answer["known"], answer["runs"]) == (4, 5)
    alone = KINDS["bar"].make(table, {"y": "y"})
    assert [one["label"] for one in alone["bars"]] == ["run-4", "run-2", "run-1", "run-0"]


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("bar", {}, "no column is chosen"),
        ("bar", {"y": "g"}, "texts"),
        ("bar", {"y": "y", "spread": "wide"}, "wide"),
        ("contour", {"x": "y", "y": "y", "color": "y"}, "2 runs"),
        ("correlation", {"columns": ["g", "y"]}, "fewer than two"),
        ("importance", {"y": "y", "columns": ["g"]}, "10"),
        ("histogram", {"x": "y", "bins": "many"}, "bins"),
        ("scalar", {"y": "y", "aggregate": "best"}, "best"),
    ],
)
def test_panel_that_cannot_be_drawn_says_why(
    kind: str, settings: dict[str, Any], said: str
) -> None:
    table = make_table(y=[1, 2, None], g=["a", "b", "c"])
    with pytest.raises(PanelError, match=said):
        KINDS[kind].make(table, settings)


# -- the addresses -----------------------------------------------------------------------------


def ask(dashboard: Live, path: str, body: Any) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=180)
    headers = {
        "Host": f"{HOST_NAME}:{dashboard.port}",
        "Authorization": f"Bearer {TOKEN}",
        "X-Hpctrack": "1",
    }
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def test_columns_of_hostile_runs_arrive_as_they_are(dashboard: Live) -> None:
    keys = [f"config.{HOSTILE[0]}", "summary.x", "state", "none such"]
    status, body = ask(dashboard, "/api/v1/projects/hostile/panels/columns", {"keys": keys})
    assert status == 200
    length = struct.unpack("<I", body[:4])[0]
    head = json.loads(body[4 : 4 + length])
    assert [one["key"] for one in head["columns"]] == keys
    assert head["columns"][0]["labels"] == [HOSTILE[0]]
    assert len(head["ids"]) == len(HOSTILE)
    assert [one["length"] for one in head["arrays"]] == [len(HOSTILE)] * 4


@pytest.mark.parametrize("kind", ["histogram", "scalar", "bar", "box", "heatmap"])
def test_panels_answer_for_runs_of_any_sort(dashboard: Live, kind: str) -> None:
    settings = {"x": "duration", "y": "duration", "color": "duration", "group": "state"}
    for project in ("p", "hostile", "empty"):
        path = f"/api/v1/projects/{project}/panels/{kind}"
        status, body = ask(dashboard, path, {"settings": settings})
        assert status == 200, body
        json.loads(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"settings": []}, "settings"),
        ({"ids": "all", "settings": {"y": "duration"}}, "ids"),
        ({"query": [1], "settings": {"y": "duration"}}, "query"),
        ({"query": {"filter": 3}, "settings": {"y": "duration"}}, "filter"),
        ({"settings": {}}, "no column"),
        ([], "JSON object"),
    ],
)
def test_request_that_makes_no_sense_is_told_so(dashboard: Live, body: Any, said: str) -> None:
    status, answer = ask(dashboard, "/api/v1/projects/p/panels/bar", body)
    assert status == 400
    assert said in json.loads(answer)["message"]


def test_runs_are_grouped_by_all_of_their_configuration_but_seeds(dashboard: Live) -> None:
    settings = {"y": "duration", "group": "@config-but-seed"}
    status, body = ask(dashboard, "/api/v1/projects/p/panels/bar", {"settings": settings})
    assert status == 200, body
    assert sum(one["n"] for one in json.loads(body)["bars"]) == json.loads(body)["known"]


def test_kind_that_does_not_exist_is_not_found(dashboard: Live) -> None:
    assert ask(dashboard, "/api/v1/projects/p/panels/pie", {})[0] == 404


def test_chosen_runs_are_those_by_name_and_no_others(dashboard: Live) -> None:
    path = "/api/v1/projects/p/panels/scalar"
    settings = {"y": "duration", "aggregate": "count"}
    for ids, found in ((["sealed", "live"], 2), ([], 0), (["../x"], 0)):
        status, body = ask(dashboard, path, {"ids": ids, "settings": settings})
        assert status == 200
        assert json.loads(body)["known"] == found


def test_parallel_page_holds_the_columns_of_any_project(dashboard: Live) -> None:
    page = dashboard.get("/p/hostile/parallel")
    assert page.status == 200
    assert "<script>alert" not in page.text
    assert "No runs yet" in dashboard.get("/p/empty/parallel").text
    assert dashboard.get("/p/none/parallel").status == 404
