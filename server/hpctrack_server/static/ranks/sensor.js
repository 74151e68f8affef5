// One sensor over time: lines of a few devices, strips of many.
import { apiAddress, fetchArrays } from "../base/api.js";
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { token } from "../base/tokens.js";
import { Figure } from "../charts/figure.js";
import { labelTicks, makeGradient, makePalette, niceTicks, NO_VALUE, TOP_CODE } from "./palette.js";
import { labelRows, shorten } from "./rows.js";
import { chooseScale, formatReading } from "./units.js";

const SERIES_COLOURS = 10;
const LIMIT_SHOWN = 3;
const MS = 1000;
const TICKS = 4;

/**
 * What all panels share.
 * @typedef {object} SystemView
 * @property {string[]} run project and id
 * @property {string} host
 * @property {string} device
 * @property {string} how
 * @property {boolean} isWall
 * @property {[number, number] | null} zoom seconds since the run began
 * @property {number} zeroMs what relative times are added to
 * @property {{at: number, kind: string, text: string}[]} marks
 * @property {(zoom: [number, number] | null) => void} onZoom
 * @property {(at: number | null) => void} onHover
 */

/** @typedef {{host: string, device: string, rank: number}} StreamLabel */

export class SensorPanel {
  /** @param {HTMLElement} card @param {{name: string, unit: string}} sensor @param {SystemView} view @param {import("./tip.js").Tip} tip */
  constructor(card, sensor, view, tip) {
    this.card = card;
    this.sensor = sensor;
    this.view = view;
    this.tip = tip;
    this.plot = /** @type {HTMLElement} */ (card.querySelector(".plot"));
    this.legend = /** @type {HTMLElement} */ (card.querySelector(".legend"));
    this.caption = /** @type {HTMLElement} */ (card.querySelector(".caption"));
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {any} */
    this.head = null;
    this.isVisible = false;
  }

  async show() {
    this.isVisible = true;
    if (!this.figure) {
      this.figure = await Figure.mount("sensor", this.plot);
      const { figure } = this;
      figure.model.on_event("rangesupdate", (/** @type {any} */ event) => this.view.onZoom([(event.x0 - this.zero) / MS, (event.x1 - this.zero) / MS]));
      this.plot.addEventListener("dblclick", () => this.view.onZoom(null));
      this.plot.addEventListener("pointermove", (event) => this.hover(event));
      this.plot.addEventListener("pointerleave", () => this.leave());
    }
    await this.load();
  }

  get zero() {
    return this.view.isWall ? this.view.zeroMs : 0;
  }

  async load() {
    if (!this.figure || !this.isVisible) return;
    this.abort?.abort();
    this.abort = new AbortController();
    const { host, device, how, zoom, run } = this.view;
    const { width, height } = this.figure.view.frame.bbox;
    const wanted = {
      name: this.sensor.name, host, device, how, x0: zoom?.[0], x1: zoom?.[1],
      width: Math.round(Math.max(100, width)), height: Math.round(Math.max(40, height)),
    };
    try {
      const answer = await fetchArrays(apiAddress(["runs", ...run, "system", "sensor"], wanted), null, this.abort.signal);
      this.head = answer.head;
      this.arrays = answer.arrays;
    } catch (error) {
      if (/** @type {any} */ (error).name === "AbortError") return;
      const { message, hint } = /** @type {any} */ (error);
      this.card.classList.add("failed");
      this.card.dataset.ready = "failed";
      this.caption.textContent = [message, hint].filter(Boolean).join(" \u2014 ");
      return;
    }
    this.card.classList.remove("failed");
    this.draw();
    this.card.dataset.ready = this.head.view;
  }

  draw() {
    const { head, figure } = this;
    if (!figure || !head) return;
    const { start, end } = { start: head.start * MS + this.zero, end: head.stop * MS + this.zero };
    figure.model.x_range.setv({ start, end });
    const isStrips = head.view === "strips";
    for (const axis of figure.model.left) axis.visible = (axis.name === "rows-axis") === isStrips;
    figure.find("values-grid").visible = !isStrips;
    if (isStrips) this.drawStrips();
    else this.drawLines();
    this.drawMarks();
    this.describe();
  }

