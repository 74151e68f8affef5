"""Pages whose project leaves the store, or whose server leaves them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.driving import hear
from tests.browser.test_live_sockets import TOKEN, serving, watch_streams, window
from tests.browser.test_run_pages import go_to
from tests.stores import write_run

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("tab", ["runs", "compare", "parallel"])
def test_a_page_says_that_its_project_has_left_the_store_until_it_is_back(
    open_page: Callable[..., Any], tmp_path: Path, tab: str
) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    folder = write_run(store, project="shy", run="a", steps=3).parent
    write_run(store, project="shy", run="b")
    page = open_page()
    go_to(page, f"/p/shy/{tab}")
    said = page.get_by_role("status").get_by_text("is not in the store any more")
    expect(said).to_have_count(0)
    folder.rename(tmp_path / "away")
    expect(said).to_be_visible()
    expect(page.get_by_role("status").get_by_text("The project shy")).to_be_visible()
    (tmp_path / "away").rename(folder)
    expect(said).to_have_count(0)


def test_a_page_says_that_its_server_is_away_until_it_is_back(browser: Any) -> None:
    write_run(Path(os.environ["HPCTRACK_DIR"]), project="shy")
    with ExitStack() as stack:
        page = stack.enter_context(window(browser))
        found = watch_streams(page)
        said = page.get_by_role("status").get_by_text("No connection to the dashboard")
        with serving("--port", "0", HPCTRACK_TOKEN=TOKEN) as url:
            port = url.split("/")[2].rpartition(":")[2]
            page.goto(f"http://localhost:{port}/?token={TOKEN}")
            page.goto(f"http://localhost:{port}/p/shy/runs")
            hear(page, lambda: found["messages"] > 1)
            expect(said).to_have_count(0)
        expect(said).to_be_visible()
        stack.enter_context(serving("--port", port, HPCTRACK_TOKEN=TOKEN))
        expect(said).to_have_count(0)
