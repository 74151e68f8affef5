"""What the compare page is about, and that it answers for every store."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files

import pytest

from hpctrack_server.components.figures.catalogue import figure_json
from hpctrack_server.components.figures.line import LINE_FIGURES, make_line_figure
from hpctrack_server.data.index.query import Scope, SortKey
from hpctrack_server.pages.compare.facts import (
    RUNS_DEFAULT,
    RUNS_MAX,
    RunsWanted,
    choose_value_key,
    describe_run,
)
from hpctrack_server.pages.modules import list_modules, load_modules
from tests.unit.server.conftest import HOSTILE, Live


def facts_of(page: str) -> dict[str, object]:
    """Return what the page hands to its scripts."""
    found = re.search(r'data-facts="([^"]*)"', page)
    assert found
    return dict(json.loads(html.unescape(found[1])))


def test_address_asks_for_some_runs_or_for_a_query() -> None:
    some = RunsWanted.parse({"runs": "b,a,,b", "limit": "3"})
    assert some.query.ids == ("b", "a")
    assert some.query.count == 2, "all that are named"
    query = RunsWanted.parse({"filter": "x > 1", "sort": "-summary.loss", "limit": "7"}).query
    assert (query.filter, query.count) == ("x > 1", 7)
    assert query.sort == (SortKey(key="summary.loss", is_descending=True),)
    assert (some.query.scope, query.scope) == (Scope.ALL, Scope.ACTIVE)


@pytest.mark.parametrize("limit", ["", "no", "-1", "1e9", "\N{SUPERSCRIPT TWO}", "9" * 30])
def test_a_limit_that_makes_no_sense_is_the_usual_one(limit: str) -> None:
    assert RunsWanted.parse({"limit": limit}).query.count == RUNS_DEFAULT


def test_a_limit_is_bounded() -> None:
    assert RunsWanted.parse({"limit": "0"}).query.count == 1
    assert RunsWanted.parse({"limit": "99999999"}).query.count == RUNS_MAX


def test_rail_shows_a_validation_metric_before_others() -> None:
    keys = {"summary.train/loss", "summary.val/acc", "config.lr"}
    assert choose_value_key(["lr", "train/loss", "val/acc"], keys) == "summary.val/acc"
    assert choose_value_key(["lr", "train/loss"], keys) == "summary.train/loss"
    assert choose_value_key(["lr"], keys) == ""


def test_run_in_the_rail_is_short_whatever_its_row_holds() -> None:
    row = {"id": "a", "name": "n", "state": "failed", "created": 1.0, "config.x": [1, 2]}
    assert describe_run(row, "config.x")["value"] == "[1, 2]"
    assert describe_run(row, "summary.none")["value"] is None
    told = {"id", "name", "state", "created", "user", "value", "stamp"}
    assert set(describe_run(row, "")) == told


def test_scripts_are_found_with_all_that_they_import() -> None:
    texts = {
        "a/main.js": 'import { x } from "./x.js";\nimport {\n  y,\n} from "../b/y.js";\n',
        "a/x.js": 'import "../b/y.js";\nconst later = import("./lazy.js");\n',
        "b/y.js": 'import { main } from "../a/main.js";\n',
    }
    assert list_modules(("a/main.js",), texts.__getitem__) == ("a/main.js", "a/x.js", "b/y.js")
    found = set(load_modules("compare/main.js", "panels/line.js"))
    assert {"compare/grid.js", "panels/host.js", "charts/figure.js"} <= found


def test_figure_has_few_models_and_both_scales() -> None:
    models = list(make_line_figure().references())
    assert len(models) < 60
    kinds = {name: figure_json(name).decode() for name in LINE_FIGURES}
    assert "LogScale" not in kinds["line"]
    assert kinds["line-log-y"].count('"LogScale"') == 1
    assert kinds["line-log-xy"].count('"LogScale"') == 2


@pytest.mark.parametrize("project", ["p", "hostile", "empty"])
def test_page_answers_for_every_kind_of_run(dashboard: Live, project: str) -> None:
    answer = dashboard.get(f"/p/{project}/compare")
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    if project == "empty":
        assert "No runs yet" in answer.text
    names = {one["name"] for one in facts_of(answer.text)["runs"]}  # type: ignore[attr-defined]
    if project == "hostile":
        assert names >= {one for one in HOSTILE if "\ud83d" not in one}


def test_api_says_the_same_as_the_page_and_names_what_is_not_there(dashboard: Live) -> None:
    page = facts_of(dashboard.get("/p/p/compare?runs=sealed,unsealed,gone").text)
    api = dashboard.get("/api/v1/projects/p/compare?runs=sealed,unsealed,gone").json()
    assert api["metrics"] == page["metrics"] == ["loss"]
    assert [one["id"] for one in api["runs"]] == ["sealed", "unsealed"]
    assert api["missing"] == ["gone"]
    assert dashboard.get("/api/v1/projects/no-such/compare").status == 404


def test_filter_that_cannot_be_understood_is_told_on_the_page(dashboard: Live) -> None:
    answer = dashboard.get("/p/p/compare?filter=%28%28")
    assert answer.status == 200
    assert facts_of(answer.text)["problem"]
    assert dashboard.get("/api/v1/projects/p/compare?filter=%28%28").status == 400


def test_workspace_that_is_gone_is_told_and_the_page_is_there(dashboard: Live) -> None:
    answer = dashboard.get("/p/p/compare?workspace=gone")
    assert answer.status == 200
    facts = facts_of(answer.text)
    assert facts["saved"] is None
    assert facts["trouble"]


def test_charts_know_all_names_that_style_sheets_set_for_them() -> None:
    static = files("hpctrack_server") / "static"
    sheets = [
        one.read_text("utf-8")
        for folder in static.iterdir() if folder.is_dir()
        for one in folder.iterdir() if one.name.endswith(".css")
    ]  # fmt: skip
    set_names = {name for sheet in sheets for name in re.findall(r"--bk-([a-z-]+):", sheet)}
    script = (static / "charts" / "thrift.js").read_text("utf-8")
    known = re.search(r"const KNOWN = new Set\(\[(.*?)\]", script, re.DOTALL)
    assert known is not None
    assert set(re.findall(r'"([a-z-]+)"', known[1])) == set_names


@pytest.mark.parametrize("path", ["/p/p/compare", "/p/p/parallel", "/p/p/runs/live/charts"])
def test_no_figure_is_fetched_before_a_panel_wants_it(dashboard: Live, path: str) -> None:
    # Which it is, panels know: browsers complain of one that was fetched ahead and not drawn.
    answer = dashboard.get(path)
    assert answer.status == 200
    assert "figures/" not in answer.text
