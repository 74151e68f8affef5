"""The compare page in a real browser: panels of many runs, as people use them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from scripts.benchmarks.made_compared import PROJECT, Shape, make_values, write_compared
from tests.browser.driving import TRAIN, assert_fits, eventually
from tests.programs import start_python, wait_for
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE = Shape(runs=8, points=600, metrics=8)


@pytest.fixture
def compared() -> list[str]:
    """Return the ids of runs that stand in the test's store."""
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    return write_compared(store, SHAPE)


@pytest.fixture
def compare(compared: list[str], open_page: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that opens the compare page, with an address of its own."""

    def make(query: str = "", **window: Any) -> Any:
        page = open_page(**window)
        page.goto(re.sub(r"/(\?.*)?$", f"/p/{PROJECT}/compare{query}", page.url))
        wait_until_drawn(page)
        return page

    assert compared
    return make


def wait_until_drawn(page: Any) -> None:
    """Wait until every panel on the screen has what it asked for."""
    expect(page.locator(".panel[data-ready]").first).to_be_visible()
    busy = """() => [...document.querySelectorAll('.panel')].filter((one) => {
      const box = one.getBoundingClientRect();
      const isSeen = box.height && box.top < innerHeight && box.bottom > 0;
      return isSeen && (!one.dataset.ready || one.dataset.loading);
    }).length"""
    eventually(lambda: page.evaluate(busy), 0, said="panels are still loading")


def card(page: Any, title: str) -> Any:
    """Return the card of a panel."""
    return page.get_by_role("article", name=title, exact=True)


def x_ranges(page: Any) -> list[list[float]]:
    """Return the ranges of the x axes of all figures."""
    found = page.evaluate(
        """() => Bokeh.documents.filter((one) => one.get_model_by_name('multi-line'))
             .map((one) => one.get_model_by_name('x')).map((one) => [one.start, one.end])"""
    )
    return list(found)


def columns(page: Any, title: str, source: str) -> dict[str, Any]:
    """Return what a source of a panel's figure holds, as lists."""
    text = page.evaluate(
        """([title, source]) => {
          const cards = [...document.querySelectorAll('.panel')];
          const card = cards.find((one) => one.dataset.title === title);
          const box = card.querySelector('.line-plot');
          const view = [...Bokeh.index].find((one) => box.contains(one.el));
          const data = view.model.document.get_model_by_name(source).data;
          const plain = (one) => ArrayBuffer.isView(one) ? Array.from(one) : one;
          return JSON.stringify(Object.fromEntries(Object.entries(data)
            .map(([key, values]) => [key, Array.from(values).map(plain)])));
        }""",
        [title, source],
    )
    return dict(json.loads(text))


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def drag_zoom(page: Any, title: str) -> None:
    """Drag over the middle of a panel's plot."""
    box = card(page, title).locator(".panel-box").bounding_box()
    y = box["y"] + box["height"] / 2
    drag(page, (box["x"] + box["width"] * 0.4, y), (box["x"] + box["width"] * 0.6, y))


def test_default_layout_comes_from_the_names_of_the_metrics(compare: Callable[..., Any]) -> None:
    page = compare()
    titles = page.locator(".section h2").all_inner_texts()
    assert titles == ["metrics", "train", "val"]
    expect(page.locator(".panel[data-title='train/loss']")).to_be_attached()
    expect(page.locator(".rail-list li")).to_have_count(SHAPE.runs)
    expect(card(page, "grad_norm").locator(".caption")).to_contain_text("extremes exact")


def test_a_drag_zooms_all_panels_and_back_undoes_it(compare: Callable[..., Any]) -> None:
    page = compare()
    whole = x_ranges(page)
    for _attempt in range(4):  # a busy browser may take a quick drag for a click
        drag_zoom(page, "grad_norm")
        page.wait_for_timeout(300)
        if "zoom=" in page.url:
            break
    wait_until_drawn(page)

    def are_linked() -> bool:
        shown = x_ranges(page)
        is_near = shown[0][1] - shown[0][0] < 0.3 * (whole[0][1] - whole[0][0])
        return len(shown) > 3 and is_near and all(one == pytest.approx(shown[0]) for one in shown)

    eventually(are_linked)
    zoomed = x_ranges(page)
    address = page.url
    page.go_back()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_hidden()
    wait_until_drawn(page)
    eventually(lambda: x_ranges(page)[0], pytest.approx(whole[0]))
    page.goto(address)
    wait_until_drawn(page)
    eventually(lambda: x_ranges(page)[0], pytest.approx(zoomed[0]), said="a deep link")
    page.get_by_role("button", name="Reset zoom").click()
    wait_until_drawn(page)
    expect(page).not_to_have_url(re.compile("zoom="))
    eventually(lambda: x_ranges(page)[0], pytest.approx(whole[0]))


def test_tooltip_is_in_order_and_the_nearest_run_is_bold(compare: Callable[..., Any]) -> None:
    page = compare()
    box = card(page, "grad_norm").locator(".panel-box").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.4)
    page.mouse.move(box["x"] + box["width"] * 0.52, box["y"] + box["height"] * 0.5)
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text(re.compile(r"step \d+"))
    expect(tip.locator("tr")).to_have_count(SHAPE.runs)
    values = [float(one) for one in tip.locator("td:last-child").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    expect(tip.locator("tr.near")).to_have_count(1)
    name = tip.locator("tr.near td").nth(1).inner_text()
    expect(page.locator(".rail-list li.hot")).to_contain_text(name)
    expect(page.locator(".crosshair:visible")).not_to_have_count(0)
    eventually(lambda: page.locator(".crosshair:visible").count() > 1, said="in all panels")
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()
    expect(page.locator(".crosshair:visible")).to_have_count(0)


def test_keys_read_a_chart_and_zoom_it(compare: Callable[..., Any]) -> None:
    page = compare()
    box = card(page, "grad_norm").locator(".panel-box")
    box.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#announce")).to_contain_text(re.compile(r"step 3\d\d: \S+ \d"))
    expect(page.locator("#tip tr")).to_have_count(SHAPE.runs)
    page.keyboard.press("+")
    wait_until_drawn(page)
    expect(page).to_have_url(re.compile("zoom="))
    page.keyboard.press("0")
    wait_until_drawn(page)
    expect(page).not_to_have_url(re.compile("zoom="))
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


def test_smoothing_keeps_the_true_points_faint(compare: Callable[..., Any]) -> None:
    page = compare()
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), SHAPE.runs)
    page.get_by_label("Smoothing", exact=True).select_option("ema")
    wait_until_drawn(page)
    expect(page).to_have_url(re.compile("smooth=ema"))
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), 2 * SHAPE.runs)
    lines = columns(page, "grad_norm", "lines")
    faint = [ys for ys, alpha in zip(lines["ys"], lines["alpha"], strict=True) if alpha < 0.5]
    smooth = [ys for ys, alpha in zip(lines["ys"], lines["alpha"], strict=True) if alpha == 1]
    assert len(faint) == len(smooth) == SHAPE.runs
    assert np.ptp(faint[0][-50:]) > 2 * np.ptp(smooth[0][-50:])