  drawLines() {
    const { head, figure, arrays = [] } = this;
    if (!figure) return;
    const colours = Array.from({ length: SERIES_COLOURS }, (_, i) => token(`--series-${i}`));
    const columns = { xs: /** @type {any[]} */ ([]), ys: /** @type {any[]} */ ([]), color: /** @type {string[]} */ ([]) };
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i + 1 < arrays.length; i += 2) {
      columns.xs.push(Float64Array.from(arrays[i].values, (/** @type {number} */ s) => s * MS + this.zero));
      columns.ys.push(arrays[i + 1].values);
      columns.color.push(colours[arrays[i].line % SERIES_COLOURS]);
      for (const value of arrays[i + 1].values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    this.columns = columns;
    figure.find("picture").data = { image: [], x: [], y: [], dw: [], dh: [] };
    figure.find("lines").data = columns;
    figure.find("dots").data = findLonely(columns);
    const limits = head.limits.filter((/** @type {any} */ one) => one.value <= LIMIT_SHOWN * high);
    figure.find("limits").data = { y: limits.map((/** @type {any} */ one) => one.value), color: limits.map(() => token("--bad")) };
    if (head.name.endsWith("_frac")) [low, high] = [Math.min(0, low), Math.max(1, high)];
    else if (low >= 0 && low < 0.6 * high) low = 0;
    for (const one of limits) high = Math.max(high, one.value);
    if (!(low <= high)) [low, high] = [0, 1];
    const pad = 0.08 * (high - low) || Math.abs(low) * 0.05 || 0.5;
    const bottom = low === 0 ? 0 : low - pad;
    figure.model.y_range.setv({ start: bottom, end: high + pad });
    const scale = chooseScale(high, head.unit, head.name);
    const ticks = niceTicks(bottom / scale.by, (high + pad) / scale.by, TICKS);
    const axis = figure.model.left.find((/** @type {any} */ one) => one.name === "values-axis");
    axis.major_label_overrides = new Map(labelTicks(ticks).map((text, i) => [ticks[i] * scale.by, `${text} ${scale.unit}`.trim()]));
    figure.find("values").ticks = ticks.map((one) => one * scale.by);
    this.legend.replaceChildren(...head.streams.map((/** @type {StreamLabel} */ one, /** @type {number} */ i) => {
      const mark = make("i", {});
      mark.style.background = colours[i % SERIES_COLOURS];
      return make("span", {}, mark, make("bdi", {}, this.name(one)));
    }));
  }

  drawStrips() {
    const { head, figure, arrays = [] } = this;
    if (!figure) return;
    const found = Object.fromEntries(arrays.map((one) => [one.name, one.values]));
    const { ndarray } = Bokeh.require("core/util/ndarray");
    const image = ndarray(found.codes, { dtype: "uint8", shape: [head.rows, head.columns] });
    this.codes = found.codes;
    this.starts = found.starts;
    figure.find("colours").setv({ palette: makePalette(), high_color: token("--heat-none"), nan_color: token("--heat-none") });
    figure.find("lines").data = { xs: [], ys: [], color: [] };
    figure.find("dots").data = { x: [], y: [], color: [] };
    figure.find("limits").data = { y: [], color: [] };
    figure.find("picture").data = {
      image: [image], x: [head.start * MS + this.zero], y: [0], dw: [(head.stop - head.start) * MS], dh: [head.total_streams],
    };
    figure.model.y_range.setv({ start: head.total_streams, end: 0 });
    const labels = labelRows(groupStreams(head.streams), head.streams.map((/** @type {StreamLabel} */ one) => shortName(one)), 0, figure.view.frame.bbox.height || 140);
    const axis = figure.model.left.find((/** @type {any} */ one) => one.name === "rows-axis");
    axis.major_label_overrides = labels;
    figure.find("rows").ticks = [...labels.keys()];
    const ramp = make("i", { class: "ramp" });
    ramp.style.background = makeGradient("to right");
    this.legend.replaceChildren(make("span", {}, this.read(head.low), ramp, this.read(head.high)));
  }

  drawMarks() {
    const colour = { bad: token("--bad"), warn: token("--warn"), attempt: token("--accent"), limit: token("--bad") };
    const marks = this.view.marks;
    this.figure?.find("marks").setv({
      data: { x: marks.map((one) => one.at * MS + this.zero), color: marks.map((one) => colour[/** @type {"bad"} */ (one.kind)] ?? token("--muted")) },
    });
  }

  /** @param {number} value */
  read(value) {
    return formatReading(value, this.head.unit, this.head.name);
  }

  /** @param {StreamLabel} stream */
  name(stream) {
    const parts = [this.view.host ? "" : stream.host, stream.device ? shorten(stream.device, 24) : "", stream.rank >= 0 ? `rank ${stream.rank}` : ""];
    return parts.filter(Boolean).join(" \u00b7 ") || stream.host || "node";
  }

  describe() {
    const { head } = this;
    const parts = [`${head.total_streams.toLocaleString("en")} ${head.total_streams === 1 ? "device or rank" : "devices or ranks"}, ${formatCount(head.samples, "sample")}`];
    if (head.view === "strips") parts.push(`a pixel is the ${{ mean: "mean", max: "highest", min: "lowest" }[/** @type {string} */ (head.how)]} of its time`);
    else parts.push("extremes exact");
    for (const one of head.limits) parts.push(`limit ${this.read(one.value)}`);
    this.caption.textContent = parts.join(" \u00b7 ");
    this.plot.setAttribute("aria-label", `${head.name}: ${this.caption.textContent}`);
  }

  // -- pointer ---------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  hover(event) {
    const place = this.figure && !event.buttons ? this.figure.locate(event) : null;
    if (!place || !this.head) {
      this.leave();
      return;
    }
    this.view.onHover((place.x - this.zero) / MS);
    const rows = this.head.view === "strips" ? this.rowsOfStrips(place) : this.rowsOfLines(place.x);
    this.tip.show(event, this.sensor.name, this.when(place.x), rows);
  }

