// The picture of ranks x steps, with bands above it, bars beside it, and its scale.
import { apiAddress, fetchArrays, ServerError } from "../base/api.js";
import { explain, make } from "../base/dom.js";
import { formatCount, formatNumber } from "../base/format.js";
import { token } from "../base/tokens.js";
import { Figure } from "../charts/figure.js";
import { bokeh, first as early } from "./early.js";
import { drawBands, drawBars } from "./margins.js";
import { labelTicks, makeGradient, makePalette, niceTicks } from "./palette.js";
import { labelRows } from "./rows.js";

const POLL_MS = 350;
const TICKS = 6;

/**
 * What is shown; all of it is in the address.
 * @typedef {object} View
 * @property {string} metric
 * @property {string} how "max", "min" or "mean"
 * @property {string} sort
 * @property {number | null} x0
 * @property {number | null} x1
 * @property {number | null} r0
 * @property {number | null} r1
 * @property {number | null} low
 * @property {number | null} high
 */

/** @typedef {{ranks: number[], step0: number, step1: number, x: number, y: number}} Pixel */

export class Heatmap {
  /**
   * @param {HTMLElement} card
   * @param {string[]} run project and id
   * @param {{onZoom: (zoom: Partial<View> | null) => void, onHover: (pixel: Pixel | null, event: MouseEvent | null) => void}} page
   */
  constructor(card, run, page) {
    const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (card.querySelector(`.${name}`));
    this.card = card;
    this.run = run;
    this.page = page;
    this.host = part("picture");
    this.bandsHost = part("bands");
    this.barsHost = part("bars");
    this.scale = part("scale");
    this.caption = part("caption");
    /** @type {any} */
    this.head = null;
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {PointerEvent | null} */
    this.pointer = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  /** @param {View} view */
  async begin(view) {
    const first = this.takeEarly();
    await bokeh;
    this.figure = await Figure.mount("rank-heatmap", this.host);
    this.picture = this.figure.find("picture");
    this.setColours();
    this.listen();
    await this.show(view, first);
    this.dropPreview();
    this.bands = await Figure.mount("rank-bands", this.bandsHost);
    this.bars = await Figure.mount("rank-bars", this.barsHost);
    this.bands.model.on_event("rangesupdate", (/** @type {any} */ event) => this.page.onZoom({ x0: event.x0, x1: event.x1 }));
    this.bandsHost.addEventListener("dblclick", () => this.page.onZoom(null));
    this.barsHost.addEventListener("dblclick", () => this.page.onZoom(null));
    this.setColours();
    this.drawBars();
    await this.loadBands(view);
  }

  /** Takes away what early.js has shown, when the figure has painted the same. */
  dropPreview() {
    requestAnimationFrame(() => requestAnimationFrame(() => this.host.querySelector(".preview")?.remove()));
  }

  /** The answer that was asked for before this script was there. */
  async takeEarly() {
    const answer = await early;
    if (!answer) throw new ServerError(0, { message: "the server does not answer" });
    return answer;
  }

  /** @param {View} view @param {number} width @param {number} height */
  fetch(view, width, height) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { metric, how, sort, x0, x1, r0, r1, low, high } = view;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const wanted = { metric, how, sort, x0, x1, r0, r1, low, high, width: Math.round(width * ratio), height: Math.round(height * ratio) };
    return fetchArrays(apiAddress(["runs", ...this.run, "matrix"], wanted), null, this.abort.signal);
  }

  /** @param {View} view */
  async load(view) {
    if (!this.figure) return;
    clearTimeout(this.timer);
    const { width, height } = this.figure.view.frame.bbox;
    await this.show(view, this.fetch(view, width, height));
    if (this.bands) {
      this.drawBars();
      await this.loadBands(view);
    }
  }

  /** @param {View} view @param {Promise<{head: any, arrays: any[]}>} asked */
  async show(view, asked) {
    let answer;
    try {
      answer = await asked;
    } catch (error) {
      if (/** @type {any} */ (error).name === "AbortError") return;
      this.fail(/** @type {any} */ (error));
      return;
    }
    this.card.classList.remove("failed");
    this.view = view;
    this.head = answer.head;
    this.arrays = Object.fromEntries(answer.arrays.map((one) => [one.name, one.values]));
    this.draw();
    if (this.head.share !== null && this.head.share < 1) {
      // What is read meanwhile makes the picture sharper.
      this.timer = setTimeout(() => (this.head.is_partial ? this.load(view) : this.wait(view)), POLL_MS);
    }
  }

