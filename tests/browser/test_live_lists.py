"""Lists that are open while projects and runs come and go."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_run_pages import go_to
from tests.stores import NodeWriter, write_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def store() -> Path:
    return Path(os.environ["HPCTRACK_DIR"])


def begin(run: str, *, project: str = "live", user: str = "alice") -> Callable[[], None]:
    """Begin a run; return what ends it."""
    writer = NodeWriter(store(), project=project, run=run, wall_s=time.time())
    session = writer.start(0, name=run, user=user)
    writer.points("loss", 0, range(10), [1.0] * 10)
    writer.flush()

    def end() -> None:
        writer.end(0, session)
        writer.close()

    return end


def stay(page: Any) -> None:
    """Mark a page, so that it is known whether it was loaded again."""
    page.evaluate("document.body.dataset.stays = 'yes'")


def check_stayed(page: Any) -> None:
    expect(page.locator("body")).to_have_attribute("data-stays", "yes")


def test_list_of_projects_follows_the_store(open_page: Callable[..., Any]) -> None:
    write_run(store(), project="old")
    page = open_page()
    expect(page.locator("tr[data-project]")).to_have_count(1)
    stay(page)
    search = page.get_by_label("Search projects")
    search.fill("li")
    expect(page.get_by_text("No project is called so.")).to_be_visible()
    end = begin("first")
    row = page.locator("tr[data-project=live]")
    expect(row).to_contain_text("1 running")
    expect(page.locator("tr[data-project=old]")).to_be_hidden()
    expect(search).to_be_focused()
    expect(page.locator("[data-part=count]")).to_have_text(
        re.compile(r"2 projects in .* 1 running")
    )
    end()
    expect(row).not_to_contain_text("running")
    shutil.rmtree(store() / "live")
    expect(row).to_have_count(0)
    expect(page.locator("[data-part=count]")).to_contain_text("1 project in")
    check_stayed(page)


def test_first_project_of_a_store_appears(open_page: Callable[..., Any]) -> None:
    page = open_page()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    stay(page)
    end = begin("first")
    expect(page.locator("tr[data-project=live]")).to_be_visible()
    expect(page.get_by_label("Search projects")).to_be_visible()
    end()
    check_stayed(page)


def test_what_is_running_now_is_counted_and_its_users_can_be_chosen(
    open_page: Callable[..., Any],
) -> None:
    page = open_page()
    go_to(page, "/live")
    count = page.locator("[data-part=count]")
    users = page.get_by_label("User", exact=True)
    expect(count).to_have_text("0 runs")
    stay(page)
    ends = [begin("first"), begin("second", user="bob")]
    expect(count).to_have_text("2 runs")
    expect(page.locator("[data-part=running] tbody tr")).to_have_count(2)
    expect(users.locator("option")).to_have_text(["All users", "alice", "bob"])
    for end in ends:
        end()
    expect(count).to_have_text("0 runs")
    expect(page.locator("[data-part=ended] tbody tr")).to_have_count(2)
    check_stayed(page)
    users.select_option("bob")
    expect(page.locator("[data-part=ended] tbody tr")).to_have_count(1)
    expect(users).to_have_value("bob")
    expect(users.locator("option")).to_have_text(["All users", "alice", "bob"])