  /** @param {{x: number, y: number}} place @returns {[string, string][]} */
  rowsOfStrips({ x, y }) {
    const { head, codes, starts } = this;
    const column = Math.floor(((x - this.zero) / MS - head.start) / ((head.stop - head.start) / head.columns));
    let row = 0;
    while (row < head.rows - 1 && starts[row + 1] <= y) row += 1;
    const code = codes?.[row * head.columns + column];
    const stream = head.streams[Math.min(head.total_streams - 1, Math.max(0, Math.floor(y)))];
    const several = starts[row + 1] - starts[row];
    const value = code === undefined || code === NO_VALUE ? "no sample" : `\u2248 ${this.read(head.low + (code / TOP_CODE) * (head.high - head.low))}`;
    /** @type {[string, string][]} */
    const rows = [[this.name(stream), value]];
    if (several > 1) rows.push([`the pixel is of ${several}`, ""]);
    return rows;
  }

  /** @param {number} x @returns {[string, string][]} */
  rowsOfLines(x) {
    const { columns, head } = this;
    if (!columns) return [];
    return columns.xs.map((xs, i) => {
      let [low, high] = [0, xs.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (xs[middle] <= x) low = middle + 1;
        else high = middle;
      }
      const value = low ? columns.ys[i][low - 1] : NaN;
      return [this.name(head.streams[i]), Number.isNaN(value) ? "no sample" : this.read(value)];
    });
  }

  /** @param {number} x */
  when(x) {
    if (this.view.isWall) return new Date(x).toISOString().slice(0, 19).replace("T", " ");
    const s = Math.round(x / MS);
    return [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60].map((one) => String(one).padStart(2, "0")).join(":");
  }

  leave() {
    this.tip.hide();
    this.view.onHover(null);
  }

  /** @param {number | null} at */
  point(at) {
    const span = this.figure?.find("column");
    const location = at === null ? null : at * MS + this.zero;
    if (span && span.location !== location) span.setv({ location, line_color: token("--muted") });
  }

  repaint() {
    if (this.head) this.draw();
    this.figure?.view.request_repaint();
  }
}

/**
 * Samples that no line shows, because they have no neighbour.
 * @param {{xs: Float64Array[], ys: any[], color: string[]}} columns
 */
function findLonely({ xs, ys, color }) {
  const found = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
  const isThere = (/** @type {any} */ values, /** @type {number} */ at) => at >= 0 && at < values.length && !Number.isNaN(values[at]);
  ys.forEach((values, line) => {
    for (let at = 0; at < values.length; at++) {
      if (!isThere(values, at) || isThere(values, at - 1) || isThere(values, at + 1)) continue;
      found.x.push(xs[line][at]);
      found.y.push(values[at]);
      found.color.push(color[line]);
    }
  });
  return found;
}

/** @param {StreamLabel[]} streams @returns {[string, number, number][]} */
function groupStreams(streams) {
  /** @type {[string, number, number][]} */
  const found = [];
  streams.forEach((one, i) => {
    const last = found.at(-1);
    if (last && last[0] === one.host) last[2] += 1;
    else found.push([one.host, i, 1]);
  });
  return found;
}

/** @param {StreamLabel} stream */
function shortName(stream) {
  return stream.rank >= 0 ? `rank ${stream.rank}` : stream.device.slice(-6) || "node";
}
