"""A name, notes or tags that somebody edits show up in the dashboard while it is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpctrack.store.annotation_file import edit_annotations
from hpctrack.store.seal import seal_run
from tests.programs import wait_for
from tests.stores import write_run
from tests.unit.server.conftest import Live, Zoo
from tests.unit.server.test_api import listen


def test_an_edit_of_a_live_run_is_told_and_shown(
    growing: Zoo, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(growing.path)
    connection, next_event = listen(dashboard, "/api/v1/runs/p/live/events")
    first = next_event()
    edit_annotations(growing.path, "p", "live", name="renamed", add_tags=["x"], by="bob")
    assert next_event()["version"] > first["version"]
    connection.close()

    def is_shown() -> bool:
        found = dashboard.get("/api/v1/runs/p/live").json()
        return (found["name"], found["tags"]) == ("renamed", ["x"])

    wait_for(is_shown)
    assert "renamed" in dashboard.get("/p/p/runs/live").text


def test_an_edit_of_a_sealed_run_is_told_in_its_projects_list(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    seal_run(write_run(tmp_path / "store", run="sealed"))
    dashboard = start_dashboard(tmp_path / "store")
    assert dashboard.get("/api/v1/runs/p/sealed").json()["tags"] == []
    connection, next_event = listen(dashboard, "/api/v1/projects/p/events")
    first = next_event()
    edit_annotations(tmp_path / "store", "p", "sealed", notes="why", add_tags=["<b>"], by="")
    assert next_event()["version"] != first["version"]
    connection.close()

    def is_shown() -> bool:
        (found,) = dashboard.get("/api/v1/projects/p/runs").json()["runs"]
        return (found["notes"], found["tags"]) == ("why", ["<b>"])

    wait_for(is_shown)  # what was told may have been the first look at the project


@pytest.mark.parametrize("mark", ["archived", "deleted"])
def test_a_run_that_is_put_away_says_so_and_is_compared_by_its_name(
    tmp_path: Path, start_dashboard: Callable[..., Live], mark: str
) -> None:
    seal_run(write_run(tmp_path / "store", run="sealed"))
    change: dict[str, Any] = {mark: True}
    edit_annotations(tmp_path / "store", "p", "sealed", by="", **change)
    dashboard = start_dashboard(tmp_path / "store")
    assert f">{mark}</a>" in dashboard.get("/p/p/runs/sealed").text
    found = dashboard.get("/api/v1/projects/p/compare?runs=sealed").json()
    assert [one["id"] for one in found["runs"]] == ["sealed"]
    assert found["missing"] == []
    assert dashboard.get("/api/v1/projects/p/compare").json()["runs"] == []