  /** Asks how far the reading is, by a picture of one pixel, and draws again when it is done. @param {View} view */
  async wait(view) {
    let head;
    try {
      const { metric, how, sort } = view;
      const wanted = { metric, how, sort, width: 1, height: 1 };
      ({ head } = await fetchArrays(apiAddress(["runs", ...this.run, "matrix"], wanted), null, this.abort?.signal));
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") this.fail(/** @type {any} */ (error));
      return;
    }
    if (this.view !== view) return;
    if (head.share === null || head.share >= 1) {
      await this.load(view);
      return;
    }
    this.head.share = head.share;
    this.describe();
    this.timer = setTimeout(() => this.wait(view), POLL_MS);
  }

  draw() {
    const { head, arrays, figure } = this;
    if (!figure) return;
    if (!head.rows) {
      this.caption.textContent = head.share !== null && head.share < 1 ? "reading\u2026" : "no values";
      return;
    }
    const { ndarray } = Bokeh.require("core/util/ndarray");
    const image = ndarray(arrays.codes, { dtype: "uint8", shape: [head.rows, head.columns] });
    this.picture.data = { image: [image], x: [head.x0], y: [head.first], dw: [head.x1 - head.x0], dh: [head.last - head.first] };
    const shown = [this.view?.x0 ?? head.begin, this.view?.x1 ?? head.end];
    figure.model.x_range.setv({ start: shown[0], end: shown[1] });
    figure.model.y_range.setv({ start: head.last, end: head.first });
    this.drawRows();
    this.drawScale();
    this.describe();
    this.card.dataset.ready = "true";
    this.card.dataset.share = String(head.share);
    this.card.dataset.sort = head.sort;
    this.card.dataset.window = `${shown[0]},${shown[1]},${head.first},${head.last}`;
    if (this.pointer) this.hover(this.pointer);
  }

  drawRows() {
    const { head, arrays, figure } = this;
    if (!figure) return;
    const labels = labelRows(head.hosts, arrays.ranks, head.first, figure.view.frame.bbox.height || 484);
    figure.model.left[0].major_label_overrides = labels;
    figure.find("rows").ticks = [...labels.keys()];
  }

  drawScale() {
    const { low, high, lowest } = this.head;
    if (lowest === null) {
      this.scale.replaceChildren("no finite value");
      this.scale.setAttribute("aria-label", "No colours");
      return;
    }
    const ticks = niceTicks(low, high, TICKS);
    const bar = make("i", {});
    bar.style.background = makeGradient("to top");
    const labels = labelTicks(ticks).map((text, i) => {
      const label = make("span", {}, text);
      label.style.bottom = "auto";
      label.style.top = `${100 - (100 * (ticks[i] - low)) / (high - low)}%`;
      return label;
    });
    this.scale.replaceChildren(bar, ...labels);
    this.scale.setAttribute("aria-label", `Colours from ${formatNumber(low)} to ${formatNumber(high)}`);
  }

  describe() {
    const { head } = this;
    const count = (/** @type {number} */ n) => n.toLocaleString("en", { maximumFractionDigits: 1 });
    const perRow = (head.last - head.first) / head.rows;
    const cell = [head.each_step > 1 ? `${count(head.each_step)} steps` : "1 step", perRow > 1 ? `${count(perRow)} ranks` : "1 rank"];
    if (head.lowest === null) {
      this.caption.textContent = "no finite value in this window";
      return;
    }
    const how = { max: "highest", min: "lowest", mean: "mean" }[/** @type {string} */ (head.how)];
    const parts = [`a pixel is the ${how} of ${cell.join(" \u00d7 ")}`];
    parts.push(`${formatCount(head.total_ranks, "rank")}, ${formatCount(head.points, "point")}${head.how === "mean" ? "" : ", extremes exact"}`);
    if (head.clipped) parts.push(`${count(head.clipped)} pixels beyond the colours, up to ${formatNumber(head.highest)}`);
    if (head.error) parts.push(head.error);
    this.caption.textContent = parts.join(" \u00b7 ");
    if (head.share !== null && head.share < 1) {
      const bar = make("i", {});
      bar.style.width = `${100 * head.share}%`;
      this.caption.append(" \u00b7 ", make("span", { class: "progress", role: "presentation" }, bar), head.is_partial ? "reading; ranks that are not read yet are empty" : "sharpening");
    }
    this.host.setAttribute("aria-label", `Heat map of ${head.metric}: ${this.caption.textContent}`);
  }

