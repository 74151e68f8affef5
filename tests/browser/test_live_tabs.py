"""Tabs of a run that ends, or is deleted, while they are open."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_run_pages import go_to
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("", "/charts", "/ranks", "/system", "/console", "/media")


def write_live(run: str) -> tuple[NodeWriter, int]:
    store = Path(os.environ["HPCTRACK_DIR"])
    writer = NodeWriter(store, project="live", run=run, wall_s=time.time())
    session = writer.start(0, name=run)
    writer.points("loss", 0, range(10), [1.0] * 10)
    writer.samples("host/cpu_util_frac", [0.5, 0.6])
    writer.flush()
    return writer, session


def test_every_tab_of_a_run_sees_its_end(open_page: Callable[..., Any]) -> None:
    runs = {tab: write_live(f"run{number}") for number, tab in enumerate(TABS)}
    page = open_page()
    for number, (tab, (writer, session)) in enumerate(runs.items()):
        writer.wall_s = time.time()
        writer.points("loss", 0, [10], [1.0])
        writer.flush()
        go_to(page, f"/p/live/runs/run{number}{tab}")
        expect(page.locator("[data-part=head] .pill.large")).to_have_text("running")
        writer.end(0, session, exit_code=1)
        writer.close()
        expect(page.locator("[data-part=head] .pill.large")).to_have_text("failed")
        expect(page.locator("#run")).to_have_attribute("data-live", "false")


def test_a_tab_says_that_its_run_was_deleted(open_page: Callable[..., Any]) -> None:
    writer, _session = write_live("gone")
    page = open_page()
    go_to(page, "/p/live/runs/gone/console")
    expect(page.locator("[data-part=head] .pill.large")).to_have_text("running")
    page.wait_for_timeout(1500)
    writer.file.abandon()
    shutil.rmtree(Path(os.environ["HPCTRACK_DIR"]) / "live" / "gone")
    expect(page.get_by_role("status").get_by_text("not in the store any more")).to_be_visible()
