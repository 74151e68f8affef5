"""Parallel coordinates and panels over many runs, in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from tests.browser.driving import eventually
from tests.stores import NodeWriter, write_run
from tests.unit.server.conftest import HOSTILE

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNS = 160
OPTIMIZERS = np.array(["adamw", "sgd", "lion"])


def write_runs(store: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Write runs whose values are known, and return these."""
    draw = np.random.default_rng(7)
    known: dict[str, np.ndarray[Any, Any]] = {
        "lr": 10 ** draw.uniform(-5, -1, RUNS),
        "layers": draw.integers(2, 30, RUNS),
        "optimizer": draw.choice(OPTIMIZERS, RUNS),
        "loss": draw.uniform(1, 3, RUNS),
        # A third of the runs has no warm-up.
        "warmup": np.where(draw.random(RUNS) < 0.33, np.nan, draw.integers(1, 900, RUNS)),
    }
    for i in range(RUNS):
        writer = NodeWriter(store, project="sweep", run=f"run-{i:03d}", wall_s=1e6 + i)
        session = writer.start(0, name=f"calm-lake-{i}")
        config: dict[str, Any] = {
            "lr": float(known["lr"][i]), "layers": int(known["layers"][i]),
            "optimizer": str(known["optimizer"][i]), "seed": i,
        }  # fmt: skip
        if np.isfinite(known["warmup"][i]):
            config["warmup"] = float(known["warmup"][i])
        writer.event(EventKind.CONFIG, config)
        writer.event(EventKind.SUMMARY, {"val/loss": float(known["loss"][i])})
        writer.end(0, session)
        writer.close()
        seal_run(writer.file.path.parent)
    return known


@pytest.fixture
def known() -> dict[str, np.ndarray[Any, Any]]:
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    return write_runs(store)


def open_parallel(open_page: Callable[..., Any], query: str = "", **window: Any) -> Any:
    page = open_page(**window)
    parts = urlsplit(page.url)
    page.goto(f"{parts.scheme}://{parts.netloc}/p/sweep/parallel{query}")
    page.locator("#parallel-panel[data-ready]").wait_for()
    return page


def drag(page: Any, key: str, start_frac: float, end_frac: float) -> None:
    """Brush an axis from one height to another; 0 is its upper end."""
    column = page.locator(f'.axis-column[data-key="{key}"]')
    column.scroll_into_view_if_needed()
    box = column.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + box["height"] * start_frac)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] * end_frac, steps=5)
    page.mouse.up()


def brushes(page: Any) -> dict[str, list[tuple[str, str]]]:
    """Return the brushes of the address, as the page has it: Playwright is told a moment later."""
    text = parse_qs(page.evaluate("location.search.slice(1)")).get("brush", [""])[0]
    found = {}
    for part in text.split(","):
        key, _, ends = part.partition(":")
        pairs = [one.partition("~") for one in ends.split(";")]
        found[key] = [(low, high) for low, _, high in pairs]
    return found


def inside(values: Any, pairs: list[tuple[str, str]]) -> Any:
    return np.any(
        [
            (values >= (float(low) if low else -np.inf))
            & (values <= (float(high) if high else np.inf))
            for low, high in pairs
        ],
        axis=0,
    )


def chosen(page: Any) -> set[str]:
    """Return the runs of the table below, page by page."""
    found: set[str] = set()
    back = page.get_by_role("button", name="Previous")
    while back.count() and back.is_enabled():
        back.click()
    while True:
        found |= set(
            page.locator("#parallel-table tbody tr").evaluate_all(
                "rows => rows.map((row) => row.dataset.run)"
            )
        )
        more = page.get_by_role("button", name="Next")
        if not more.count() or more.is_disabled():
            return found
        more.click()


def ids(mask: Any) -> set[str]:
    return {f"run-{i:03d}" for i in np.flatnonzero(mask)}


def test_brushes_of_two_axes_choose_exactly_the_runs_that_numpy_does(
    known: dict[str, Any], open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_parallel(open_page)
    expect(page.locator("#parallel-count")).to_have_text("160 runs")
    expect(page.locator("#parallel-caption")).to_contain_text("without a value")
    label = page.locator('.axis-head[data-key="config.lr"]')
    expect(label).to_have_attribute("aria-label", re.compile("logarithmic"))
    picture(page, "parallel_light")

    drag(page, "config.lr", 0.2, 0.6)
    drag(page, "summary.val/loss", 0.3, 0.85)
    eventually(lambda: set(brushes(page)), {"config.lr", "summary.val/loss"})
    found = brushes(page)
    wanted = inside(known["lr"], found["config.lr"]) & inside(
        known["loss"], found["summary.val/loss"]
    )
    assert 5 < wanted.sum() < 100
    expect(page.locator("#parallel-count")).to_have_text(f"{wanted.sum()} of 160 runs")
    eventually(lambda: chosen(page), ids(wanted))

    drag(page, "config.lr", 0.7, 0.8)
    eventually(lambda: len(brushes(page)["config.lr"]), 2, said="two intervals on one axis")
    found = brushes(page)
    wanted = inside(known["lr"], found["config.lr"]) & inside(
        known["loss"], found["summary.val/loss"]
    )
    expect(page.locator("#parallel-count")).to_have_text(f"{wanted.sum()} of 160 runs")
    address = page.url
    page.reload()
    page.locator("#parallel-panel[data-ready]").wait_for()
    expect(page.locator("#parallel-count")).to_have_text(f"{wanted.sum()} of 160 runs")
    expect(page).to_have_url(address)
    page.go_back()
    expect(page.locator(".brush")).to_have_count(2)
    picture(page, "parallel_brushed")
    page.get_by_role("button", name="Clear brushes").click()
    expect(page.locator("#parallel-count")).to_have_text("160 runs")


def test_categories_missing_values_and_the_table(
    known: dict[str, Any], open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_parallel(open_page, theme="dark")
    drag(page, "config.optimizer", 0.03, 0.35)
    expect(page.locator("#parallel-count")).to_have_text(
        f"{(known['optimizer'] == 'sgd').sum()} of 160 runs"
    )
    eventually(lambda: "=sgd" in brushes(page)["config.optimizer"][0])
    column = page.locator('.axis-column[data-key="config.warmup"]')
    place = column.get_by_text("no value").bounding_box()
    box = column.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, place["y"] + place["height"] / 2)
    wanted = (known["optimizer"] == "sgd") & np.isnan(known["warmup"])
    eventually(lambda: chosen(page), ids(wanted))
    picture(page, "parallel_dark")

    header = page.get_by_role("button", name="val/loss", exact=True).last
    header.click()
    rows = page.locator("#parallel-table tbody tr")
    best = min(np.flatnonzero(wanted), key=lambda i: known["loss"][i])
    expect(rows.first).to_have_attribute("data-run", f"run-{best:03d}")
    link = rows.first.get_by_role("link")
    expect(link).to_have_attribute("href", f"/p/sweep/runs/run-{best:03d}")
    compare = page.get_by_role("link", name="Compare these").get_attribute("href")
    assert set(parse_qs(urlsplit(compare).query)["runs"][0].split(",")) == ids(wanted)
    narrowed = page.get_by_role("link", name="Filter to these").get_attribute("href")
    text = parse_qs(urlsplit(narrowed).query)["filter"][0]
    assert 'config.optimizer == "sgd"' in text
    assert "config.warmup" in text


def test_axes_are_moved_flipped_and_brushed_by_keyboard(
    known: dict[str, Any], open_page: Callable[..., Any]
) -> None:
    page = open_parallel(open_page)

    def order() -> list[str]:
        heads = page.locator(".axis-head")
        return list(heads.evaluate_all("all => all.map((one) => one.dataset.key)"))

    before = order()
    head = page.locator('.axis-head[data-key="config.lr"]')
    head.focus()
    page.keyboard.press("ArrowRight")
    eventually(lambda: order()[before.index("config.lr") + 1], "config.lr")
    expect(head).to_be_focused()
    page.keyboard.press("f")
    expect(head).to_have_attribute("aria-label", re.compile("flipped"))
    page.keyboard.press("l")
    expect(head).to_have_attribute("aria-label", re.compile("linear"))
    address = "decodeURIComponent(location.search)"
    eventually(lambda: "config.lr!flip!linear" in page.evaluate(address))

    page.locator('.axis-column[data-key="config.layers"]').focus()
    page.keyboard.press("Enter")
    brush = page.locator(".brush")
    expect(brush).to_be_focused()
    expect(brush).to_have_attribute("aria-valuetext", re.compile(r"\d+.* to \d+"))
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowDown")
    wanted = inside(known["layers"], brushes(page)["config.layers"])
    expect(page.locator("#parallel-count")).to_have_text(f"{wanted.sum()} of 160 runs")
    page.keyboard.press("Delete")
    expect(page.locator("#parallel-count")).to_have_text("160 runs")

    head.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.get_by_role("menuitem", name="Colour by this").click()
    expect(page.get_by_label("Colour", exact=True)).to_have_value("config.lr")
    head.focus()
    page.keyboard.press("Delete")
    eventually(lambda: "config.lr" not in order())
    page.get_by_label("Add axis").select_option("config.lr")
    expect(page.locator(".axis-head").last).to_have_attribute("data-key", "config.lr")

    # By pointer: the last axis to the first place.
    box = page.locator(".axis-head").last.bounding_box()
    first = page.locator(".axis-head").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(first["x"] + first["width"] / 2, box["y"] + 10, steps=8)
    page.mouse.up()
    eventually(lambda: order()[0], "config.lr")


def test_run_under_the_pointer_is_named_and_brush_is_moved(
    known: dict[str, Any], open_page: Callable[..., Any]
) -> None:
    page = open_parallel(open_page, "?axes=config.layers,summary.val/loss&runs=run-003,run-004")
    expect(page.locator("#parallel-count")).to_have_text("2 runs")
    box = page.locator('.axis-column[data-key="summary.val/loss"]').bounding_box()
    # Of two runs one has the larger loss: its line ends at the upper end of the axis.
    page.mouse.move(box["x"] + 9, box["y"] + 15)
    tip = page.locator(".panel-tip")
    name = "calm-lake-3" if known["loss"][3] > known["loss"][4] else "calm-lake-4"
    expect(tip).to_contain_text(name)
    drag(page, "summary.val/loss", 0.02, 0.4)
    expect(page.locator("#parallel-count")).to_have_text("1 of 2 runs")
    drag(page, "summary.val/loss", 0.2, 0.55)
    expect(page.locator(".brush")).to_have_count(1)
    expect(page.locator("#parallel-count")).to_have_text("0 of 2 runs")
    expect(page.get_by_text("No run lies in all brushes")).to_be_visible()


def test_hostile_columns_and_names_are_shown_as_they_are(open_page: Callable[..., Any]) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    for i, text in enumerate(HOSTILE[:4] * 2):
        writer = NodeWriter(store, project="sweep", run=f"hostile-{i}")
        session = writer.start(0, name=text)
        writer.event(EventKind.CONFIG, {text: text, "a,b:c!~;%": i, "<i>": float("nan")})
        writer.event(EventKind.SUMMARY, {"x": [1.0, -1e300, float("inf")][i % 3]})
        writer.end(0, session)
        writer.close()
    page = open_parallel(open_page)
    expect(page.locator("#parallel-count")).to_have_text("8 runs")
    page.get_by_label("Add axis").select_option(f"config.{HOSTILE[0]}")
    expect(page.locator(".axis-head").last).to_have_text(HOSTILE[0])
    drag(page, "config.a,b:c!~;%", 0.02, 0.5)
    expect(page.locator("#parallel-count")).to_have_text("4 of 8 runs")
    page.reload()
    expect(page.locator("#parallel-count")).to_have_text("4 of 8 runs")
    expect(page.locator("#parallel-table tbody")).to_contain_text(HOSTILE[1])


def add_panel(page: Any, kind: str) -> Any:
    page.get_by_role("button", name="Add panel").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("select").first.select_option(kind)
    dialog.get_by_role("button", name="Add", exact=True).click()
    card = page.locator(f'.panel[data-kind="{kind}"]')
    card.scroll_into_view_if_needed()
    expect(card).to_have_attribute("data-ready", "true")
    expect(card).not_to_have_class(re.compile("failed"))
    return card


CAPTIONS = {
    "bar": "3 groups",
    "scatter": "all 160 runs",
    "box": "outliers beyond 1.5 interquartile ranges",
    "histogram": "bins",
    "heatmap": "cells",
    "contour": "linear between runs",
    "importance": "permutation importance",
    "correlation": "Pearson over 160 runs",
    "scalar": "all 160 runs",
    "parallel": "160 runs",
}


def test_every_kind_of_panel_is_drawn_and_their_selections_are_one(
    known: dict[str, Any], open_page: Callable[..., Any], picture: Callable[[Any, str], None]
) -> None:
    page = open_page(height=1000)
    parts = urlsplit(page.url)
    page.goto(f"{parts.scheme}://{parts.netloc}/p/sweep/compare?limit={RUNS}")
    cards = {}
    for kind, said in CAPTIONS.items():
        cards[kind] = add_panel(page, kind)
        expect(cards[kind].locator(".caption")).to_contain_text(said)
    expect(add_panel(page, "media")).to_contain_text("None of these runs has logged")
    add_panel(page, "note").get_by_role("textbox").fill("the first <b>sweep</b>")

    expect(cards["scalar"].locator("output")).to_have_text(f"{known['loss'].min():.3f}")
    best = f"/p/sweep/runs/run-{known['loss'].argmin():03d}"
    expect(cards["scalar"].get_by_role("link")).to_have_attribute("href", best)
    importance = cards["importance"].get_by_role("row")
    expect(importance).to_have_count(5)

    picture(page, "panels")
    drag(page, "config.optimizer", 0.03, 0.35)
    wanted = int((known["optimizer"] == "sgd").sum())
    expect(cards["parallel"].locator(".caption")).to_contain_text(f"{wanted} of 160 runs")
    selected = """() => Bokeh.documents.flatMap((one) => {
      const points = one.get_model_by_name("points");
      return points && points.data.x.length === 160 ? [points.selected.indices.length] : [];
    })"""
    eventually(
        lambda: wanted in page.evaluate(selected), said="the scatter plot shows the same runs"
    )


def test_filter_of_the_brushes_finds_the_same_runs(
    known: dict[str, Any], open_page: Callable[..., Any]
) -> None:
    page = open_parallel(open_page)
    drag(page, "config.lr", 0.2, 0.6)
    drag(page, "config.optimizer", 0.03, 0.35)
    eventually(lambda: set(brushes(page)), {"config.lr", "config.optimizer"})
    wanted = inside(known["lr"], brushes(page)["config.lr"]) & (known["optimizer"] == "sgd")
    narrowed = page.get_by_role("link", name="Filter to these").get_attribute("href")
    text = urlsplit(narrowed).query
    parts = urlsplit(page.url)
    page.goto(f"{parts.scheme}://{parts.netloc}/p/sweep/parallel?{text}")
    expect(page.locator("#parallel-count")).to_have_text(f"{wanted.sum()} runs")


def test_runs_that_hardly_differ_leave_the_rest_of_the_page_in_sight(
    open_page: Callable[..., Any],
) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    store.mkdir(exist_ok=True)
    seal_run(write_run(store, project="sweep", run="alone"))
    page = open_page()
    parts = urlsplit(page.url)
    page.goto(f"{parts.scheme}://{parts.netloc}/p/sweep/parallel")
    expect(page.get_by_text("no configuration that differs")).to_be_visible()
    page.get_by_role("navigation").get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