  drawBars() {
    if (this.bars && this.head?.rows) drawBars(this.bars, this.head, this.arrays);
  }

  /** @param {View} view */
  async loadBands(view) {
    const { bands, figure, abort } = this;
    if (!bands || !figure || !this.head?.rows) return;
    const { metric, x0, x1 } = view;
    const wanted = { metric, x0, x1, width: Math.round(figure.view.frame.bbox.width / 1.5) };
    let answer;
    try {
      answer = await fetchArrays(apiAddress(["runs", ...this.run, "spread"], wanted), null, abort?.signal);
    } catch (error) {
      if (/** @type {any} */ (error).name !== "AbortError") this.fail(/** @type {any} */ (error));
      return;
    }
    if (!answer.arrays.length) return;
    const data = Object.fromEntries(answer.arrays.map((one) => [one.name, one.values]));
    const key = /** @type {HTMLElement} */ (this.card.querySelector(".bands-key"));
    key.textContent = drawBands(bands, data, answer.head.each_step);
    const { start, end } = figure.model.x_range;
    bands.model.x_range.setv({ start, end });
    this.card.dataset.bandsReady = "true";
  }

  setColours() {
    const { figure, bands } = this;
    if (!figure) return;
    const mapper = figure.find("colours");
    mapper.setv({ palette: makePalette(), high_color: token("--heat-none"), nan_color: token("--heat-none") });
    const accent = token("--accent");
    for (const name of ["area-low", "area-p5"]) {
      const area = bands?.find(name);
      if (area) area.glyph.fill_color = accent;
    }
  }

  repaint() {
    this.setColours();
    if (this.head) this.draw();
    this.drawBars();
    for (const one of [this.figure, this.bands, this.bars]) one?.view.request_repaint();
  }

  /** @param {any} error */
  fail(error) {
    this.card.classList.add("failed");
    this.caption.replaceChildren(...explain(error));
    this.card.dataset.ready = "failed";
  }

  // -- pointer ---------------------------------------------------------------------------------

  listen() {
    const { figure, host } = this;
    if (!figure) return;
    figure.model.on_event("rangesupdate", (/** @type {any} */ event) => {
      const rows = [event.y0, event.y1].sort((a, b) => a - b);
      const isAll = rows[0] <= this.head.first + 0.5 && rows[1] >= this.head.last - 0.5;
      const { r0 = null, r1 = null } = this.view ?? {};
      this.page.onZoom({
        x0: event.x0, x1: event.x1,
        r0: isAll ? r0 : Math.max(0, Math.floor(rows[0])), r1: isAll ? r1 : Math.ceil(rows[1]),
      });
    });
    host.addEventListener("dblclick", () => this.page.onZoom(null));
    host.addEventListener("pointermove", (event) => this.hover(event));
    host.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.page.onHover(null, null);
    });
  }

  /** Also when the picture under the pointer has changed. @param {PointerEvent} event */
  hover(event) {
    this.pointer = event;
    const place = event.buttons ? null : this.figure?.locate(event);
    this.page.onHover(place ? this.pixelAt(place.x, place.y) : null, event);
  }

  /** The pixel at a place, with the ranks and steps that it stands for. @param {number} x @param {number} y @returns {Pixel | null} */
  pixelAt(x, y) {
    const { head, arrays } = this;
    if (!head?.rows || x < head.x0 || x >= head.x1 || y < head.first || y >= head.last) return null;
    const column = Math.floor((x - head.x0) / head.each_step);
    const { starts } = arrays;
    let row = Math.min(head.rows - 1, Math.floor(((y - head.first) * head.rows) / (head.last - head.first)));
    while (row > 0 && head.first + starts[row] > y) row -= 1;
    while (row < head.rows - 1 && head.first + starts[row + 1] <= y) row += 1;
    const step0 = Math.ceil(head.x0 + column * head.each_step - 1e-6);
    const step1 = Math.max(step0 + 1, Math.ceil(head.x0 + (column + 1) * head.each_step - 1e-6));
    return { ranks: [...arrays.ranks.slice(starts[row], starts[row + 1])], step0, step1, x, y };
  }

  /** @param {number | null} x @param {number | null} y */
  point(x, y) {
    for (const [figure, name, at] of /** @type {const} */ ([
      [this.figure, "column", x], [this.figure, "row", y], [this.bands, "column", x], [this.bars, "row", y],
    ])) {
      const span = figure?.find(name);
      if (span && span.location !== at) span.setv({ location: at, line_color: token("--muted") });
    }
  }
}
