"""What readers make of pages in a real browser: times, printed pages, large letters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LATE_WALL_S = 1_795_995_000.0
"""2026-11-29 at 23:30 in UTC: half past midnight of the 30th in Berlin."""


@pytest.fixture
def store() -> Path:
    path = Path(os.environ["HPCTRACK_DIR"])
    writer = NodeWriter(path, project="vision", run="late", wall_s=LATE_WALL_S)
    session = writer.start(0, name="late", size=1, job={})
    writer.points("loss", 0, range(30), [1 / (step + 1) for step in range(30)])
    writer.end(0, session, exit_code=0)
    writer.close()
    return path


def go(page: Any, *parts: str) -> None:
    page.goto("/".join([page.url.split("/p/")[0].rstrip("/"), "p", "vision", *parts]))


def test_a_page_has_one_zone_and_the_filter_tells_its_own(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(zone="Europe/Berlin")
    go(page, "runs", "late")
    head = page.locator("[data-part=head] time").first
    expect(head).to_contain_text("30")
    expect(page.locator("#lane-zone")).to_contain_text("Nov 30, 2026, local time")
    expect(page.locator("#lane-zone")).to_have_attribute("title", "Europe/Berlin, UTC+01:00")
    expect(page.get_by_text("times in UTC")).to_have_count(0)
    expect(page.locator(".lane-tick").first).to_contain_text("00:30")
    go(page, "runs?filter=created+%3D%3D+2026-11-29")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page.locator("#filter-zone")).to_contain_text(
        "2026-11-29 is Nov 29, 01:00 to Nov 30, 01:00"
    )
    page.get_by_role("combobox", name="Filter runs").fill('name == "2026-11-29"')
    expect(page.locator("#filter-zone")).to_be_hidden()
    page = open_page(zone="UTC")
    go(page, "runs?filter=created+%3D%3D+2026-11-29")
    expect(page.locator(".runs tbody tr")).to_have_count(1)
    expect(page.locator("#filter-zone")).to_be_hidden()