def test_band_of_a_group_is_what_numpy_says(compare: Callable[..., Any]) -> None:
    page = compare("?group=@config-but-seed&band=minmax&center=mean&zoom=0,100")
    lines, bands = columns(page, "grad_norm", "lines"), columns(page, "grad_norm", "bands")
    assert len(bands["xs"]) == 2, "two configurations of four seeds"
    truth = [
        np.stack([make_values("grad_norm", 4 * group + seed, SHAPE.points, SHAPE.seed)[:101]
                  for seed in range(4)])
        for group in (0, 1)
    ]  # fmt: skip
    centers = [
        (np.array(x), np.array(y))
        for x, y, alpha in zip(lines["xs"], lines["ys"], lines["alpha"], strict=True)
        if alpha == 1
    ]
    assert len(centers) == 2
    for x, y in centers:
        steps = x.round().astype(int)
        errors = [np.abs(one.mean(0)[steps] - y).max() for one in truth]
        assert min(errors) < 1e-3
    highest = max(max(ys) for ys in bands["ys"])
    assert highest == pytest.approx(max(one.max() for one in truth), rel=1e-4)


def test_runs_are_hidden_recoloured_and_ordered(compare: Callable[..., Any]) -> None:
    page = compare()
    first = page.locator(".rail-list li").first
    name = first.locator("a").inner_text()
    page.get_by_role("checkbox", name=name, exact=True).uncheck()
    wait_until_drawn(page)
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), SHAPE.runs - 1)
    expect(page).to_have_url(re.compile("hide="))  # the one, not the seven others
    page.reload()
    wait_until_drawn(page)
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), SHAPE.runs - 1)
    page.get_by_role("checkbox", name="Draw all runs").check()
    wait_until_drawn(page)
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), SHAPE.runs)
    page.get_by_role("button", name=f"Colour of {name}").click()
    page.get_by_role("button", name="Colour 4", exact=True).click()
    colour = page.evaluate(
        "getComputedStyle(document.documentElement).getPropertyValue('--series-3')"
    )
    eventually(lambda: colour.strip() in columns(page, "grad_norm", "lines")["color"])
    page.get_by_label("Find runs").fill("ember")
    expect(page.locator(".rail-list li")).to_have_count(2)
    wait_until_drawn(page)
    eventually(lambda: len(columns(page, "grad_norm", "lines")["xs"]), 2)


