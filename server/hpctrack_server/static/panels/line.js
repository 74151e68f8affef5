// Runs over steps: one MultiLine for all lines, bands of groups, a linked zoom, an ordered tooltip.
import { atMost, later, make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { dressAxis, fromAxis, kindOfAxis, labelRange, toAxis, zoneAt } from "../charts/axis.js";
import { Figure } from "../charts/figure.js";
import { fetchChart } from "../charts/series.js";
import { colourOf } from "../base/tokens.js";
import { Panel } from "./panel.js";
import { makeColumns, rangeOfX, rangeOfY } from "./line_columns.js";
import { describeCurves, readCurves } from "./line_curves.js";
import { showLegend } from "./line_legend.js";
import { addPieces, isAbout } from "./line_live.js";
import { LineHover } from "./line_hover.js";
import { FIELDS, figureOf, makeRequest, settle, widthFor } from "./line_settings.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

/**
 * @typedef {object} Held an answer, and what it is an answer to
 * @property {string} key what was asked for, without runs and range
 * @property {Set<string> | null} runs those that were asked for; null if a query was
 * @property {number} width buckets per line
 * @property {import("../charts/series.js").Chart} head
 * @property {Curve[]} curves
 */

/** A panel that has become so much wider asks for more points. */
const FINER = 1.4;
const HOT_REST_MS = 70;
/** Between two requests for lines that cannot grow by themselves: smoothed and grouped ones. */
const LIVE_REST_MS = 2000;
/** The series API draws no more. */
const RUNS_MAX = 1000;

export default class LinePanel extends Panel {
  /** @type {Figure | null} */
  figure = null;
  figureName = "";
  /** @type {Promise<void>} */
  mounting = Promise.resolve();
  /** @type {Held | null} */
  held = null;
  /** @type {Held | null} The last answer that was not zoomed: what a reset shows at once. */
  whole = null;
  /** @type {AbortController | null} */
  abort = null;
  /** @type {[number, number] | null} The part of the y axis that was zoomed into. */
  yZoom = null;
  /** @type {[number, number] | null} Of an axis that is not the page's. */
  ownZoom = null;
  drawnKey = "";
  /** @type {string | null} The run or group that the pointer is on, in any panel. */
  hot = null;
  /** @type {Set<string> | null} Runs that another panel has picked out; null is all. */
  chosen = null;
  /** @type {string | null} The one that is drawn so. */
  drawnHot = null;
  zoneS = 0;
  /** Groups that the reader has left out here. @type {Set<string>} */
  hiddenGroups = new Set();
  leftOut = 0;
  isLoading = false;
  isSeen = true;
  /** Points have come that are not drawn: nobody sees it. */
  isBehind = false;
  /** Points that came while the chart was on its way. @type {import("../charts/live_points.js").Piece[]} */
  waiting = [];

  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    this.how = settle(spec.settings, context.shared);
    this.plot = make("div", { class: "line-plot" });
    this.crosshair = make("div", { class: "crosshair", hidden: true });
    this.legend = make("ul", { class: "line-legend", hidden: true });
    host.replaceChildren(this.plot, this.crosshair, this.legend);
    this.hover = new LineHover(this);
    host.addEventListener("dblclick", () => this.zoomTo(null));
    this.askAgain = atMost(() => {
      this.whole = null;
      host.dispatchEvent(new CustomEvent("panelstale"));
    }, LIVE_REST_MS);
    this.showHotLater = later(() => this.showHot(), HOT_REST_MS);
    context.onHighlight((run) => this.highlight(run));
    context.onSelect((runs) => {
      this.chosen = runs && new Set(runs);
      this.draw();
    });
  }

  title() {
    return this.spec.settings.y || "Line";
  }

  fields() {
    return FIELDS;
  }

  /** What of the x axis is shown; null is all. */
  get zoom() {
    return this.how.isXOfPage ? this.context.shared.zoom : this.ownZoom;
  }

  /** In all panels with this axis, or only here if no other has it. @param {[number, number] | null} range */
  zoomTo(range) {
    if (!range) this.yZoom = null;
    if (this.how.isXOfPage) return this.context.zoomX(range, this);
    this.ownZoom = range;
    if (this.held) this.setRanges(this.shown, range);
    this.host.dispatchEvent(new CustomEvent("panelstale"));
  }

  get toAxis() {
    return toAxis(kindOfAxis(this.how.x), this.zoneS);
  }

  get fromAxis() {
    return fromAxis(kindOfAxis(this.how.x), this.zoneS);
  }

  async load() {
    this.how = settle(this.spec.settings, this.context.shared);
    if (!this.how.y) throw new Error("choose a metric for this panel in its settings");
    const mounted = this.mount();
    if (this.context.selection().ids?.length === 0) {
      this.abort?.abort();
      await mounted;
      this.draw(); // what is held belongs to other runs, so nothing is drawn
      return;
    }
    const { selection, key, request } = this.plan();
    const reusable = this.findHeld(key, selection, request.width ?? 0);
    if (reusable) {
      this.abort?.abort();
      await mounted;
      const isDrawn = this.held === reusable && this.drawnKey === this.drawKey;
      this.held = reusable;
      if (!isDrawn) this.draw();
      return;
    }
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    const zoom = this.zoom;
    this.isLoading = true;
    const fetched = this.fetch(request, abort.signal).finally(() => {
      if (this.abort === abort) this.isLoading = false;
    });
    const [chart] = await Promise.all([fetched, mounted]);
    if (abort.signal.aborted) throw new DOMException("a newer request took its place", "AbortError");
    this.held = { key, runs: selection.ids ? new Set(selection.ids) : null, width: request.width ?? 0, head: chart, curves: readCurves(chart) };
    if (!zoom) this.whole = this.held;
    this.addPoints(this.waiting.splice(0), this.context.begun ?? {});
    this.draw();
  }

  /** @param {import("../charts/series.js").ChartQuery} request @param {AbortSignal} signal */
  fetch(request, signal) {
    return fetchChart(this.context.project, request, signal);
  }

  /** What is brought to the front together; null is nothing. @param {Curve} curve @returns {string | null} */
  keyOf(curve) {
    return curve.run ?? curve.label;
  }

  /** @param {Curve} curve @param {number} at its place among the curves */
  colourOfCurve(curve, at) {
    return curve.run === null ? colourOf(at) : this.context.colourOf(curve.run);
  }

  /** What the box beside the pointer calls it. @param {Curve} curve */
  labelOf(curve) {
    if (curve.run === null) return curve.label;
    const name = this.context.nameOf(curve.run);
    return this.how.ranks === "all" && curve.rank !== null ? `${name} · rank ${curve.rank}` : name;
  }

  /** Differs whenever the same answer would look different. */
  get drawKey() {
    return JSON.stringify([this.how, this.zoom, this.context.selection().ids, this.chosen?.size, this.figureName]);
  }

  plan() {
    const all = this.context.selection();
    this.leftOut = Math.max((all.ids?.length ?? 0) - RUNS_MAX, 0);
    const selection = this.leftOut ? { ids: all.ids?.slice(0, RUNS_MAX) } : all;
    const lines = selection.ids?.length ?? selection.query?.limit ?? 20;
    const width = widthFor(this.plot.clientWidth - 60, lines, this.how.smooth.kind !== "none");
    const request = makeRequest(this.how, selection, width, this.zoom);
    const { y, x, ranks, smooth, group, log_x: isLogX } = request;
    const version = this.context.shared.version ?? "";
    const key = JSON.stringify([y, x, ranks, smooth, group, isLogX, version, group ? selection : null]);
    return { selection, key, request };
  }

  /** An answer that has all that is wanted, so nothing need be fetched. @param {string} key @param {import("./panel.js").Selection} selection @param {number} width */
  findHeld(key, selection, width) {
    if (this.zoom) return null;
    const { whole } = this;
    if (whole?.key !== key || !whole.runs || !selection.ids || width > whole.width * FINER) return null;
    return selection.ids.every((id) => whole.runs?.has(id)) ? whole : null;
  }

  /** Runs have logged more. @param {import("../charts/live_points.js").Piece[]} pieces @param {Record<string, number>} begun when each run began */
  addPoints(pieces, begun) {
    const ours = pieces.filter((one) => isAbout(one, this.how));
    if (!ours.length) return;
    if (this.isLoading) return void this.waiting.push(...ours);
    const held = new Set([this.held, this.whole].filter((one) => one !== null));
    const changes = [...held].map((one) => addPieces(one.curves, ours, this.how, begun, one.width));
    if (changes.includes(null)) this.askAgain();
    else if (changes.includes(true) && this.isSeen) this.draw();
    else this.isBehind ||= changes.includes(true);
  }

  /** @param {boolean} isSeen */
  see(isSeen) {
    this.isSeen = isSeen;
    if (isSeen && this.isBehind) this.draw();
  }

  /** Puts the figure with the right scales into the box; an older one is let go. */
  mount() {
    const name = figureOf(this.how);
    const kind = kindOfAxis(this.how.x);
    if (this.figureName === `${name} ${kind}`) return this.mounting;
    this.figureName = `${name} ${kind}`;
    this.mounting = this.mountFigure(name, kind);
    return this.mounting;
  }

  /** @param {string} name @param {import("../charts/axis.js").AxisKind} kind */
  async mountFigure(name, kind) {
    const wanted = this.figureName;
    this.figure?.remove();
    this.figure = null;
    const holder = make("div", { class: "line-holder" });
    this.plot.replaceChildren(holder);
    try {
      const figure = await Figure.mount(name, holder);
      // Other scales may have been asked for meanwhile, or the panel may be gone.
      if (this.figureName !== wanted) return figure.remove();
      this.axis = figure.model.below[0];
      if (!this.how.logX) dressAxis(this.axis, kind);
      figure.model.on_event("rangesupdate", (/** @type {any} */ event) => this.onZoomed(event));
      this.figure = figure;
    } catch (error) {
      if (this.figureName === wanted) this.figureName = "";
      throw error;
    }
  }

  /** The reader dragged a box or turned the wheel. @param {{x0: number, x1: number, y0: number, y1: number}} event */
  onZoomed(event) {
    const drawn = this.drawnY;
    // A box as high as the frame comes back from pixels, so not quite as it was.
    const span = drawn ? Math.abs(drawn[1] - drawn[0]) : 0;
    const isYMoved = drawn && Math.abs(event.y0 - drawn[0]) + Math.abs(event.y1 - drawn[1]) > span * 1e-6;
    this.yZoom = isYMoved ? [event.y0, event.y1] : this.yZoom;
    this.zoomTo([this.fromAxis(event.x0), this.fromAxis(event.x1)]);
  }

  /** Curves that are shown, the hottest on top. */
  get shown() {
    const curves = this.coloured.filter((one) => one.run !== null || !this.hiddenGroups.has(one.label));
    return curves.sort((a, b) => Number(a.isHot) - Number(b.isHot));
  }

  /** The same, with the groups that are left out, in the order of the answer. */
  get coloured() {
    const ids = this.context.selection().ids;
    const wanted = ids ? new Set(ids) : null;
    const isWanted = (/** @type {string} */ run) => (!wanted || wanted.has(run)) && (!this.chosen || this.chosen.has(run));
    const curves = (this.held?.curves ?? []).filter((one) => one.run === null || isWanted(one.run));
    curves.forEach((one, i) => {
      one.isHot = this.hot !== null && this.keyOf(one) === this.hot;
      one.color = this.colourOfCurve(one, i);
    });
    return curves;
  }

  draw() {
    const { figure, held } = this;
    if (!figure || !held) return;
    const curves = this.shown;
    this.isBehind = false;
    this.drawnHot = this.hot;
    this.drawnKey = this.drawKey;
    const first = curves.find((one) => one.x.length);
    this.zoneS = first && this.how.x === "time" ? zoneAt(first.x[0]) : 0;
    const columns = makeColumns(curves, this.toAxis, this.how.logY);
    for (const [name, data] of Object.entries(columns)) figure.fill(name, data);
    this.setRanges(curves, this.zoom);
    showLegend(this.legend, this.coloured, {
      hidden: this.hiddenGroups,
      highlight: (group) => this.context.highlight(group),
      onToggle: () => this.toggled(),
    });
    this.host.classList.toggle("grouped", !this.legend.hidden);
    this.host.setAttribute("role", "group");
    this.host.setAttribute("aria-roledescription", "chart");
    this.host.setAttribute("aria-label", `Chart of ${this.title()}: ${this.describe()}. Arrow keys read values, plus and minus zoom.`);
  }

  /** A group was left out, or taken back in. */
  toggled() {
    this.draw();
    this.host.dispatchEvent(new CustomEvent("panelchange"));
  }

  /** @param {Curve[]} curves @param {[number, number] | null} zoom */
  setRanges(curves, zoom) {
    const { figure, how } = this;
    if (!figure) return;
    const x = rangeOfX(curves, { zoom, isLog: how.logX, fixed: how.xRange });
    const clip = how.clip ? this.held?.head.y_range ?? null : null;
    const y = this.yZoom ?? rangeOfY(curves, { window: x, isLog: how.logY, fixed: how.yRange, clip });
    this.drawnX = x;
    this.drawnY = y;
    figure.setRanges([this.toAxis(x[0]), this.toAxis(x[1])], y);
    if (!how.logX) labelRange(this.axis, kindOfAxis(how.x), x);
  }

  /** Another panel was zoomed: what is there is shown at once, `load` brings the rest. @param {[number, number] | null} range */
  showRange(range) {
    if (!this.how.isXOfPage || !this.held) return;
    if (!range) this.yZoom = null;
    if (!range && this.whole && this.held !== this.whole) {
      this.held = this.whole;
      this.draw();
    } else this.setRanges(this.shown, range);
  }

  /** @param {number | null} x */
  showX(x) {
    const { figure } = this;
    const isShown = x !== null && figure !== null && this.how.isXOfPage && this.held !== null;
    if (!isShown) {
      this.crosshair.hidden = true;
      return;
    }
    const { left, right, top, bottom } = figure.frame;
    const place = figure.pixelOf(this.toAxis(x));
    this.crosshair.hidden = !(place >= left && place <= right);
    this.crosshair.style.transform = `translate(${Math.round(place)}px, ${top}px)`;
    this.crosshair.style.height = `${bottom - top}px`;
  }

  /** The panel under the pointer follows at once, the others when it rests: each costs a repaint. @param {string | null} run */
  highlight(run) {
    this.hot = run;
    if (this.host.matches(":hover")) this.showHot();
    else this.showHotLater();
  }

  showHot() {
    const { hot, drawnHot } = this;
    if (hot === drawnHot || !this.figure || !this.held || !(this.has(hot) || this.has(drawnHot))) return;
    const { top, bottom } = this.host.getBoundingClientRect();
    const isSeen = bottom > 0 && top < innerHeight;
    if (!isSeen && drawnHot === null) return;
    this.drawnHot = hot;
    const columns = makeColumns(this.shown, this.toAxis, this.how.logY);
    for (const name of /** @type {("lines" | "dots")[]} */ (["lines", "dots"])) this.figure.fill(name, columns[name]);
  }

  /** @param {string | null} run */
  has(run) {
    return run !== null && Boolean(this.held?.curves.some((one) => this.keyOf(one) === run));
  }

  repaint() {
    this.draw();
    this.figure?.repaint();
  }

  describe() {
    if (this.context.selection().ids?.length === 0) return "no run is chosen: choose some in the list of runs";
    if (!this.held) return "";
    const said = describeCurves(this.held.head, this.shown, this.context.nameOf);
    const hidden = this.coloured.length - this.shown.length;
    if (hidden) return `${formatCount(hidden, "group")} hidden · ${said}`;
    // First of all: whoever reads on should know what is not there.
    return this.leftOut ? `${RUNS_MAX.toLocaleString("en")} of ${formatCount(this.leftOut + RUNS_MAX, "run")} drawn · ${said}` : said;
  }

  /** Points behind what is drawn. */
  get total() {
    return this.held?.curves.reduce((sum, one) => sum + one.total, 0) ?? 0;
  }

  /** @param {"png" | "svg"} type */
  async exportPicture(type) {
    if (this.isBehind) this.draw();
    return this.figure ? this.figure.export(type) : null;
  }

  exportRows() {
    const rows = /** @type {(string | number | null)[][]} */ ([]);
    for (const curve of this.shown) {
      const name = curve.run === null ? curve.label : this.context.nameOf(curve.run);
      for (let i = 0; i < curve.x.length; i++) {
        rows.push([curve.run ?? "", name, curve.rank ?? "", curve.x[i], curve.y[i], curve.low?.[i] ?? "", curve.high?.[i] ?? ""]);
      }
    }
    return { columns: ["run", "name", "rank", this.how.x, this.title(), "low", "high"], rows };
  }

  remove() {
    this.abort?.abort();
    this.hover.leave();
    this.figureName = "";
    this.figure?.remove();
    this.figure = null;
  }
}
