"""The Ranks and System tabs in a real browser, over a run of many ranks whose values are known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import expect

from hpctrack.store.stored_run import StoredRun
from scripts.benchmarks.made_ranks import METRIC, RankShape, place_spikes, write_ranks
from scripts.benchmarks.made_runs import PROJECT
from tests.browser.driving import eventually
from tests.programs import wait_for
from tests.stores import NodeWriter
from tests.unit.server.conftest import HOSTILE, HOSTILE_METRICS, write_hostile

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHAPE = RankShape(nodes=16, ranks=8, steps=3000, spikes=9, slow_node=11)
RUN = "many"
TAB = f"p/{PROJECT}/runs/{RUN}/ranks"

OpenPage = Callable[..., Any]


@pytest.fixture(autouse=True)
def many_ranks() -> Path:
    """Write a run of 128 ranks x 3,000 steps into the test's store."""
    return write_ranks(Path(os.environ["HPCTRACK_DIR"]), RUN, SHAPE)


def go(page: Any, path: str, **query: Any) -> None:
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    text = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    page.goto(f"{base}/{path}?{text}")
    if "/ranks" in path:
        expect(page.locator("#matrix[data-ready=true]")).to_be_visible()
        expect(page.locator("#matrix[data-share='1']")).to_be_visible()
        expect(page.locator(".tab[data-ready=true]")).to_be_visible()
        expect(page.locator("#matrix[data-bands-ready=true]")).to_be_visible()
    else:
        expect(page.locator("#system-tab[data-ready=true]")).to_be_visible()


def window(page: Any) -> list[float]:
    """Return the steps and rows that are shown."""
    text = page.locator("#matrix").get_attribute("data-window")
    return [float(one) for one in text.split(",")]


def wait_for_window(page: Any, test: str) -> None:
    # A function: an expression would be polled by eval, which the page forbids.
    page.wait_for_function(
        f"() => document.querySelector('#matrix').dataset.window.split(','){test}"
    )


def query_of(page: Any) -> dict[str, str]:
    text = page.evaluate("location.search.slice(1)")
    return {name: values[0] for name, values in parse_qs(text).items()}


def screen_place(page: Any, step: float, row: float) -> tuple[float, float]:
    """Return where a step and a row are on the screen."""
    found = page.evaluate(
        """([step, row]) => {
          const sources = Bokeh.documents.map((one) => one.get_model_by_name("picture"));
          const model = sources.find((one) => one).document.roots()[0];
          const view = Bokeh.index.find_one(model);
          const box = view.canvas_view.el.getBoundingClientRect();
          const { x_scale, y_scale } = view.frame;
          return [box.left + x_scale.compute(step), box.top + y_scale.compute(row)];
        }""",
        [step, row],
    )
    return float(found[0]), float(found[1])


def test_every_planted_spike_is_told_exactly_under_the_pointer(
    open_page: OpenPage, many_ranks: Path
) -> None:
    page = open_page()
    go(page, TAB)
    metric = StoredRun(many_ranks).metric(METRIC)
    for (rank, step), value in list(place_spikes(SHAPE).items())[:5]:
        page.mouse.move(*screen_place(page, step + 0.5, rank + 0.5))
        tip = page.locator("#tip")
        expect(tip).to_contain_text(f"rank {rank}")
        expect(tip).to_contain_text(f"step {step:,}")
        expect(tip).to_contain_text(f"node{rank // 8 + 1:03d}")
        expect(tip).to_contain_text("p50 / p99")
        shown = float(tip.get_attribute("data-value") or "nan")
        series = metric.rank(rank)
        assert shown == value == series.value[series.step == step][0]
        page.mouse.move(0, 0)


def test_a_drag_zooms_the_address_keeps_it_and_back_undoes_it(open_page: OpenPage) -> None:
    page = open_page()
    go(page, TAB)
    whole = [0, SHAPE.steps, 0, SHAPE.size]
    eventually(lambda: window(page), whole)
    begin, end = screen_place(page, 1000, 40), screen_place(page, 1600, 90)
    page.mouse.move(*begin)
    page.mouse.down()
    page.mouse.move(*end, steps=5)
    page.mouse.up()
    expect(page.locator("#matrix")).not_to_have_attribute(
        "data-window", ",".join(str(int(one)) for one in whole)
    )
    eventually(lambda: window(page)[:2], pytest.approx([1000, 1600], abs=10))
    eventually(lambda: window(page)[2:], pytest.approx([40, 90], abs=1))
    x0, x1, first, last = window(page)
    address = page.url
    page.go_back()
    expect(page.locator("#matrix")).to_have_attribute("data-window", "0,3000,0,128")
    page.goto(address)
    expect(page.locator("#matrix[data-ready=true]")).to_be_visible()
    eventually(lambda: window(page), [x0, x1, first, last])
    page.get_by_role("button", name="Reset zoom").click()
    expect(page.locator("#matrix")).to_have_attribute("data-window", "0,3000,0,128")