def test_workspace_is_saved_reopened_renamed_and_deleted(compare: Callable[..., Any]) -> None:
    page = compare()
    handle = page.get_by_role("button", name="Move or resize grad_norm")
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#announce")).to_contain_text("7 columns")
    expect(page.locator(".panel").nth(1)).to_have_attribute("data-title", "grad_norm")
    expect(handle).to_be_focused()
    expect(page.locator("#workspace-name")).to_contain_text("not saved")
    page.reload()
    wait_until_drawn(page)
    expect(page.locator(".panel").nth(1)).to_have_attribute("data-title", "grad_norm")

    page.get_by_label("Smoothing", exact=True).select_option("gaussian")
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitem", name="Save as").click()
    page.get_by_label("Name", exact=True).fill("<b>mine</b>")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#workspace-name")).to_have_text("<b>mine</b>")
    expect(page).to_have_url(re.compile("workspace="))
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitemradio", name="Automatic layout").click()
    wait_until_drawn(page)
    expect(page).to_have_url(re.compile("workspace=-$"))
    expect(page.locator(".panel").first).to_have_attribute("data-title", "grad_norm")
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitemradio", name="<b>mine</b>").click()
    wait_until_drawn(page)
    expect(page.locator(".panel").nth(1)).to_have_attribute("data-title", "grad_norm")
    expect(page.get_by_label("Smoothing", exact=True)).to_have_value("gaussian")

    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("ours")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.locator("#workspace-name")).to_have_text("ours")
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.wait_for_url(re.compile("workspace=-$"))
    wait_until_drawn(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#workspace-name")).to_have_text("ours")
    expect(page.get_by_label("Smoothing", exact=True)).to_have_value("gaussian")


def test_a_long_title_from_right_to_left_hides_nothing(compare: Callable[..., Any]) -> None:
    page = compare()
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitem", name="Save as").click()
    page.get_by_label("Name", exact=True).fill("\N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 120)
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#workspace-name bdi")).to_contain_text("xxx")
    page.get_by_label("Smoothing", exact=True).select_option("gaussian")
    said, name = page.locator("#workspace-name span"), page.locator("#workspace-name bdi")
    expect(said).to_contain_text("not saved")
    of_said, of_name = said.bounding_box(), name.bounding_box()
    assert of_said["x"] >= of_name["x"] + of_name["width"] - 1
    eventually(
        lambda: (
            of_said["x"] + of_said["width"]
            < page.get_by_role("button", name="Workspace").bounding_box()["x"]
        )
    )


def test_panels_are_dragged_resized_added_and_removed(compare: Callable[..., Any]) -> None:
    page = compare()
    first, second = card(page, "grad_norm"), card(page, "lr")
    start = first.locator("header").bounding_box()
    goal = second.bounding_box()
    drag(
        page,
        (start["x"] + 60, start["y"] + 12),
        (goal["x"] + goal["width"] * 0.8, goal["y"] + goal["height"] * 0.5),
    )
    expect(page.locator(".panel").nth(1)).to_have_attribute("data-title", "grad_norm")
    corner = second.bounding_box()
    x, y = corner["x"] + corner["width"] - 6, corner["y"] + corner["height"] - 6
    drag(page, (x, y), (x + 5, y + 80))
    eventually(lambda: second.bounding_box()["height"], pytest.approx(corner["height"] + 80, abs=1))
    wait_until_drawn(page)

    page.get_by_role("button", name="Add panel").click()
    page.get_by_label("Metric or expression").fill("log(grad_norm)")
    page.get_by_role("button", name="Add", exact=True).click()
    added = card(page, "log(grad_norm)")
    expect(added).to_have_attribute("data-ready", "true")
    expect(added.locator(".caption")).to_contain_text("drawn")
    added.get_by_role("button", name="Menu of").click()
    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_label("Metric or expression").fill("")
    page.get_by_label("Title").fill("broken")
    page.get_by_role("button", name="Apply").click()
    broken = card(page, "broken")
    expect(broken.locator(".panel-error")).to_contain_text("choose a metric")
    expect(card(page, "lr").locator(".panel-error")).to_be_hidden()
    broken.get_by_role("button", name="Menu of").click()
    page.get_by_role("menuitem", name="Settings").click()
    page.get_by_label("Metric or expression").fill("lr if 1")
    page.get_by_role("button", name="Apply").click()
    expect(broken.locator(".caption")).to_contain_text("'i' is not expected here")
    broken.get_by_role("button", name="Menu of").click()
    page.get_by_role("menuitem", name="Remove").click()
    expect(broken).to_have_count(0)


def test_full_screen_and_files(compare: Callable[..., Any]) -> None:
    page = compare()
    one = card(page, "grad_norm")
    one.get_by_role("button", name="Menu of").click()
    page.get_by_role("menuitem", name="Full screen").click()
    eventually(lambda: one.bounding_box()["width"] > 1000)
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    eventually(lambda: one.bounding_box()["width"] < 800)
    for item, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"run,name,rank,step")):
        one.get_by_role("button", name="Menu of").click()
        with page.expect_download() as waiting:
            page.get_by_role("menuitem", name=re.compile(item)).click()
        assert Path(waiting.value.path()).read_bytes()[: len(start)] == start


