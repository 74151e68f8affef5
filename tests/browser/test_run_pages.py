"""The pages of one run in a real browser, with programs that really log, print and save."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from hpctrack import Store
from hpctrack.errors import HpctrackError
from hpctrack.store.schema import EventKind, Place
from tests.browser.driving import TRAIN, assert_fits, eventually, log_run
from tests.programs import only_run, rank_environment, start_python, wait_for
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOSTILE, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABS = ("", "/charts", "/console", "/config", "/files", "/code")

PRINT = textwrap.dedent("""
    import os, sys, time
    import hpctrack

    rank, name, lr = int(os.environ["RANK"]), sys.argv[1], float(sys.argv[2])
    config = {"lr": lr, "model": {"layers": 12, "act": "gelu"}, "seed": 1}
    with hpctrack.init("vision", name=name, config=config, tags=["baseline"], notes="first") as run:
        for step in range(40):
            run.log({"train/loss": 1 / (step + 1) + lr, "acc": step / 40}, step=step)
            print(f"step {step} loss \\x1b[36m{1 / (step + 1):.4f}\\x1b[0m")
        for part in range(5):
            sys.stderr.write(f"\\rvalidating {part * 25}%")
        print("\\nWARNING <b>not bold</b>", file=sys.stderr)
        if rank == 0:
            open("report.html", "w").write("<h1>x</h1><script>alert(1)</script>")
            run.save("report.html")
            run.log_code(".")
        if len(sys.argv) > 3:
            print("waiting", flush=True)
            while not os.path.exists(sys.argv[3]):
                print("tick", time.time(), flush=True)
                time.sleep(0.2)
        if lr > 0.5 and rank == 1:
            print("\\x1b[31mRuntimeError: out of memory\\x1b[0m", file=sys.stderr)
            sys.exit(3)
