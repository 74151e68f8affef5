"""The table of runs and the list of projects over HTTP: what an address shows."""

from __future__ import annotations

import html
import re
from urllib.parse import quote

import pytest

from tests.unit.server.conftest import HOSTILE, Live


def read(dashboard: Live, query: str, project: str = "p") -> str:
    """Return a page of the table as a browser would."""
    answer = dashboard.get(f"/p/{project}/runs{query}")
    assert answer.status == 200, answer.text
    return html.unescape(answer.text)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ('state == "x" andd y', "andd"),
        ("config.lr >", " "),
        ("(state", "("),
        ("config.nothing_like_it > 1", "config.nothing_like_it"),
        ('x") or (y', '"'),
        ('state == "\u202e" !! <script>', "!"),
    ],
)
@pytest.mark.parametrize("states", ["", "&state=failed", "&state=failed,crashed"])
def test_a_wrong_filter_is_marked_where_it_is_wrong(
    dashboard: Live, text: str, marked: str, states: str
) -> None:
    page = read(dashboard, f"?filter={quote(text)}{states}")
    problem = re.search(r"<code>(.*?)<mark>(.*?)</mark>(.*?)</code>", page, re.DOTALL)
    assert problem, page
    assert marked[0] in problem[2]
    assert "".join(problem.groups()).strip() == text.strip()


def test_a_wrong_search_or_order_breaks_no_page(dashboard: Live) -> None:
    for query in ("?search=(", "?search=%5B", "?sort=nothing,-,config.%3Cb%3E", "?group=nothing"):
        read(dashboard, query)
    assert "<strong>" in read(dashboard, "?search=(")


def test_columns_that_no_run_has_are_shown_empty(dashboard: Live) -> None:
    page = read(dashboard, "?cols=config.gone,!state,~loss,notes,tags,slurm.qos")
    specs = re.findall(r'data-spec="([^"]*)"', page)
    assert specs == ["name", "!state", "config.gone", "~loss", "notes", "tags", "slurm.qos"]


def test_every_view_of_hostile_runs_is_text(dashboard: Live) -> None:
    keys = ",".join(f"config.{quote(one[:50], safe='')}" for one in HOSTILE[:5])
    for query in (
        "?group=user,name", f"?cols=user,notes,tags,{quote(keys)}", "?base=hostile-0",
        "?group=@config-but-seed&cols=name", "?sort=user,-name",
    ):  # fmt: skip
        page = dashboard.get(f"/p/hostile/runs{query}")
        assert page.status == 200
        assert "<script>alert" not in page.text


def test_projects_are_searched_by_address(dashboard: Live) -> None:
    page = dashboard.get("/?q=HOST").text
    shown = re.findall(r'<tr data-project="([^"]+)">', page)
    hidden = re.findall(r'<tr data-project="([^"]+)" hidden>', page)
    assert shown == ["hostile"]
    assert "p" in hidden
