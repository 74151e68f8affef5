"""Every page and every answer, over a store of huge, half-written, broken and hostile runs."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from hpctrack_server.pages.page import PROJECT, Page
from hpctrack_server.pages.registry import PAGES
from tests.dashboard.test_broken_runs import Asked, ask, check_problem, list_operations
from tests.unit.server.conftest import Live, serve
from tests.wild import PROJECT as WILD
from tests.wild import RUNS, SWEEP, UNREADABLE, write_wild


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return such a store."""
    path = tmp_path_factory.mktemp("wild")
    write_wild(path)
    return path


@pytest.fixture(scope="module")
def wild(store: Path) -> Iterator[Live]:
    """Serve it."""
    live = serve(store)
    yield live
    live.stop()


class Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep one."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))


def list_paths(name: str, page: Page) -> list[str]:
    """Return the addresses of a page for everything that it can show."""
    count = page.route.count(PROJECT)
    last = [SWEEP] if name == "sweep" else [*RUNS, *UNREADABLE]
    places = [()] if not count else [(WILD,)] if count == 1 else [(WILD, one) for one in last]
    return ["/" + "/".join(quote(one, safe="") for one in page.parts(*place)) for place in places]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_shows_every_run_and_no_text_is_more_than_text(
    wild: Live, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    for path in list_paths(name, PAGES[name]):
        answer = wild.get(path)
        assert answer.status == 200, (path, answer.text[-300:])
        tags = Tags()
        tags.feed(answer.text)
        for tag, attributes in tags.found:
            assert tag not in {"u", "iframe", "object", "base"}, path
            assert not [one for one in attributes if one.startswith("on")], (path, attributes)
            if tag == "script":
                assert attributes["src"].startswith("/assets/"), path
            for one in ("href", "src", "action", "formaction"):
                target = attributes.get(one) or "/"
                assert target.startswith(("/", "?", "#")), (path, target)
                assert not target.startswith("//"), (path, target)
        assert "<script>alert" not in answer.text
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []


@pytest.mark.parametrize("asked", list_operations(), ids=lambda one: f"{one.method} {one.path}")
def test_every_answer_of_the_api_stands_every_run(
    wild: Live, store: Path, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    names = [SWEEP] if "{sweep}" in asked.path else RUNS
    for run in names if asked.is_of_a_run or "{sweep}" in asked.path else ("huge",):
        status, kind, body = ask(wild, asked, WILD, run)
        assert status in {200, 400, 404}, (run, body)
        assert b"NaN" not in body or kind != "application/json"
        if status >= 400:
            check_problem(asked, status, kind, body, store)
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []
