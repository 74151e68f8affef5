"""The media of a run in a real browser."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from playwright.sync_api import expect

import hpctrack
from hpctrack.store.media_decode import decode_image
from tests.browser.driving import eventually
from tests.media_writing import write_media
from tests.stores import NodeWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WATER = "3\nwater\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"
INTRUDER = """\
<h1>Report</h1><script>
const told = document.createElement("pre");
document.body.append(told);
const tell = (text) => { told.textContent += text + "\\n"; };
tell("origin " + self.origin);
try { parent.document.title = "owned"; } catch (error) { tell("parent closed"); }
try { tell("cookie " + document.cookie); } catch (error) { tell("no cookie"); }
</script>"""


@pytest.fixture
def store() -> Path:
    """Fill the test's store with two runs that have logged some of everything."""
    path = Path(os.environ["HPCTRACK_DIR"])
    for run in ("first", "second"):
        write_run(path, run)
    return path


def write_run(store: Path, run: str) -> None:
    writer = NodeWriter(store, project="vision", run=run)
    session = writer.start(0, name=f"run-{run}")
    dice = np.random.default_rng(len(run))
    for step in (0, 10, 20):
        pixels = np.full((40, 60, 3), 40, np.uint8)
        mask = np.zeros((40, 60), int)
        mask[:, 30:] = 2
        position = {"minX": 0.05, "maxX": 0.4, "minY": 0.2, "maxY": 0.9}
        boxes = [{"position": position, "class_id": 1, "scores": {"score": 0.6}}]
        image = hpctrack.Image(
            pixels,
            caption=f"epoch {step} <b>",
            boxes={"found": {"box_data": boxes, "class_labels": {1: "cat"}}},
            masks={"truth": {"mask_data": mask, "class_labels": {2: "sky"}}},
        )
        write_media(writer, image, key="val/pictures", step=step)
        values = dice.normal(step / 5, 1, 500)
        write_media(writer, hpctrack.Histogram(values), key="weights", step=step)
    tone = np.sin(np.arange(4000) * 2 * math.pi * 220 / 8000)
    write_media(writer, hpctrack.Audio(tone, sample_rate=8000), key="tone", step=1)
    rows = [[number, f"word {number % 7}"] for number in range(60)]
    write_media(writer, hpctrack.Table(columns=["n", "word"], data=rows), key="rows", step=1)
    write_media(writer, hpctrack.Html(INTRUDER), key="page", step=1)
    cloud = np.c_[dice.normal(size=(2000, 3)), dice.integers(0, 4, 2000)]
    write_media(writer, hpctrack.Object3D(cloud), key="cloud", step=1)
    water = hpctrack.Molecule(io.StringIO(WATER), file_type="xyz")
    write_media(writer, water, key="water", step=1)
    matrix = hpctrack.plot.confusion_matrix(
        y_true=[0, 1, 1, 0], preds=[0, 1, 0, 0], class_names=["no", "yes"]
    )
    write_media(writer, matrix, key="confusion", step=1)
    writer.end(0, session, exit_code=0)
    writer.close()


def open_media(open_page: Callable[..., Any], theme: Literal["light", "dark"] = "light") -> Any:
    page = open_page(theme=theme, height=1000)
    page.get_by_role("link", name="vision").click()
    page.get_by_role("link", name="run-first").click()
    page.get_by_role("navigation", name="Pages of this run").get_by_role(
        "link", name="Media"
    ).click()
    return page


def card(page: Any, key: str) -> Any:
    found = page.locator(f'.media-card[data-key="{key}"]')
    found.scroll_into_view_if_needed()
    expect(found).to_have_attribute("data-ready", re.compile(r"^\d+$"))
    return found


def count_colours(part: Any) -> int:
    pixels = decode_image(part.screenshot(), "png")
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))


def assert_drawn(part: Any, *, colours: int = 5) -> None:
    eventually(lambda: count_colours(part) > colours, said=part)


def test_pictures_follow_the_slider_by_keyboard_and_show_boxes_and_masks(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_media(open_page)
    pictures = card(page, "val/pictures")
    expect(pictures).to_have_attribute("data-ready", "20")
    expect(pictures.get_by_text("epoch 20 <b>").first).to_be_visible()
    slider = pictures.get_by_role("slider", name="Step of val/pictures")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(pictures).to_have_attribute("data-ready", "10")
    expect(page).to_have_url(re.compile("step=10"))
    expect(pictures.get_by_label("sky")).to_be_checked()

    def paint() -> list[int]:
        return list(
            pictures.locator("canvas.overlay").evaluate(
                """(canvas) => {
                  const { data } = canvas.getContext("2d")
                    .getImageData(0, 0, canvas.width, canvas.height);
                  let [left, right] = [0, 0];
                  for (let at = 3; at < data.length; at += 4) {
                    const x = ((at - 3) / 4) % canvas.width;
                    if (data[at]) { if (x < canvas.width / 2) left += 1; else right += 1; }
                  }
                  return [left, right];
                }"""
            )
        )

    eventually(lambda: min(paint()) > 0, said="the box, the mask")
    pictures.get_by_label("sky").uncheck()
    eventually(lambda: paint()[1], 0)
    pictures.get_by_role("slider", name="Lowest score").fill("0.9")
    eventually(paint, [0, 0])
    page.reload()
    expect(card(page, "val/pictures")).to_have_attribute("data-ready", "10")
    pictures.get_by_role("button", name=re.compile("Enlarge")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_html_of_a_user_reaches_nothing(store: Path, open_page: Callable[..., Any]) -> None:
    page = open_media(open_page)
    frame = card(page, "page").frame_locator("iframe")
    told = frame.locator("pre")
    expect(told).to_contain_text("origin null")
    expect(told).to_contain_text("parent closed")
    expect(told).to_contain_text("no cookie")
    eventually(lambda: "owned" not in page.title())


def test_tables_are_sorted_and_filtered(store: Path, open_page: Callable[..., Any]) -> None:
    page = open_media(open_page)
    rows = card(page, "rows")
    expect(rows.get_by_text("1 to 25 of 60 rows")).to_be_visible()
    # The second click comes before the answer to the first, however fast that is.
    rows.get_by_role("button", name="n", exact=True).evaluate("(it) => { it.click(); it.click(); }")
    expect(rows.locator("tbody tr").first.locator("td").first).to_have_text("59")
    rows.get_by_label("Filter the rows of rows").fill("word 3")
    expect(rows.get_by_text("of 9 of 60 rows")).to_be_visible()
    with page.expect_download() as download:
        rows.get_by_role("link", name="CSV").click()
    assert Path(download.value.path()).read_text().splitlines()[0] == "n,word"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_else_is_drawn(
    store: Path, open_page: Callable[..., Any], picture: Callable[[Any, str], None], theme: Any
) -> None:
    page = open_media(open_page, theme)
    for key in ("cloud", "water"):
        assert_drawn(card(page, key).locator("canvas.scene"))
    scene = card(page, "cloud").locator("canvas.scene")
    before = scene.screenshot()
    scene.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    eventually(lambda: scene.screenshot() != before)
    weights = card(page, "weights")
    assert_drawn(weights.locator(".media-plot"))
    weights.get_by_role("radio", name="Heat map").check()
    page.wait_for_timeout(200)
    assert_drawn(weights.locator(".media-plot"), colours=20)
    expect(card(page, "confusion").locator(".media-plot canvas").first).to_be_visible()
    length = (
        card(page, "tone")
        .locator("audio")
        .evaluate(
            """(audio) => new Promise((resolve) => {
          if (audio.readyState > 0) resolve(audio.duration);
          audio.addEventListener("loadedmetadata", () => resolve(audio.duration));
        })"""
        )
    )
    assert length == pytest.approx(0.5, abs=0.01)
    picture(page, f"media_{theme}")


def test_names_and_types_are_found_and_the_address_keeps_them(
    store: Path, open_page: Callable[..., Any]
) -> None:
    page = open_media(open_page)
    expect(page.locator(".media-card:visible")).to_have_count(8)
    page.get_by_label("Type").select_option("table")
    expect(page.locator(".media-card:visible")).to_have_count(1)
    page.get_by_label("Type").select_option("")
    page.get_by_label("Find media").fill("wat")
    expect(page.locator(".media-card:visible")).to_have_count(1)
    page.reload()
    expect(page.locator(".media-card:visible")).to_have_count(1)
    page.go_back()
    expect(page.get_by_label("Type")).to_have_value("table")