def test_ranks_are_sorted_and_named(open_page: OpenPage) -> None:
    page = open_page()
    go(page, TAB)
    page.get_by_label("Ranks by").select_option("mean")
    expect(page.locator("#matrix[data-sort=mean]")).to_be_visible()
    x, y = screen_place(page, 2000, 2.5)
    page.mouse.move(x, y)
    expect(page.locator("#tip")).to_contain_text("node012")
    eventually(lambda: query_of(page)["sort"], "mean")
    page.get_by_label("Mean", exact=True).check()
    expect(page.locator("#matrix .caption")).to_contain_text("mean of")


def test_the_straggler_is_named_and_shown(open_page: OpenPage) -> None:
    page = open_page()
    go(page, TAB)
    card = page.get_by_role("region", name="Stragglers")
    expect(card).to_contain_text("node012, 8 ranks")
    expect(card).to_contain_text("confidence")
    expect(card).to_contain_text("lost")
    card.locator("#verdict summary").first.click()
    console = card.get_by_role("link", name="console of rank 88")
    eventually(lambda: urlsplit(console.get_attribute("href")).query, "rank=88")
    card.get_by_role("button", name="Show in the heat map").click()
    wait_for_window(page, "[2] === '80'")
    eventually(lambda: query_of(page)["r0"], "80")


def test_a_node_is_found_and_shown_alone(open_page: OpenPage) -> None:
    page = open_page()
    go(page, TAB)
    nodes = page.get_by_role("region", name="Nodes")
    nodes.get_by_label("Find a host").fill("node012")
    expect(nodes.locator(".node")).to_have_count(1)
    nodes.locator(".node").click()
    expect(page.locator("#matrix")).to_have_attribute("data-window", "0,3000,88,96")
    nodes.locator(".node").click()
    expect(page.locator("#matrix")).to_have_attribute("data-window", "0,3000,0,128")


def test_everything_can_be_done_with_keys(open_page: OpenPage) -> None:
    page = open_page()
    go(page, TAB)
    page.locator(".picture").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#speech")).to_contain_text("rank")
    page.keyboard.press("+")
    expect(page.locator("#matrix")).not_to_have_attribute("data-window", "0,3000,0,128")
    x0, x1, *_rows = window(page)
    assert x1 - x0 == pytest.approx(1500, abs=2)
    page.keyboard.press("]")
    wait_for_window(page, f"[0] > {x0}")
    page.keyboard.press("0")
    expect(page.locator("#matrix")).to_have_attribute("data-window", "0,3000,0,128")
    page.locator(".node").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".node").nth(1)).to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_looks_well(
    open_page: OpenPage, picture: Callable[[Any, str], None], theme: str
) -> None:
    page = open_page(theme=theme, height=1200)
    go(page, TAB)
    expect(page.locator("#verdict[data-ready=true]")).to_be_visible()
    picture(page, f"ranks_{theme}")
    page.get_by_role("button", name="Dark theme").click()
    first_colour = """() => {
      const found = Bokeh.documents.map((one) => one.get_model_by_name("colours"));
      return found.find((one) => one).palette[0];
    }"""
    wanted = {"light": "#141b34", "dark": "#eaf8f9"}[theme]
    eventually(lambda: page.evaluate(first_colour), wanted)
    go(page, f"p/{PROJECT}/runs/{RUN}/system")
    expect(page.locator(".sensor[data-ready=strips]")).to_have_count(4)
    expect(page.locator("#energy[data-ready=true]")).to_be_visible()
    picture(page, f"system_{'dark' if theme == 'light' else 'light'}")


def test_system_zooms_all_its_charts_and_shows_one_host(open_page: OpenPage) -> None:
    page = open_page()
    go(page, f"p/{PROJECT}/runs/{RUN}/system", host="node012")
    cards = page.locator(".sensor[data-ready=lines]")
    expect(cards).to_have_count(4)
    expect(cards.first.locator(".legend span")).to_have_count(8)
    plot = cards.first.locator(".plot")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 160, box["y"] + 50)
    expect(page.locator("#tip")).to_contain_text("%")
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_enabled()
    zoom = query_of(page)
    assert float(zoom["x1"]) > float(zoom["x0"])
    page.wait_for_function(
        """(x0) => {
          const found = Bokeh.documents.map((one) => one.get_model_by_name("x"));
          const models = found.filter((one) => one);
          return models.length === 4 && models.every((one) => Math.abs(one.start / 1000 - x0) < 1);
        }""",
        arg=float(zoom["x0"]),
    )
    page.get_by_label("Device", exact=True).select_option("GPU-0011-3")
    expect(cards.first.locator(".legend span")).to_have_count(1)


def test_hostile_names_are_only_text(open_page: OpenPage) -> None:
    store = Path(os.environ["HPCTRACK_DIR"])
    for number, text in enumerate(HOSTILE):
        write_hostile(store, f"hostile-{number}", text)
    page = open_page()
    for number in range(len(HOSTILE)):
        for metric in HOSTILE_METRICS[:: 3 if number else 1]:
            go_hostile(page, f"p/hostile/runs/hostile-{number}/ranks", metric)
        page.goto(page.url.partition("/ranks")[0] + "/system")
        expect(page.locator("#nothing")).to_be_visible()


def go_hostile(page: Any, path: str, metric: str) -> None:
    base = "{0.scheme}://{0.netloc}".format(urlsplit(page.url))
    page.goto(f"{base}/{path}?metric={quote(metric, safe='')}")
    expect(page.locator("#matrix[data-ready=true]")).to_be_visible()
    eventually(lambda: page.get_by_label("Metric", exact=True).input_value(), metric)
    eventually(lambda: page.locator("img").count(), 0)


def test_a_single_sample_and_a_single_step_can_be_seen(open_page: OpenPage) -> None:
    writer = NodeWriter(Path(os.environ["HPCTRACK_DIR"]), project=PROJECT, run="short")
    session = writer.start(0, name="short")
    writer.points("step_time_s", 0, [0], [0.22015688])
    writer.samples("host/cpu_util_frac", [0.5])
    writer.end(0, session, exit_code=0)
    writer.close()
    page = open_page()
    go(page, f"p/{PROJECT}/runs/short/system")
    expect(page.locator(".sensor[data-ready=lines]")).to_have_count(1)
    eventually(lambda: named(page, "dots", "data.y"), [[0.5]])
    go(page, f"p/{PROJECT}/runs/short/ranks")

    def count_labels() -> list[int]:
        return [len(one) for one in named(page, "values", "ticks") if one]

    eventually(lambda: len(count_labels()), 1)
    eventually(lambda: count_labels()[0] <= 2, said="the strip of means has no room for more")


def named(page: Any, name: str, path: str) -> list[list[float]]:
    """Return a property of every model of a name."""
    found = page.evaluate(
        """([name, path]) => Bokeh.documents.map((one) => one.get_model_by_name(name))
          .filter((one) => one)
          .map((one) => Array.from(path.split(".").reduce((value, key) => value[key], one)))""",
        [name, path],
    )
    return list(found)


SAMPLED = """(canvas, [left, top, width, height]) => {
  const ratio = canvas.width / (canvas.clientWidth || canvas.width);
  const { data, width: columns } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const at = (part, from, size) => Math.round((from + part * size) * ratio);
  const parts = [0.1, 0.23, 0.41, 0.62, 0.87];
  const places = parts.flatMap((x) => parts.map((y) => at(y, top, height) * columns + at(x, left, width)));
  return places.map((place) => data.slice(4 * place, 4 * place + 4).join());
}"""  # noqa: E501


def test_the_picture_is_there_before_bokeh_and_is_the_same(open_page: OpenPage) -> None:
    page = open_page()
    held: list[Any] = []

    def hold(one: Any) -> None:
        held.append(one)

    page.route("**/bokeh.min.js", hold)
    page.goto("{0.scheme}://{0.netloc}/".format(urlsplit(page.url)) + TAB, wait_until="commit")
    preview = page.locator("#matrix[data-previewed=true] .preview")
    expect(preview).to_be_visible()
    box = preview.bounding_box()
    size = [0, 0, box["width"], box["height"]]
    seen = preview.evaluate(f"(canvas, size) => ({SAMPLED})(canvas, size)", size)
    wait_for(lambda: held)
    held[0].continue_()
    expect(page.locator("#matrix[data-ready=true]")).to_be_visible()
    expect(page.locator("#matrix .preview")).to_have_count(0)
    host = page.locator("#matrix .picture").first.bounding_box()
    drawn = page.evaluate(
        f"""() => {{
          const view = [...Bokeh.index.roots].find((one) => one.model.select_one("picture"));
          const {{ left, top, width, height }} = view.frame.bbox;
          const {{ canvas }} = view.export("png", false);
          return [[left, top, width, height], ({SAMPLED})(canvas, [left, top, width, height])];
        }}"""
    )
    frame = [host["x"] + drawn[0][0], host["y"] + drawn[0][1], *drawn[0][2:]]
    assert frame == pytest.approx([box[one] for one in ("x", "y", "width", "height")], abs=1)
    same = sum(one == other for one, other in zip(seen, drawn[1], strict=True))
    assert same >= 20, "of 25 pixels; some lie on the edge of two"
