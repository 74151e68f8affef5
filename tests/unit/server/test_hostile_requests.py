"""Requests that no page of ours sends."""

from __future__ import annotations

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
