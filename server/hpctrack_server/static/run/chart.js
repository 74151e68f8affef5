// @ts-nocheck until its next change
// One chart: a clone of the figure that the server built, filled with what the page asks for.
import { fetchSeries, SeriesError } from "./series.js";
import { hideTip, showTip } from "../base/tip.js";
import { formatCount, formatNumber, formatX } from "../base/format.js";

const Y_PADDING = 0.07;
const DOTS_MAX_POINTS = 40;
const DOTS_MAX_LINES = 12;
const FEW_LINES = 20;
const DENSE_POINTS = 400;
const NAMED_COLOURS = 10;
const X_PADDING = 0.012;
const BAND_EDGE_ALPHA = 0.3;

let tokens = null;

// The style sheet's colours, read again after a change of theme.
export function forgetColours() {
  tokens = null;
}

function colours() {
  if (!tokens) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    tokens = {
      accent: read("--accent"),
      muted: read("--muted"),
      series: Array.from({ length: NAMED_COLOURS }, (_, i) => read(`--series-${i}`)),
      ramp: [0, 1, 2].map((i) => parseHex(read(`--ramp-${i}`))),
    };
  }
  return tokens;
}

function parseHex(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

// Few ranks get colours that differ; many get a ramp, on which neighbours look alike.
export function colourOfRank(rank, size) {
  const { series, ramp } = colours();
  if (size <= NAMED_COLOURS) return series[rank % NAMED_COLOURS];
  const place = (rank / Math.max(size - 1, 1)) * (ramp.length - 1);
  const low = Math.min(Math.floor(place), ramp.length - 2);
  const mixed = ramp[low].map((part, i) => Math.round(part + (ramp[low + 1][i] - part) * (place - low)));
  return `rgb(${mixed.join(",")})`;
}

export class Chart {
  // page: { path, size, state, figure, onZoom, onHover } of the run page.
  constructor(card, page) {
    this.card = card;
    this.page = page;
    this.metric = card.dataset.metric;
    this.plot = card.querySelector(".plot");
    this.caption = card.querySelector(".caption");
    this.last = card.querySelector("output");
    this.series = null;
    this.isStale = true;
    this.isVisible = false;
    this.abort = null;
  }

  async mount() {
    const item = JSON.parse(await this.page.figure);
    const views = await Bokeh.embed.embed_item(item, this.plot);
    this.view = [...views][0] ?? views.roots[0];
    this.model = this.view.model;
    const model = (name) => this.model.document.get_model_by_name(name);
    this.sources = { lines: model("lines"), band: model("band"), dots: model("dots") };
    this.area = model("area");
    this.crosshair = model("crosshair");
    this.model.on_event("rangesupdate", (event) => this.page.onZoom([event.x0, event.x1]));
    this.plot.addEventListener("pointermove", (event) => this.hover(event));
    this.plot.addEventListener("pointerleave", () => this.leave());
    this.plot.addEventListener("dblclick", () => this.page.onZoom(null));
    this.isMounted = true;
  }

  async load() {
    if (!this.isMounted) return;
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.isStale = false;
    const { view, rank, x, zoom } = this.page.state;
    const width = Math.max(100, Math.min(1000, Math.round(this.plot.clientWidth || 500)));
    const wanted = { metric: this.metric, view, rank, x, width, x0: zoom?.[0], x1: zoom?.[1] };
    try {
      this.series = await fetchSeries(this.page.path, wanted, abort.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.isStale = true;
      this.caption.textContent = error instanceof SeriesError ? error.message : "the server does not answer";
      this.card.classList.add("failed");
      return;
    }
    this.card.classList.remove("failed");
    this.draw();
    this.describe();
    this.card.dataset.ready = "true";
    this.card.dataset.points = this.series.total;
  }

  draw() {
    const { lines, band } = this.series;
    const { size } = this.page;
    const { accent } = colours();
    // Width 1 is also the fast one: 4.6 times as fast as 1.5 in software raster.
    const isDense = lines.length > FEW_LINES || lines.some((line) => line.x.length > DENSE_POINTS);
    const width = isDense ? 1 : 1.5;
    const drawn = band
      ? [{ x: band.x, y: band.mean, color: accent }]
      : lines.map((line) => ({ ...line, color: colourOfRank(line.rank, size) }));
    const columns = { xs: [], ys: [], color: [], width: [], alpha: [] };
    const add = (x, y, colour, lineWidth, alpha) => {
      columns.xs.push(x);
      columns.ys.push(y);
      columns.color.push(colour);
      columns.width.push(lineWidth);
      columns.alpha.push(alpha);
    };
    const dots = { x: [], y: [], color: [] };
    for (const line of drawn) {
      add(line.x, line.y, line.color, band ? 1.75 : width, 1);
      if (line.x.length <= DOTS_MAX_POINTS && drawn.length <= DOTS_MAX_LINES) {
        dots.x.push(...line.x);
        dots.y.push(...line.y);
        dots.color.push(...Array(line.x.length).fill(line.color));
      }
    }
    if (band) {
      // A spike of one step is too narrow to be seen as an area.
      for (const edge of [band.low, band.high]) add(band.x, edge, accent, 1, BAND_EDGE_ALPHA);
    }
    this.lines = drawn;
    this.area.glyph.fill_color = accent;
    this.sources.band.data = band ? { x: band.x, low: band.low, high: band.high } : { x: [], low: [], high: [] };
    this.sources.lines.data = columns;
    this.sources.dots.data = dots;
    this.setRanges();
  }

  setRanges() {
    const { band } = this.series;
    const { zoom } = this.page.state;
    const x = new Extent();
    const y = new Extent();
    for (const line of this.lines) {
      x.takeEnds(line.x);
      y.take(line.y, line.x, zoom);
    }
    if (band) {
      y.take(band.low, band.x, zoom);
      y.take(band.high, band.x, zoom);
    }
    const [start, end] = zoom ?? x.padded(X_PADDING);
    const [low, high] = y.padded(Y_PADDING);
    this.model.x_range.setv({ start, end });
    this.model.y_range.setv({ start: low, end: high });
  }

  describe() {
    const { series } = this;
    const line = this.lines.at(-1);
    const value = line && this.lines.length === 1 ? line.y.at(-1) : undefined;
    this.last.textContent = value === undefined ? "" : formatNumber(value);
    this.last.title = series.band ? "mean at the last step" : "last value";
    const parts = [];
    if (series.view === "rank") {
      if (!this.lines.length) parts.push(`rank ${this.page.state.rank} has not logged this`);
    } else {
      const shown = this.lines.length < series.ranks && series.lines.length;
      parts.push(`${shown ? `${shown} of ` : ""}${formatCount(series.ranks, "rank")}`);
    }
    const drawn = formatCount(series.drawn, series.band ? "step" : "point");
    if (series.drawn < series.total) {
      parts.push(`${drawn} drawn of ${series.total.toLocaleString("en")}, extremes exact`);
    } else if (series.total) parts.push(`all ${drawn} drawn`);
    this.caption.textContent = parts.join(" · ");
    this.plot.setAttribute("aria-label", `Chart of ${this.metric}: ${this.caption.textContent}`);
  }

  // -- pointer ---------------------------------------------------------------------------------

  hover(event) {
    if (!this.series || event.buttons) return hideTip();
    const box = this.view.canvas_view.el.getBoundingClientRect();
    const frame = this.view.frame;
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    const { left, right, top, bottom } = frame.bbox;
    if (sx < left || sx > right || sy < top || sy > bottom) return this.leave();
    const x = frame.x_scale.invert(sx);
    const rows = this.series.band ? this.rowsOfBand(x) : this.rowsOfLines(x, frame.y_scale.invert(sy));
    if (!rows.length) return this.leave();
    this.page.onHover(rows[0].x);
    this.select(rows.find((row) => row.isNear)?.index);
    return showTip(event, this.metric, formatX(rows[0].x, this.series.x), rows);
  }

  rowsOfBand(x) {
    const { band } = this.series;
    const at = nearest(band.x, x);
    if (at < 0) return [];
    const { accent, muted } = colours();
    const row = (label, values, colour) => ({ label, value: values[at], x: band.x[at], colour });
    return [row("highest", band.high, muted), { ...row("mean", band.mean, accent), isNear: true }, row("lowest", band.low, muted)];
  }

  rowsOfLines(x, y) {
    const rows = [];
    this.lines.forEach((line, index) => {
      const at = nearest(line.x, x);
      if (at < 0 || Number.isNaN(line.y[at])) return;
      rows.push({ label: `rank ${line.rank}`, value: line.y[at], x: line.x[at], colour: line.color, index });
    });
    rows.sort((a, b) => b.value - a.value);
    if (rows.length) {
      const near = rows.reduce((a, b) => (Math.abs(b.value - y) < Math.abs(a.value - y) ? b : a));
      near.isNear = true;
    }
    return rows;
  }

  select(index) {
    const indices = index === undefined || this.lines.length < 2 ? [] : [index];
    const selected = this.sources.lines.selected;
    if (selected.indices[0] !== indices[0]) selected.indices = indices;
  }

  leave() {
    hideTip();
    this.page.onHover(null);
    if (this.sources) this.select(undefined);
  }

  repaint() {
    if (this.series) this.draw();
    this.view?.request_repaint();
  }
}

// The lowest and the highest of what is shown.
class Extent {
  low = Infinity;
  high = -Infinity;

  add(value) {
    if (value < this.low) this.low = value;
    if (value > this.high) this.high = value;
  }

  takeEnds(values) {
    if (!values.length) return;
    this.add(values[0]);
    this.add(values.at(-1));
  }

  take(values, x, zoom) {
    for (let i = 0; i < values.length; i++) {
      if (!zoom || (x[i] >= zoom[0] && x[i] <= zoom[1])) this.add(values[i]);
    }
  }

  padded(fraction) {
    if (!(this.low <= this.high)) return [0, 1];
    const span = this.high - this.low;
    const pad = span > 0 ? span * fraction : Math.abs(this.low) * 0.05 || 0.5;
    return [this.low - pad, this.high + pad];
  }
}

function nearest(sorted, wanted) {
  if (!sorted.length) return -1;
  let [low, high] = [0, sorted.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle;
    else high = middle;
  }
  return Math.abs(sorted[low] - wanted) <= Math.abs(sorted[high] - wanted) ? low : high;
}
