"""The dashboard in a real browser: who may look, and names that nobody would choose."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import FLAGS
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_hostile_names_are_shown_as_they_are(open_page: Callable[..., Any]) -> None:
    write_hostile(Path(os.environ["HPCTRACK_DIR"]), "hostile", HOSTILE[0])
    page = open_page()
    page.get_by_role("link", name="hostile").click()
    page.locator("tbody").get_by_role("link", name=HOSTILE[0]).click()
    expect(page.get_by_role("heading", name=HOSTILE[0])).to_be_visible()
    page.get_by_role("link", name="Charts", exact=True).click()
    for metric in HOSTILE_METRICS:
        card = page.get_by_role("article", name=metric.strip(), exact=True)
        card.scroll_into_view_if_needed()
        expect(card.locator(".caption")).to_contain_text("points drawn")


def test_visitor_without_the_link_is_told_where_it_is(
    chromium: str, url: str, open_page: Callable[..., Any]
) -> None:
    open_page()
    answer = subprocess.run(
        [chromium, "--headless", *FLAGS, "--dump-dom", url.partition("?")[0]],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "hpctrack server" in answer.stdout
    assert "vision" not in answer.stdout