def test_axes_are_logarithmic_or_times_and_the_address_says_so(
    compare: Callable[..., Any],
) -> None:
    page = compare("?x=relative&logy=1")
    wait_until_drawn(page)
    expect(page.get_by_label("Horizontal axis")).to_have_value("relative")
    box = card(page, "grad_norm").locator(".panel-box").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.mouse.move(box["x"] + box["width"] * 0.51, box["y"] + box["height"] * 0.5)
    expect(page.locator("#tip")).to_contain_text(re.compile(r"1[0-9]\.\d s"))
    page.get_by_label("Horizontal axis").select_option("time")
    wait_until_drawn(page)
    expect(page).to_have_url(re.compile("x=time"))
    page.go_back()
    expect(page.get_by_label("Horizontal axis")).to_have_value("relative")
    page.get_by_label("Horizontal axis").select_option("lr")
    wait_until_drawn(page)
    expect(card(page, "grad_norm").locator(".panel-error")).to_be_hidden()


@pytest.mark.parametrize(("width", "height", "theme"), [(1280, 860, "light"), (3840, 2000, "dark")])
def test_it_fits_screens_of_any_width(
    compare: Callable[..., Any],
    picture: Callable[[Any, str], None],
    width: int,
    height: int,
    theme: str,
) -> None:
    page = compare("?smooth=ema:0.9", width=width, height=height, theme=theme)
    assert_fits(page)
    eventually(lambda: 300 < card(page, "grad_norm").bounding_box()["width"] < 1000)
    eventually(lambda: page.evaluate("document.documentElement.dataset.theme"), theme)
    picture(page, f"compare_{theme}")


