"""The console of a run in a real browser: found, followed, and scrolled however long it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hpctrack.store.schema import EventKind, Place
from tests.browser.test_run_pages import (
    go_to,
    print_run,
    repository,  # noqa: F401
    run_path,
    wait_for_end,
)
from tests.programs import wait_for
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_console_is_searched_filtered_and_shared(
    repository: Path,  # noqa: F811
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
) -> None:
    wait_for_end(print_run(repository, "loud-fir"))
    page = open_page(theme="dark")
    go_to(page, f"{run_path()}/console")
    rows = page.locator(".console-rows .row:not(.wait)")
    expect(page.locator("#console")).to_have_attribute("data-total", "84")
    expect(page.locator(".row .t-f6").first).to_be_visible()
    picture(page, "run_console_dark")
    page.locator("#console").focus()
    page.keyboard.press("End")
    expect(page.locator(".row .note").first).to_have_text(re.compile("rewrites"))
    page.keyboard.press("Home")

    page.keyboard.press("/")
    page.keyboard.type("step 3")
    expect(page.locator("#hits")).to_have_text("1 of 22")
    expect(page.locator(".row.at mark")).to_have_text("step 3")
    page.keyboard.press("Enter")
    expect(page.locator("#hits")).to_have_text("2 of 22")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#hits")).to_have_text("22 of 22")
    page.get_by_role("button", name="Regular expression").click()
    page.get_by_label("Search the console").fill(r"step 3\d")
    expect(page.locator("#hits")).to_have_text(re.compile("of 20"))
    page.get_by_label("Search the console").fill("(")
    expect(page.locator("#hits")).to_contain_text("no regular expression")
    page.get_by_label("Search the console").fill("warning")
    expect(page.locator("#hits")).to_have_text(re.compile("of 2$"))
    expect(page.locator(".row mark").first).to_have_text("WARNING")
    expect(page.locator(".row b")).to_have_count(0)

    page.get_by_label("Rank", exact=True).select_option("1")
    expect(page.locator("#console")).to_have_attribute("data-total", "42")
    page.get_by_role("radio", name="stderr").check()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Times").click()
    expect(rows.first.locator(".w")).to_be_visible()
    shared = page.url
    page.goto("about:blank")
    page.goto(shared)
    expect(rows).to_have_count(2)
    expect(page.get_by_label("Search the console")).to_have_value("warning")
    with page.expect_download() as found:
        page.get_by_role("link", name="Download").click()
    assert "WARNING <b>not bold</b>" in Path(found.value.path()).read_text()


def test_console_follows_a_program_until_the_reader_looks_back(
    repository: Path,  # noqa: F811
    open_page: Callable[..., Any],
    tmp_path: Path,
) -> None:
    stop = tmp_path / "stop"
    writers = print_run(repository, "live-ash", ranks=1, stop=str(stop))
    try:
        store = Path(os.environ["HPCTRACK_DIR"])
        wait_for(lambda: any(store.glob("*/*/node-*.h5")), timeout_s=60)
        page = open_page(height=500)
        go_to(page, f"{run_path()}/console")
        view = page.locator("#console")
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".row .t").filter(has_text="tick").first).to_be_visible()
        for _ in range(2):
            seen = view.get_attribute("data-total")
            expect(view).not_to_have_attribute("data-total", str(seen))
        view.focus()
        page.keyboard.press("Home")
        expect(page.locator(".row .t").filter(has_text="step 0 loss")).to_be_visible()
        expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
        seen = view.get_attribute("data-total")
        expect(view).not_to_have_attribute("data-total", str(seen))
        expect(page.locator(".row .t").filter(has_text="step 0 loss")).to_be_visible()
    finally:
        stop.touch()
        wait_for_end(writers)
    expect(page.locator("#run .pill.large")).to_have_text(re.compile("running|finished"))


def test_any_line_of_a_huge_console_is_a_key_away(
    open_page: Callable[..., Any],
) -> None:
    lines = 600_000
    writer = NodeWriter(Path(os.environ["HPCTRACK_DIR"]), project="vision", run="huge")
    session = writer.start(0)
    for start in range(0, lines, 1000):
        body = "".join(f"line {n} of many\n" for n in range(start, start + 1000)).encode()
        writer.file.add_event(
            EventKind.STDOUT, body, wall_s=writer.wall_s + start, rank=0, session=session,
            place=Place.TEXT,
        )  # fmt: skip
    writer.end(0, session)
    writer.close()
    page = open_page()
    go_to(page, "/p/vision/runs/huge/console")
    view = page.locator("#console")
    text = page.locator(".row .t")
    expect(text.filter(has_text=re.compile("^line 0 of many$"))).to_be_visible()
    expect(view).to_have_attribute("data-total", str(lines))
    view.focus()
    page.keyboard.press("End")
    expect(text.filter(has_text=f"line {lines - 1} of")).to_be_visible()
    page.keyboard.press("ArrowUp")
    page.get_by_label("Go to a line or a time").fill("300,001")
    page.keyboard.press("Enter")
    expect(page.locator(".row.at .t")).to_have_text("line 300000 of many")
    page.mouse.move(600, 500)
    page.mouse.wheel(0, 190)
    expect(text.filter(has_text="line 300020 of")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("line 599998 ")
    expect(page.locator("#hits")).to_have_text("1 of 1")
    expect(page.locator(".row.at .t")).to_have_text("line 599998 of many")
    made = page.evaluate("document.querySelectorAll('.console-rows .row').length")
    assert made < 100, "only what is seen is in the page"
    place = "Number(new URLSearchParams(location.search).get('line'))"
    wait_for(lambda: page.evaluate(place) > lines - 100)  # it follows a moment later
    reloaded = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(reloaded)
    expect(text.filter(has_text="line 599998 of")).to_be_visible()
