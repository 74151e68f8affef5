"""More runs than an address holds, names that break one, and addresses that name nothing."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest

from hpctrack.store.schema import EventKind
from hpctrack_server.language.keys import join_keys
from tests.programs import wait_for
from tests.stores import NodeWriter, write_run
from tests.unit.server.conftest import Live, serve
from tests.unit.server.test_state import send

KEPT = "/api/v1/projects/p/saved/selection"
FACTS = "/api/v1/projects/p/compare"


def test_runs_of_a_selection_are_compared_in_their_order(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    for name in "abc":
        write_run(tmp_path, run=name)
    live = start_dashboard(tmp_path)
    body = {"title": "3 runs", "body": {"runs": ["c", "a", "gone", 7]}}
    status, kept = send(live, "POST", KEPT, body)
    assert status == 200
    path = f"{FACTS}?selection={kept['id']}"
    # The store is being looked at for the first time.
    wait_for(lambda: len(live.get(path).json().get("runs", [])) == 2)
    found = live.get(path).json()
    assert [one["id"] for one in found["runs"]] == ["c", "a"]
    assert found["missing"] == ["gone"]
    assert live.get(f"/p/p/compare?selection={kept['id']}").status == 200


def test_a_selection_that_is_not_kept_any_more_is_told_in_the_page(dashboard: Live) -> None:
    answer = dashboard.get("/p/p/compare?selection=nope")
    assert answer.status == 200
    assert "this selection of runs is not kept any more" in answer.text
    assert dashboard.get(f"{FACTS}?selection=nope").status == 400


def test_runs_that_cannot_be_read_are_told_with_why(dashboard: Live) -> None:
    (told,) = dashboard.get(f"{FACTS}?runs=broken,sealed,gone").json()["broken"]
    assert told["id"] == "broken"
    assert told["message"]
    found = dashboard.get(f"{FACTS}?runs=broken,sealed,gone").json()
    assert found["missing"] == ["gone"]
    assert [one["id"] for one in found["runs"]] == ["sealed"]
    assert [one["id"] for one in dashboard.get(FACTS).json()["broken"]] == ["broken"]
    assert dashboard.get(f"{FACTS}?runs=sealed").json()["broken"] == []


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Serve runs whose keys would break a list in an address."""
    store = tmp_path_factory.mktemp("odd")
    for number in range(3):
        writer = NodeWriter(store, run=f"r{number}")
        session = writer.start(0, name=f"run {number}")
        writer.event(EventKind.CONFIG, {COMMA: number, PERCENT: number % 2, "seed": number})
        writer.event(EventKind.SUMMARY, {"loss": number})
        writer.end(0, session)
        writer.close()
    served = serve(store)
    wait_for(lambda: served.get(f"{FACTS}?limit=9").json().get("matches") == 3)
    yield served
    served.stop()


COMMA, PERCENT = "a,b", "100%2C, <b>"


def asked(**values: str) -> str:
    return "?" + urlencode(values)


def test_keys_with_commas_sort_group_and_are_columns(odd: Live) -> None:
    key = join_keys([f"config.{COMMA}"])
    for order, first in ((f"-{key}", "run 2"), (key, "run 0")):
        page = odd.get("/p/p/runs" + asked(sort=order)).text
        names = [page.index(f">run {number}<") for number in range(3)]
        assert min(names) == names[int(first[-1])]
        assert "no run has such a column" not in page
    both = join_keys([f"config.{PERCENT}", f"config.{COMMA}"])
    page = odd.get("/p/p/runs" + asked(group=both, cols=both)).text
    assert 'data-key="config.a,b"' in page
    assert "to group by" not in page
    # What the page itself leads to understands itself.
    heading = re.search(r'data-key="config\.a,b"[^>]*>\s*<a href="([^"]+)"', page)
    assert heading
    assert "no run has such a column" not in odd.get(f"/p/p/runs{unescape(heading[1])}").text
    export = re.search(r'href="([^"]*/export\?format=csv[^"]*)"', page)
    assert export
    head = odd.get(unescape(export[1])).text.splitlines()[0]
    assert next(csv.reader([head]))[-2:] == [f"config.{PERCENT}", f"config.{COMMA}"]


def test_statistics_are_grouped_by_a_key_with_a_comma(odd: Live) -> None:
    key = f"config.{PERCENT}"
    page = odd.get("/p/p/statistics" + asked(metric="summary.loss", by=key)).text
    assert "3 runs in 2 groups" in page
    link = re.search(r'href="([^"]*/runs\?filter=[^"]*)"', page)
    assert link
    shown = odd.get(unescape(link[1])).text
    assert 1 <= len(re.findall(r'<tr[^>]* data-run="', shown)) < 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sort": "-nope,name"}, "the order is not by nope: no run has such a column"),
        ({"group": "nope"}, "no run has a column nope to group by"),
        ({"base": "nope"}, "the baseline nope is not there"),
        ({"view": "nope"}, "there is no saved view nope"),
        ({"state": "nope"}, "state=nope is left out"),
        ({"scope": "nope"}, "scope=nope is left out"),
        ({"rows": "7"}, "rows=7 is left out"),
        ({"sort": "<script>" + "x" * 500}, "&lt;script&gt;xxx"),
    ],
)
def test_what_an_address_names_that_is_not_there_is_told(
    odd: Live, given: dict[str, str], told: str
) -> None:
    answer = odd.get("/p/p/runs" + asked(**given))
    assert answer.status == 200
    notice = re.search(r'<p class="notice warn">([^\n]*)</p>', answer.text)
    assert notice
    assert told in notice[1]
    assert len(notice[1]) < 400
    for number in range(3):
        assert f"run {number}" in answer.text or given.get("group"), "the rest works"
    plain = odd.get("/p/p/runs" + asked(sort="-created", group="config.seed", base="r0")).text
    assert '<p class="notice warn">' not in plain


def test_a_project_without_runs_is_listed(dashboard: Live) -> None:
    page = dashboard.get("/").text
    row = re.search(r'<tr data-project="empty".*?</tr>', page, re.DOTALL)
    assert row
    assert "no runs yet" in row[0]
    assert "1970" not in row[0]