def test_hostile_names_are_shown_as_they_are_in_panels(open_page: Callable[..., Any]) -> None:
    write_hostile(Path(os.environ["HPCTRACK_DIR"]), "hostile", HOSTILE[0])
    page = open_page()
    page.goto(re.sub(r"/(\?.*)?$", "/p/hostile/compare", page.url))
    wait_until_drawn(page)
    expect(page.locator(".rail-list")).to_contain_text(HOSTILE[0][:40])
    for metric in HOSTILE_METRICS:
        one = page.locator(".panel").filter(has_text=metric.strip()).first
        one.scroll_into_view_if_needed()
        expect(one.locator(".caption")).to_contain_text("all 4 points drawn")
    eventually(lambda: page.locator("script:not([src])").count(), 0)


def test_curves_of_panels_grow_while_a_program_is_logging(
    open_page: Callable[..., Any],
    tmp_path: Path,
) -> None:
    stop, store = tmp_path / "stop", Path(os.environ["HPCTRACK_DIR"])
    writer = start_python(TRAIN, "100000", "0.05", "growing-oak", str(stop))
    try:
        wait_for(lambda: any(store.glob("*/*/node-*.h5")), timeout_s=60)
        page = open_page()
        page.goto(re.sub(r"/(\?.*)?$", "/p/vision/compare", page.url))
        one = card(page, "train/loss")
        expect(one).to_have_attribute("data-ready", "true")
        page.wait_for_timeout(3000)  # the stream has begun
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for _ in range(3):
            seen = one.get_attribute("data-points")
            expect(one).not_to_have_attribute("data-points", str(seen))
        assert not [each for each in asked if each.endswith("/series")], "points come by themselves"
        page.get_by_label("Smoothing", exact=True).select_option("ema")
        for _ in range(2):
            seen = one.get_attribute("data-points")
            expect(one).not_to_have_attribute("data-points", str(seen))
        stop.touch()
        expect(page.locator(".rail-list .dot.finished")).to_have_count(1)
    finally:
        stop.touch()
        _output, errors = writer.communicate(timeout=60)
    assert writer.returncode == 0, errors


def test_a_layout_that_nobody_else_sees_is_told_and_not_lost(compare: Callable[..., Any]) -> None:
    page = compare()
    said = page.locator("#workspace-name .unsaved")
    page.get_by_label("Smoothing", exact=True).select_option("gaussian")
    expect(said).to_have_text(re.compile("not saved$"))
    page.get_by_role("button", name="Move or resize grad_norm").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.reload()  # at once: the change is not kept yet
    wait_until_drawn(page)
    expect(said).to_contain_text("others do not see it")
    expect(page.get_by_label("Smoothing", exact=True)).to_have_value("gaussian")
    page.get_by_role("button", name="Save to share").click()
    page.get_by_label("Name", exact=True).fill("mine")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#workspace-name")).to_have_text("mine")
    expect(said).to_have_count(0)


def test_a_workspace_that_two_have_changed_is_overwritten_by_none(
    compare: Callable[..., Any],
) -> None:
    page = compare()
    page.get_by_role("button", name="Workspace").click()
    page.get_by_role("menuitem", name="Save as").click()
    page.get_by_label("Name", exact=True).fill("ours")
    page.get_by_role("button", name="Save", exact=True).last.click()
    expect(page.locator("#workspace-name")).to_have_text("ours")
    handle = page.get_by_role("button", name="Move or resize grad_norm")
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#workspace-name")).to_contain_text("others do not see it")
    page.evaluate(  # as somebody else
        """async () => {
          const url = location.pathname.replace('/p/', '/api/v1/projects/')
            .replace('/compare', '/saved/workspace');
          const [saved] = (await (await fetch(url)).json()).saved;
          const body = JSON.stringify({ body: {}, updated: saved.updated });
          const headers = { 'Content-Type': 'application/json', 'X-Hpctrack': '1' };
          await fetch(`${url}/${saved.id}`, { method: 'PUT', headers, body });
        }"""
    )
    page.reload()
    wait_until_drawn(page)
    expect(page.locator(".message")).to_contain_text("has saved this workspace since")
    page.get_by_role("button", name="Show what was saved").click()
    expect(page.locator("#workspace-name")).to_have_text("ours")
