"""Comparisons of more runs than an address holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.stores import write_run
from tests.unit.server.conftest import Live
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
    found = live.get(f"{FACTS}?selection={kept['id']}").json()
    assert [one["id"] for one in found["runs"]] == ["c", "a"]
    assert found["missing"] == ["gone"]
    assert live.get(f"/p/p/compare?selection={kept['id']}").status == 200


def test_a_selection_that_is_not_kept_any_more_is_told_in_the_page(dashboard: Live) -> None:
    answer = dashboard.get("/p/p/compare?selection=nope")
    assert answer.status == 200
    assert "this selection of runs is not kept any more" in answer.text
    assert dashboard.get(f"{FACTS}?selection=nope").status == 400
