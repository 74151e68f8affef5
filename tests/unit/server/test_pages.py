"""Every page of a store with everything in it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from hpctrack.store.schema import EventKind
from hpctrack_server.pages.registry import API, PAGES
from tests.stores import NodeWriter, write_run
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, Live, Zoo

RUN_TABS = ("", "/charts", "/config", "/files", "/code", "/console", "/ranks", "/system")


class Tags(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def parse(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_every_registered_page_answers_for_every_kind_of_run(dashboard: Live) -> None:
    runs = {
        "p": ["live", "sealed", "unsealed", "broken"],
        "hostile": [f"hostile-{number}" for number in range(len(HOSTILE))],
        "empty": [],
    }
    of_runs = [page for page in PAGES.values() if "/runs/(" in page.route]
    paths = [page.route for page in PAGES.values() if "(" not in page.route]
    for project, ids in runs.items():
        paths += [
            "/" + "/".join(page.parts(project))
            for page in PAGES.values()
            if page.route.count("(") == 1
        ]
        paths += ["/" + "/".join(page.parts(project, run)) for page in of_runs for run in ids]
    paths += ["/p/p/sweeps/swept", "/p/p/diff"]
    for path in paths:
        answer = dashboard.get(path)
        assert answer.status == 200, (path, answer.text[-400:])
        assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("project", ["p", "p/", "%3Cb%3E%0d%0aX:%201", "..%2F..%2Fetc"])
def test_address_of_a_project_leads_to_its_runs(dashboard: Live, project: str) -> None:
    answer = dashboard.get(f"/p/{project}")
    assert answer.status == 302
    parts = unquote(answer.headers["Location"]).partition("/runs")
    assert parts == (f"/p/{unquote(project.strip('/'))}", "/runs", "")


def test_broken_run_is_told_and_breaks_nothing(dashboard: Live, zoo: Zoo) -> None:
    listing = dashboard.get("/p/p/runs").text
    assert "1 run cannot be read" in listing
    assert "sealed" in listing
    page = dashboard.get("/p/p/runs/broken")
    assert page.status == 200
    assert "cannot be read" in page.text
    assert str(zoo.path) not in listing + page.text, "where the store lies is nobody's business"
    assert "1 unreadable" in dashboard.get("/").text


def test_empty_store_says_how_to_log(tmp_path: Path, start_dashboard: Callable[..., Live]) -> None:
    store = tmp_path / "nothing"
    store.mkdir()
    page = start_dashboard(store).get("/")
    assert page.status == 200
    assert "hpctrack.init(" in page.text


def test_project_without_runs_says_how_to_log(dashboard: Live) -> None:
    page = dashboard.get("/p/empty/runs").text
    assert "No runs yet" in page
    assert "project=&quot;empty&quot;" in page or 'project="empty"' in page


@pytest.mark.parametrize(
    "path",
    [
        "/p/none/runs",
        "/p/p/runs/none",
        "/nowhere",
        "/p/p/nowhere",
        "/p/..%2f..%2fetc/runs",
        "/p/%2e%2e/runs",
        "/p/p/runs/..%2fsealed",
        "/p/p/runs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/p/.hidden/runs",
        "/assets/x/../../auth.py",
        "/assets/x/..%2f..%2fauth.py",
        "/assets/x/templates/base.html",
        "/static/js/bokeh.min.js",
        "/static/../app.py",
        "/api/v1/runs/p/..%2fp%2fsealed",
        "/api/v1/nowhere",
        "/p/%00/runs",
        "/p/" + "x" * 500 + "/runs",
    ],
)
def test_what_is_not_there_is_a_404(dashboard: Live, path: str) -> None:
    answer = dashboard.get(path)
    assert answer.status == 404
    if path.startswith("/api/"):
        assert answer.json()["error"]
    assert "Traceback" not in answer.text


def test_a_run_that_is_not_there_leads_back_to_its_project(dashboard: Live) -> None:
    assert '<a class="button" href="/p/p/runs">Runs of' in dashboard.get("/p/p/runs/gone").text
    assert "Runs of" not in dashboard.get("/p/none/runs").text
    hostile = dashboard.get(f"/p/{quote('<b>', safe='')}/runs/gone")
    assert hostile.status == 404
    assert "<b>/" not in hostile.text


def test_a_broken_run_says_what_helps(dashboard: Live) -> None:
    for path in ("/health", "/p/p/runs/broken"):
        page = dashboard.get(path).text
        assert "<code>hpctrack repair</code> saves what is whole" in page, path


def test_hostile_text_is_text_on_every_page(dashboard: Live) -> None:
    known = {"script", "link", "meta"}
    for path in (
        "/p/hostile/runs",
        *(
            f"/p/hostile/runs/hostile-{number}{tab}"
            for number in range(len(HOSTILE))
            for tab in RUN_TABS
        ),
        f"/p/p/runs?search={quote(HOSTILE[2])}&sort={quote(HOSTILE[1])}&state=%3Cb%3E&page=-1&cols={quote(HOSTILE[0])}",
        f"/p/{quote(HOSTILE[0], safe='')}/runs",
    ):
        page = dashboard.get(path).text
        assert "<script>alert" not in page
        tags = parse(page)
        assert not {"b", "u", "img", "iframe"} & {tag for tag, _ in tags} - known
        for tag, attributes in tags:
            assert not [name for name in attributes if name.startswith("on")]
            if tag == "script":
                assert (attributes.get("src") or "").startswith("/assets/"), "no inline script"
            for name in ("href", "src", "action"):
                target = attributes.get(name) or "/"
                assert target.startswith(("/", "?", "#")), (path, target)


def metrics_of(page: str) -> list[str]:
    (found,) = (one["data-metrics"] for _tag, one in parse(page) if "data-metrics" in one)
    return [str(one) for one in json.loads(found or "")]


def test_hostile_metric_names_reach_the_page_and_their_series(dashboard: Live) -> None:
    page = dashboard.get("/p/hostile/runs/hostile-0/charts").text
    assert sorted(metrics_of(page)) == sorted(HOSTILE_METRICS)
    for metric in HOSTILE_METRICS:
        path = f"/api/v1/runs/hostile/hostile-0/series?metric={quote(metric, safe='')}"
        answer = dashboard.get(path)
        assert answer.status == 200, metric
        assert b'"total": 3' in answer.body, "the step with NaN has no mean to draw"


def test_hidden_metrics_are_not_drawn_but_served(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0)
    writer.event(EventKind.DEFINE, {"name": "internal/*", "hidden": True})
    for name in ("loss", "internal/a", "internal/b"):
        writer.points(name, 0, [0, 1], [1.0, 2.0])
    writer.end(0, session)
    writer.close()
    dashboard = start_dashboard(tmp_path)
    page = dashboard.get("/p/p/runs/r/charts").text
    assert metrics_of(page) == ["loss"]
    assert "2 metrics more are hidden" in page
    assert dashboard.get("/api/v1/runs/p/r/metrics?shown=1").json()["metrics"] == ["loss"]
    assert "internal/a" in dashboard.get("/api/v1/runs/p/r/metrics").json()["metrics"]
    assert dashboard.get("/api/v1/runs/p/r/series?metric=internal/a").status == 200


def test_long_names_are_cut_in_the_table_but_not_in_the_api(dashboard: Live) -> None:
    assert len(dashboard.get("/p/hostile/runs").body) < 60_000
    names = {one["name"] for one in dashboard.get("/api/v1/projects/hostile/runs").json()["runs"]}
    assert "x" * 10_000 in names


def test_runs_are_searched_filtered_sorted_and_paged(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    store = tmp_path / "many"
    for number in range(55):
        write_run(store, run=f"run-{number:02d}", steps=1 + number % 3, ranks=1)
    dashboard = start_dashboard(store)

    def shown(query: str) -> list[str]:
        page = dashboard.get(f"/p/p/runs{query}").text
        return re.findall(r'<tr data-run="([^"]+)"', page)

    assert len(shown("")) == 50
    assert len(shown("?page=2")) == 5
    assert len(shown("?page=99999999999999")) == 50, "no page is the first"
    assert shown("?page=7") == shown("?page=2"), "a page that is gone is the last one"
    assert len(shown("?rows=100")) == 55
    assert len(shown("?state=finished")) == 50
    assert shown("?state=running") == []
    assert shown("?sort=id")[:2] == ["run-00", "run-01"]
    assert shown("?sort=-id")[:2] == ["run-54", "run-53"]
    assert shown("?filter=id+%3D%3D+%22run-03%22&sort=id") == ["run-03"]
    grouped = dashboard.get("/p/p/runs?group=state").text
    mark = re.findall(r'<tr class="group" data-group="([^"]+)"', grouped)
    assert len(mark) == 1
    assert len(shown(f"?group=state&open={mark[0]}")) == 50
    assert shown("?base=run-07&filter=id+%3D%3D+%22run-03%22") == ["run-07", "run-03"]
    assert shown("?search=run-07") == ["run-07"]
    by_loss = shown("?sort=summary.loss")
    assert by_loss[0] in {f"run-{number:02d}" for number in range(0, 55, 3)}
    page = dashboard.get("/p/p/runs?sort=summary.loss").text
    assert 'rel="next"' in page
    assert "Page 1 of 2" in page


def test_failed_ranks_are_named_with_host_and_exit_code(dashboard: Live) -> None:
    page = html.unescape(dashboard.get("/p/hostile/runs/hostile-0").text)
    assert "exit code 137 (SIGKILL)" in page
    assert "3 points dropped" in page
    assert "2 refused: <script>" in page
    assert "n1" in page


def test_assets_are_cached_for_ever_under_their_hash(dashboard: Live) -> None:
    page = "".join(dashboard.get(f"/p/p/runs/sealed/{tab}").text for tab in ("charts", "ranks"))
    assets = set(re.findall(r'"(/assets/[^"]+)"', page))
    assert {path.rpartition(".")[2] for path in assets} >= {"css", "js", "woff2", "svg", "json"}
    for path in assets:
        answer = dashboard.get(path)
        assert answer.status == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert "://" not in path
    old = re.sub(r"/assets/[^/]+", "/assets/old", next(iter(assets)))
    assert dashboard.get(old).headers["Cache-Control"] == "no-store"


def test_pages_have_names_for_everything_that_can_be_used(dashboard: Live) -> None:
    for path in ("/", "/p/p/runs", "/p/p/runs/sealed"):
        tags = parse(dashboard.get(path).text)
        assert tags[0] == ("html", {"lang": "en", "data-base": ""})
        assert ("a", {"class": "skip", "href": "#main"}) in tags
        ids = [attributes["id"] for _tag, attributes in tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        for tag, attributes in tags:
            if tag in {"input", "select"} and attributes.get("type") not in {"hidden", "radio"}:
                assert "aria-label" in attributes or attributes.get("id") == "rank", attributes


def test_every_address_of_the_api_is_registered_once() -> None:
    routes = [page.route for page in (*PAGES.values(), *API.values())]
    assert len(routes) == len(set(routes))
