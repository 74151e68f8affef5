"""Requests that no page of ours sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.server.chart_client import post
from tests.unit.server.conftest import Live


@pytest.mark.parametrize(
    "body", [b'{"a":' * 5000, b"[" * 5000, b"\xff", b'{"keys": [' + b"1" * 5000 + b"]}"]
)
def test_body_that_cannot_be_parsed_is_refused_and_logs_no_fault(
    dashboard: Live, body: bytes
) -> None:
    answer = post(dashboard, "/api/v1/projects/p/table", body)
    assert answer.status == 400, answer.text
    assert "the body is" in answer.json()["message"]


def test_range_of_thousands_of_digits_is_no_fault_of_the_server(dashboard: Live) -> None:
    digest = "0" * 64
    answer = dashboard.get(f"/api/v1/runs/p/sealed/media/{digest}", Range=f"bytes={'9' * 5000}-")
    assert answer.status == 404


def test_prefix_without_its_slash_leads_to_the_first_page_and_only_by_our_name(
    tmp_path: Path, start_dashboard: Callable[..., Live]
) -> None:
    dashboard = start_dashboard(tmp_path, prefix="/track")
    answer = dashboard.get("/track", Authorization="")
    assert (answer.status, answer.headers["Location"]) == (302, "/track/")
    assert dashboard.get("/track/").status == 200
    assert dashboard.get("/track", Host="evil.example").status == 421
    assert dashboard.get("/tracks").status == 404
