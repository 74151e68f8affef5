// A panel that is one figure with two axes, whatever they are: numbers, logarithms, categories.
import { apiAddress, getJson, sendJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { plainLabel } from "../charts/axis.js";
import { Defaults, shortName } from "./columns.js";
import { loadBokeh, loadStyle, PanelFigure } from "./figure.js";
import { Panel } from "./panel.js";
import { hideTip, showTip } from "./tip.js";

/** @typedef {{scale: import("./scale.js").Scale, range: [number, number], label: string}} PlotAxis */

const EMPTY = {
  image: ["image", "x", "y", "dw", "dh"],
  cells: ["left", "right", "bottom", "top", "color", "alpha", "line"],
  areas: ["xs", "ys", "color", "alpha"],
  lines: ["xs", "ys", "color", "width", "alpha"],
  points: ["x", "y", "color", "size", "alpha"],
  texts: ["x", "y", "text", "color"],
};
const LABEL_MAX_CHARS = 22;
const LABEL_WIDTH_PX = 6.2;
const TILT = Math.PI / 5;

/** @type {Map<string, Promise<import("./panel.js").ColumnFacts[]>>} */
const facts = new Map();

/** The columns that runs of a project have; fetched once if the page does not say. @param {import("./panel.js").PanelContext} context */
export function loadFacts(context) {
  if (context.columns.length) return Promise.resolve(context.columns);
  let found = facts.get(context.project);
  if (!found) {
    found = getJson(apiAddress(["projects", context.project, "columns"])).then((answer) => answer.columns);
    found.catch(() => facts.delete(context.project));
    facts.set(context.project, found);
  }
  return found;
}

export class PlotPanel extends Panel {
  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    /** @type {PanelFigure | null} */
    this.figure = null;
    /** @type {{x: PlotAxis, y: PlotAxis} | null} */
    this.axes = null;
    this.isRemoved = false;
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {any} */
    this.answer = null;
    loadBokeh();
  }

  get settings() {
    return this.spec.settings;
  }

  /** Fills settings that nobody has chosen. @param {Defaults} _defaults */
  complete(_defaults) {}

  /** Makes the settings whole: what a metric is called in the table, and defaults. */
  async prepare() {
    const columns = await loadFacts(this.context);
    const known = new Set(columns.map((one) => one.key));
    for (const name of ["x", "y", "color", "size", "group"]) {
      const key = this.settings[name];
      if (key && !known.has(key) && known.has(`summary.${key}`)) this.settings[name] = `summary.${key}`;
    }
    this.complete(new Defaults(columns));
  }

  /** A new fetch; what an earlier one brings is no longer wanted. */
  begin() {
    this.abort?.abort();
    this.abort = new AbortController();
    return this.abort;
  }

  async mount() {
    if (this.figure || this.isRemoved) return;
    await loadStyle();
    this.box = make("div", { class: "plot-box", role: "img", "aria-label": this.title() });
    this.legend = make("div", { class: "plot-legend" });
    this.xLabel = make("div", { class: "plot-x" });
    this.yLabel = make("div", { class: "plot-y" });
    this.empty = make("div", { class: "empty plot-empty", hidden: true });
    this.host.classList.add("plot-host");
    this.host.replaceChildren(this.yLabel, this.box, this.xLabel, this.legend, this.empty);
    this.figure = await PanelFigure.mount("panel", this.box);
    this.figure.model.on_event?.("rangesupdate", () => this.#showTicks());
    this.box.addEventListener("pointermove", (event) => this.#onMove(event));
    this.box.addEventListener("pointerleave", () => this.leave());
    this.box.addEventListener("click", (event) => this.#onClick(event));
    this.box.addEventListener("dblclick", () => this.resetZoom());
  }

  /** @param {{x: PlotAxis, y: PlotAxis}} axes @param {Partial<Record<keyof typeof EMPTY, Record<string, any>>>} sources */
  drawPlot(axes, sources) {
    if (!this.figure || this.isRemoved) return;
    this.axes = axes;
    if (this.empty) this.empty.hidden = true;
    for (const [name, columns] of Object.entries(EMPTY)) {
      const given = sources[/** @type {keyof typeof EMPTY} */ (name)];
      this.figure.fill(name, given ?? Object.fromEntries(columns.map((column) => [column, []])));
    }
    this.figure.setRanges(axes.x.range, axes.y.range);
    this.#showLabel(this.xLabel, axes.x.label);
    this.#showLabel(this.yLabel, axes.y.label);
    this.#showTicks();
    this.box?.setAttribute("aria-label", this.summarise());
  }

  /** @param {HTMLElement | undefined} element @param {string} text */
  #showLabel(element, text) {
    if (!element) return;
    element.replaceChildren(make("bdi", {}, shortName(text)));
    element.title = text;
  }

  /** Nothing to draw, and why. @param {string} title @param {string} hint */
  sayEmpty(title, hint) {
    this.answer = null;
    if (!this.empty) return;
    this.drawPlot({ x: { scale: this.axes?.x.scale ?? /** @type {any} */ ({ ticks: () => [] }), range: [0, 1], label: "" }, y: { scale: this.axes?.y.scale ?? /** @type {any} */ ({ ticks: () => [] }), range: [0, 1], label: "" } }, {});
    this.legend?.replaceChildren();
    this.empty.replaceChildren(make("h2", {}, title), make("p", { class: "muted" }, hint));
    this.empty.hidden = false;
    this.box?.setAttribute("aria-label", title);
  }

  #showTicks() {
    const { figure, axes } = this;
    if (!figure || !axes) return;
    const { clientWidth: width = 400, clientHeight: height = 240 } = this.box ?? {};
    for (const [axis, range, model, room] of /** @type {[PlotAxis, any, any, number][]} */ ([
      [axes.x, figure.model.x_range, figure.model.below[0], width / 78], [axes.y, figure.model.y_range, figure.model.left[0], height / (axes.y.scale.kind === "category" ? 17 : 44)],
    ])) {
      const isAcross = axis === axes.x;
      const isNamed = axis.scale.kind === "category";
      const names = isNamed ? axis.scale.labels ?? [] : [];
      const longest = Math.min(Math.max(0, ...names.map((one) => one.length)), LABEL_MAX_CHARS) * LABEL_WIDTH_PX;
      const isTilted = isAcross && isNamed && longest * names.length > width - 80;
      const most = isAcross && isNamed ? Math.floor((width - 60) / (isTilted ? 18 : longest + 8)) : Math.floor(room);
      const ticks = axis.scale.ticks(range.start, range.end, Math.max(2, most));
      model.ticker.ticks = ticks.map((one) => one.at);
      model.major_label_overrides = new Map(ticks.map((one) => [one.at, plainLabel(one.label, LABEL_MAX_CHARS)]));
      if (isAcross) model.major_label_orientation = isTilted ? TILT : "horizontal";
    }
  }

  resetZoom() {
    if (!this.figure || !this.axes) return;
    this.figure.setRanges(this.axes.x.range, this.axes.y.range);
    this.#showTicks();
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    const place = event.buttons ? null : this.figure?.locate(event);
    const found = place && this.answer ? this.tipAt(place.x, place.y, event) : null;
    if (found) showTip(event, found.title, found.where ?? "", found.rows);
    else hideTip();
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const place = this.figure?.locate(/** @type {PointerEvent} */ (event));
    if (!place || !this.answer) return;
    const rows = this.rowsAt(place.x, place.y, event);
    if (rows) this.context.select(rows.length ? rows.map((row) => this.answer.ids[row]) : null);
  }

  /**
   * What the box beside the pointer says.
   * @param {number} _x @param {number} _y @param {MouseEvent} _event
   * @returns {{title: string, where?: string, rows: {label: string, value: string, colour?: string, isNear?: boolean}[]} | null}
   */
  tipAt(_x, _y, _event) {
    return null;
  }

  /** The runs that a click chooses; none takes back what is chosen, null does nothing. @param {number} _x @param {number} _y @param {MouseEvent} _event @returns {number[] | null} */
  rowsAt(_x, _y, _event) {
    return null;
  }

  leave() {
    hideTip();
  }

  /** What a screen reader says of the drawing. */
  summarise() {
    return [this.title(), this.describe()].filter(Boolean).join(": ");
  }

  /** Draws again what is there. */
  draw() {}

  resize() {
    if (this.answer) this.#showTicks();
  }

  repaint() {
    if (this.answer) this.draw();
    this.figure?.repaint();
  }

  /** @param {"png" | "svg"} type @returns {Promise<Blob | null>} */
  async exportPicture(type) {
    return this.figure && this.answer ? this.figure.export(type) : null;
  }

  remove() {
    this.isRemoved = true;
    this.abort?.abort();
    hideTip();
    this.figure?.remove();
    this.host.replaceChildren();
  }
}

/** A panel whose numbers the server works out. */
export class AnswerPanel extends PlotPanel {
  /** What cannot be without: names of settings. @type {string[]} */
  static needs = ["y"];

  async load() {
    const abort = this.begin();
    await this.prepare();
    await this.mount();
    const needs = /** @type {typeof AnswerPanel} */ (this.constructor).needs;
    const lacking = needs.find((name) => !this.settings[name] || !this.settings[name].length);
    if (lacking) return this.sayEmpty("Nothing is chosen yet", "Choose columns in the settings of this panel.");
    const url = apiAddress(["projects", this.context.project, "panels", this.spec.kind]);
    const body = { ...this.context.selection(), settings: this.settings };
    const answer = await sendJson("POST", url, body, abort.signal);
    if (this.isRemoved || abort.signal.aborted) return undefined;
    if (answer.runs === 0) return this.sayEmpty("No runs", "No run is chosen on this page.");
    if (answer.known === 0) return this.sayEmpty("No run has a value here", `None of ${answer.runs.toLocaleString("en")} runs has it.`);
    this.answer = answer;
    this.draw();
    return undefined;
  }

  describe() {
    if (!this.answer) return "";
    return describeKnown(this.answer.known, this.answer.runs, this.answer.infinite);
  }
}

/** @param {number} known @param {number} runs @param {number} [infinite] */
export function describeKnown(known, runs, infinite = 0) {
  const all = runs.toLocaleString("en");
  const parts = [known === runs ? `all ${all} runs` : `${known.toLocaleString("en")} of ${all} runs have a value`];
  if (infinite) parts.push(`${infinite.toLocaleString("en")} infinite left out`);
  return parts.join(" · ");
}