""")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a git repository with a change that is not committed."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "a")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "a")
    (folder / "model.py").write_text("layers = 12\n")
    for command in ("init -q -b main", "add -A", "commit -q -m first"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    (folder / "model.py").write_text('layers = "<b>24"\n')
    return folder


def print_run(
    repository: Path, name: str, *, ranks: int = 2, lr: float = 0.1, stop: str = ""
) -> list[Any]:
    """Start a program that logs, prints and saves, once per rank."""
    words = [name, str(lr), *([stop] if stop else [])]
    (repository / "train.py").write_text(PRINT)
    return [
        subprocess.Popen(
            [sys.executable, "train.py", *words],
            cwd=repository,
            env={
                **os.environ,
                **rank_environment(rank, ranks, run=f"job-{name}"),
                "HPCTRACK_CONSOLE": "auto",
                "HPCTRACK_QUIET": "1",
                "HPCTRACK_PROVENANCE": "auto",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]


def wait_for_end(processes: list[Any], codes: tuple[int, ...] = (0, 0)) -> None:
    for process, code in zip(processes, codes, strict=False):
        _output, errors = process.communicate(timeout=240)
        assert process.returncode == code, errors


def print_whole(repository: Path, name: str, *, lr: float = 0.1) -> None:
    """Run the program until git has answered: a short run on a busy node goes without it."""
    stop = repository.parent / f"stop-{name}"
    writers = print_run(repository, name, lr=lr, stop=str(stop))

    def has_diff() -> bool:
        for run in Store(os.environ["HPCTRACK_DIR"]).runs():
            with contextlib.suppress(HpctrackError), contextlib.closing(run):
                if name == run.name and "diff" in run.provenance.get("git", {}):
                    return True
        return False

    try:
        wait_for(has_diff, timeout_s=60)
    finally:
        stop.touch()
        wait_for_end(writers)


def go_to(page: Any, path: str) -> None:
    page.goto(
        re.sub(r"/(\?.*)?$", path, page.url)
        if page.url.count("/") == 3
        else page.evaluate("location.origin") + path
    )


def run_path(name: str = "") -> str:
    """Return the address of the only run, or of the one with this name."""
    runs = [
        one
        for one in Path(os.environ["HPCTRACK_DIR"]).glob("*/*")
        if (one / "run.h5").exists() or [*one.glob("node-*.h5")]
    ]
    for one in runs:
        if not name or name in one.name:
            return f"/p/{one.parent.name}/runs/{one.name}"
    raise AssertionError([str(one) for one in runs])


def open_named(page: Any, name: str) -> None:
    """Open a run of the project by its name."""
    go_to(page, "/p/vision/runs")
    page.locator("tbody").get_by_role("link", name=name).first.click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()


def panel(page: Any, metric: str = "train/loss") -> Any:
    return page.locator(f'.panel[data-title="{metric}"]')


def points(page: Any) -> int:
    return int(panel(page).get_attribute("data-points") or 0)


def test_curve_grows_while_a_program_is_logging(
    open_page: Callable[..., Any],
    tmp_path: Path,
) -> None:
    stop = tmp_path / "stop"
    store = Path(os.environ["HPCTRACK_DIR"])
    writer = start_python(TRAIN, "100000", "0.05", "growing-oak", str(stop))
    try:
        wait_for(lambda: any(store.glob("*/*/node-*.h5")), timeout_s=60)
        page = open_page()
        go_to(page, f"{run_path()}/charts")
        expect(page.locator("#run .pill.large")).to_have_text("running")
        panel(page).and_(page.locator("[data-ready]")).wait_for()
        address, before = page.url, points(page)
        for _ in range(3):
            seen = points(page)
            expect(panel(page)).not_to_have_attribute("data-points", str(seen))
        eventually(lambda: points(page) > before)
        stop.touch()
        expect(page.locator("#run .pill.large")).to_have_text("finished")
        logged = len(only_run(os.environ["HPCTRACK_DIR"]).metric("train/loss"))
        expect(panel(page)).to_have_attribute("data-points", str(logged))
        expect(page).to_have_url(address)
    finally:
        stop.touch()
        _output, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors


def test_three_views_of_the_ranks_zoom_and_themes(
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
) -> None:
    log_run("four-ranks", ranks=4, steps=1200)
    page = open_page()
    go_to(page, f"{run_path()}/charts")
    expect(page.locator(".panel[data-ready]")).to_have_count(5)
    caption = panel(page).locator(".caption")
    expect(caption).to_contain_text("mean, lowest and highest of 4 ranks")
    picture(page, "run_light")

    page.get_by_role("radio", name="All ranks").check()
    expect(caption).to_contain_text("points drawn of 4,800, extremes exact")
    expect(page).to_have_url(re.compile("ranks=all"))
    page.get_by_role("radio", name="One rank").check()
    expect(caption).to_contain_text("1,200")
    page.get_by_label("Rank", exact=True).select_option("2")
    expect(panel(page, "val/acc").locator(".caption")).to_have_text("rank 2 has not logged this")
    expect(page).to_have_url(re.compile("ranks=2"))
    page.go_back()
    expect(page).to_have_url(re.compile("ranks=0"))
    page.go_forward()
    page.reload()
    expect(page.get_by_label("Rank", exact=True)).to_have_value("2")

    page.get_by_role("radio", name="All ranks").check()
    expect(caption).to_contain_text("4,800")
    panel(page).scroll_into_view_if_needed()
    box = panel(page).locator(".line-plot").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.4, middle)
    expect(page.locator("#tip")).to_contain_text("rank 3")
    zoomed = re.compile(r"all \d{2,3} points drawn")
    for _attempt in range(4):  # a busy browser may take a quick drag for a click, as with people
        page.mouse.move(box["x"] + box["width"] * 0.4, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=6)
        page.mouse.up()
        with contextlib.suppress(AssertionError):
            expect(caption).to_contain_text(zoomed, timeout=15_000)
            break
    expect(caption).to_contain_text(zoomed)
    page.get_by_role("button", name="Reset zoom").click()
    expect(caption).to_contain_text("4,800")

    page.get_by_role("radio", name=re.compile("Mean")).check()
    page.get_by_role("button", name="Dark theme").click()
    eventually(lambda: page.evaluate("document.documentElement.dataset.theme"), "dark")
    page.reload()
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".panel[data-ready]")).to_have_count(5)
    picture(page, "run_dark")


def test_old_links_to_the_charts_still_show_what_they_showed(
    open_page: Callable[..., Any],
) -> None:
    log_run("linked", ranks=3, steps=50)
    page = open_page()
    go_to(page, f"{run_path()}?view=rank&rank=1&x=time")
    expect(page.get_by_role("radio", name="One rank")).to_be_checked()
    expect(page.get_by_label("Rank", exact=True)).to_have_value("1")
    expect(page.get_by_label("Horizontal axis")).to_have_value("relative")
    expect(page).not_to_have_url(re.compile("view="))


def test_overview_says_why_and_takes_a_name_tags_and_notes(
    repository: Path,
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
) -> None:
    wait_for_end(print_run(repository, "sad-fir", lr=0.9), (0, 3))
    page = open_page()
    go_to(page, run_path())
    expect(
        page.get_by_text(re.compile(r"Rank 1 on .* was the first to go: exit code 3"))
    ).to_be_visible()
    expect(page.locator("#efficiency")).to_have_attribute("data-loading", "false")
    picture(page, "run_overview_light")

    page.get_by_label("New tag").focus()
    page.keyboard.type("for the <paper>")
    page.keyboard.press("Enter")
    tags = page.get_by_role("list", name="Tags")
    expect(tags.get_by_text("for the <paper>")).to_be_visible()
    page.get_by_role("button", name="Remove the tag baseline").click()
    expect(tags.get_by_text("baseline")).to_have_count(0)
    page.get_by_role("button", name="Undo").last.click()
    expect(tags.get_by_text("baseline")).to_be_visible()

    name = page.get_by_role("textbox", name="Name", exact=True)
    name.fill("happy <oak>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("happy <oak>")
    expect(page).to_have_title(re.compile("^happy <oak> ·"))
    page.get_by_role("button", name="Undo").last.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("sad-fir")
    expect(name).to_have_value("sad-fir")

    notes = page.get_by_label("Notes", exact=True)
    expect(notes).to_have_value("first")
    notes.fill("the memory was not enough")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#notes-state")).to_have_text("saved")
    page.reload()
    expect(notes).to_have_value("the memory was not enough")
    expect(tags.get_by_text("for the <paper>")).to_be_visible()

    page.get_by_role("link", name="its last words").click()
    expect(page.locator(".row .t").filter(has_text="RuntimeError: out of memory")).to_be_visible()
    expect(page).to_have_url(re.compile("rank=1"))


def test_configuration_files_and_code_can_be_looked_at_and_taken_away(
    repository: Path,
    open_page: Callable[..., Any],
) -> None:
    print_whole(repository, "whole-oak")
    print_whole(repository, "other-elm", lr=0.2)
    page = open_page()
    open_named(page, "whole-oak")
    page.get_by_role("link", name="Config", exact=True).click()
    page.wait_for_url("**/config")  # and all its scripts
    page.keyboard.press("/")
    page.keyboard.type("layers")
    expect(page.locator("#tree tbody tr:visible")).to_have_count(2)
    page.get_by_role("radio", name="Flat").check()
    expect(page.locator("#tree tbody tr:visible")).to_have_count(1)
    page.reload()
    expect(page.locator("#tree tbody tr:visible")).to_have_text(re.compile(r"model\.layers\s*12"))
    page.get_by_label("Search the configuration").fill("")
    page.get_by_label("Differences to").select_option(label="other-elm")
    expect(page.get_by_text("1 value differs")).to_be_visible()
    page.get_by_role("link", name="all differences of the two runs").click()
    expect(page.get_by_role("rowheader", name="lr", exact=True)).to_be_visible()

    page.go_back()
    page.get_by_role("link", name="Files", exact=True).click()
    page.get_by_role("link", name="report.html", exact=True).click()
    expect(page.locator("pre.text")).to_have_text("<h1>x</h1><script>alert(1)</script>")
    with page.expect_download() as found:
        page.get_by_role("link", name="Download report.html").click()
    assert found.value.suggested_filename == "report.html"
    assert Path(found.value.path()).read_text() == "<h1>x</h1><script>alert(1)</script>"

    page.get_by_role("link", name="Code & diff").click()
    expect(page.locator("ins")).to_have_text('layers = "<b>24"')
    expect(page.locator("del")).to_have_text("layers = 12")


def test_differences_are_searched_based_and_shared(
    repository: Path,
    open_page: Callable[..., Any],
    picture: Callable[[Any, str], None],
) -> None:
    print_whole(repository, "first-oak")
    (repository / "model.py").write_text("layers = 48\n")
    print_whole(repository, "second-elm", lr=0.25)
    page = open_page()
    open_named(page, "first-oak")
    page.get_by_role("link", name="Differences", exact=True).click()
    expect(page.get_by_text("Compare first-oak with another run")).to_be_visible()
    page.wait_for_load_state("load")
    page.get_by_label("Add a run").select_option(label="second-elm")
    lr = page.get_by_role("row", name=re.compile("^lr "))
    expect(lr).to_contain_text("+0.15 (+150 %)")
    expect(page.get_by_role("row", name=re.compile("^seed "))).to_be_hidden()
    picture(page, "run_differences_light")
    page.get_by_label("Only differences").uncheck()
    expect(page.get_by_role("row", name=re.compile("^seed "))).to_be_visible()
    page.get_by_label("Search keys and values").fill("layers")
    expect(page.locator("#differ")).to_have_attribute("data-shown", "1")
    page.get_by_label("Search keys and values").fill("")
    page.get_by_text(re.compile(r"diff: first-oak → second-elm")).click()
    expect(page.locator(".hunks ins").filter(has_text="layers = 48")).to_be_visible()
    page.get_by_role("button", name="set base: second-elm").click()
    expect(lr).to_contain_text("0.15 (\N{MINUS SIGN}60 %)")
    page.go_back()
    expect(lr).to_contain_text("+0.15 (+150 %)")


def test_every_tab_of_hostile_broken_and_empty_runs_works_in_both_themes(
    open_page: Callable[..., Any],
) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    for number, text in enumerate(HOSTILE):
        write_hostile(store, f"hostile-{number}", text)
    writer = NodeWriter(store, project="hostile", run="escapes", wall_s=1e9)
    session = writer.start(0, name="escapes")
    nasty = (
        b"\x1b]0;title\x07\x1b[2J\x1b[31m<img src=x onerror=alert(1)>\x1b[0m\x00\x08\r\n"
        + "\u202eright to left \ud83d".encode("utf-8", "surrogatepass")
        + b"\xff\xfe\n\x1b[38;5;999m\x1b[38;2;1m\x1b[;;;;m odd\n"
        + b"x" * 100_000
        + b"\n"
    )
    writer.file.add_event(
        EventKind.STDOUT, nasty, wall_s=1e9, rank=0, session=session, place=Place.TEXT
    )
    writer.close()
    broken = NodeWriter(store, project="hostile", run="broken")
    broken.start(0)
    path = broken.close()
    path.write_bytes(path.read_bytes()[:300])
    page = open_page(theme="dark")
    runs = [*(f"hostile-{number}" for number in range(len(HOSTILE))), "escapes"]
    for run in runs:
        for tab in TABS:
            go_to(page, f"/p/hostile/runs/{run}{tab}")
            expect(page.locator("nav.tabs [aria-current]")).to_be_visible()
            assert_fits(page, said=(run, tab))
    go_to(page, "/p/hostile/runs/escapes/console")
    expect(page.locator(".row .t-f1")).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".row img")).to_have_count(0)
    expect(page.locator(".row .note")).to_have_text("98,000 more characters")
    for tab in TABS:
        go_to(page, f"/p/hostile/runs/broken{tab}")
        expect(page.get_by_role("heading", name="broken cannot be read")).to_be_visible()
    go_to(page, "/p/hostile/diff?runs=hostile-0,hostile-1,broken")
    expect(page.get_by_text("broken cannot be read")).to_be_visible()
