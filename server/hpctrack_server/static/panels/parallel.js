// Parallel coordinates: an axis per column, a line per run, and brushes that choose runs.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { token } from "../base/tokens.js";
import { Axis } from "./parallel/axis.js";
import { findHits, readIntervals, writeFilter, writeIntervals } from "./parallel/brush.js";
import { computeHeights, findNearest, layOut, makeStrokes } from "./parallel/geometry.js";
import { Layers, shuffle } from "./parallel/layers.js";
import { Overlay } from "./parallel/overlay.js";
import { Colouring } from "./colouring.js";
import { Defaults, fetchColumns, shortName } from "./columns.js";
import { loadBokeh, loadStyle } from "./figure.js";
import { PALETTES } from "./palette.js";
import { Panel } from "./panel.js";
import { loadFacts } from "./plot.js";
import { hideTip, showTip } from "./tip.js";

/** @typedef {import("./parallel/brush.js").Interval} Interval */

/** Lines that are drawn while a brush moves, a random sample; all are when it rests. */
const DRAGGED_LINES = 1500;
const DRAGGED_LINES_MIN = 300;
/** A step must not take longer than 60 ms: a slower machine draws fewer lines. */
const STEP_MS = 50;
const AXES_MAX = 8;

/**
 * @typedef {object} ParallelSettings
 * @property {{key: string, flip?: boolean, scale?: string}[]} [axes]
 * @property {string[]} [columns] keys of the axes, in their order; before `axes`
 * @property {Record<string, string>} [brushes] by key, as parallel/brush.js writes them
 * @property {string} [color] key of a column
 * @property {string} [palette]
 * @property {number | null} [low] of the colours
 * @property {number | null} [high]
 */

export default class ParallelPanel extends Panel {
  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    /** @type {Axis[]} */
    this.axes = [];
    /** @type {import("./columns.js").Table | null} */
    this.table = null;
    /** @type {Uint32Array} */
    this.order = new Uint32Array();
    this.hits = new Uint8Array();
    /** @type {Set<string> | null} what another panel has chosen */
    this.others = null;
    this.hovered = -1;
    this.isRemoved = false;
    this.draggedLines = DRAGGED_LINES;
    loadBokeh();
    context.onSelect((runs) => this.#followSelection(runs));
    context.onHighlight((run) => this.#followHighlight(run));
  }

  /** @returns {ParallelSettings} */
  get settings() {
    return this.spec.settings;
  }

  title() {
    return "Parallel coordinates";
  }

  fields() {
    return [
      { name: "columns", label: "Axes", kind: /** @type {const} */ ("columns") },
      { name: "color", label: "Colour", kind: /** @type {const} */ ("column") },
      { name: "palette", label: "Palette", kind: /** @type {const} */ ("choice"), choices: PALETTES },
      { name: "low", label: "Colours from", kind: /** @type {const} */ ("number") },
      { name: "high", label: "Colours to", kind: /** @type {const} */ ("number") },
    ];
  }

  /** Axes that show something, unless some are chosen. @param {import("./panel.js").ColumnFacts[]} facts @returns {{key: string, flip?: boolean, scale?: string}[]} */
  #chooseAxes(facts) {
    const { axes = [], columns } = this.settings;
    // The form of a panel knows keys alone; what is flipped stays so.
    if (columns?.length) return columns.map((key) => axes.find((one) => one.key === key) ?? { key });
    if (axes.length) return axes;
    const defaults = new Defaults(facts);
    const given = `summary.${this.spec.settings.y}`;
    const metric = facts.some((one) => one.key === given) ? given : defaults.metrics()[0];
    const keys = defaults.parameters(AXES_MAX - 1);
    this.settings.columns = [...new Set([...keys, ...(metric ? [metric] : [])])];
    return this.settings.columns.map((key) => ({ key }));
  }

  get colourKey() {
    return this.settings.color || this.axes.at(-1)?.key || "";
  }

  async load() {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    const isChosen = Boolean(this.settings.columns?.length || this.settings.axes?.length);
    const wanted = this.#chooseAxes(await loadFacts(this.context));
    if (!wanted.length) return this.#sayEmpty("These runs have no configuration that differs", "Log a config with init(config={...}), or add axes by hand.");
    const keys = [...new Set([...wanted.map((one) => one.key), ...(this.settings.color ? [this.settings.color] : []), "state"])];
    const [table] = await Promise.all([
      fetchColumns(this.context.project, this.context.selection(), keys, abort.signal),
      this.#mount(),
    ]);
    if (this.isRemoved || abort.signal.aborted) return undefined;
    this.table = table;
    this.hovered = -1;
    this.order = shuffle(table.ids.length);
    this.hits = new Uint8Array(table.ids.length);
    if (!table.ids.length) return this.#sayEmpty("No runs", "No run fits what the page shows.");
    this.axes = wanted.flatMap((one) => {
      const column = table.columns.get(one.key);
      return column ? [new Axis(column, one)] : [];
    });
    if (!isChosen) this.#dropEmpty();
    for (const axis of this.axes) axis.intervals = readIntervals(this.settings.brushes?.[axis.key] ?? "", axis.scale);
    this.message?.remove();
    this.#refresh();
    await this.layers?.painted();
    this.host.dataset.ready = "true";
    return undefined;
  }

  /** Takes away axes on which none of the runs stands: the project's others have those parameters. */
  #dropEmpty() {
    const filled = this.axes.filter((one) => !one.units.every(Number.isNaN));
    if (filled.length < 2) return;
    this.axes = filled;
    this.settings.columns = filled.map((one) => one.key);
  }

  async #mount() {
    if (this.layers) return;
    await loadStyle();
    this.heads = make("div", { class: "parallel-heads", role: "group", "aria-label": "Axes" });
    this.plot = make("div", { class: "parallel-plot", role: "group", "aria-label": "Parallel coordinates" });
    this.summary = make("p", { class: "sr", "aria-live": "polite" });
    this.host.classList.add("parallel");
    this.host.append(this.heads, this.plot, this.summary);
    const layers = new Layers(this.plot);
    this.layers = layers;
    this.overlay = new Overlay(this.heads, this.plot, this);
    this.plot.addEventListener("pointermove", (event) => this.#hover(event));
    this.plot.addEventListener("pointerleave", () => this.#leave());
    await layers.mount();
  }

  /** @param {string} title @param {string} hint */
  #sayEmpty(title, hint) {
    this.message?.remove();
    this.message = make("div", { class: "empty plot-empty" }, make("h2", {}, title), make("p", { class: "muted" }, hint));
    this.host.append(this.message);
    this.layers?.clear();
    this.chosen = new Uint32Array();
  }

  // -- geometry --------------------------------------------------------------------------------

  /** Where axes stand, in pixels from above and from the left. */
  layout() {
    return layOut(this.axes, this.size ?? { width: 800, height: 400 });
  }

  /** Draws all of it: axes, runs, brushes. */
  #refresh() {
    this.size = { width: this.plot?.clientWidth || 800, height: this.plot?.clientHeight || 300 };
    this.layers?.resize(this.size);
    this.heights = computeHeights(this.axes, this.layout());
    this.#computeColours();
    this.overlay?.build();
    this.#drawTop();
    if (this.layers) this.layers.isGreyStale = true;
    this.#choose(false);
  }

  #drawTop() {
    const layout = this.layout();
    const at = this.hovered;
    const run = at < 0 || !this.heights ? null : { x: layout.xs, y: this.heights.map((one) => one[at]), colour: this.colourAt(at) };
    this.layers?.drawTop(makeStrokes(this.axes, layout), run);
  }

  // -- colours ---------------------------------------------------------------------------------

  #computeColours() {
    const column = this.table?.columns.get(this.colourKey);
    const scale = this.axes.find((one) => one.key === column?.key)?.scale;
    /** @type {Colouring | null} */
    this.colouring = column ? new Colouring(column, this.settings, scale) : null;
  }

  /** @param {number} run @returns {string} */
  colourAt(run) {
    return this.colouring?.at(run) ?? token("--accent");
  }

  // -- choosing --------------------------------------------------------------------------------

  /** Finds and draws what the brushes hold. @param {boolean} isDragging */
  #choose(isDragging) {
    const { table } = this;
    if (!table) return;
    this.hits = findHits(this.axes, table.ids.length);
    if (this.others) {
      const { others } = this;
      table.ids.forEach((id, i) => {
        if (!others.has(id)) this.hits[i] = 0;
      });
    }
    const chosen = this.order.filter((run) => this.hits[run]);
    this.chosen = chosen;
    const isAll = chosen.length === table.ids.length;
    const geometry = { xs: this.layout().xs, heights: this.heights ?? [] };
    if (isAll) this.layers?.hideGrey();
    else this.layers?.showGrey(this.order, geometry);
    const shown = isDragging ? chosen.subarray(0, this.draggedLines) : chosen;
    if (isDragging) this.#paceSteps();
    this.layers?.drawChosen(shown, geometry, (run) => this.colourAt(run));
    if (this.summary && !isDragging) this.summary.textContent = this.describe();
    this.host.dispatchEvent(new CustomEvent("choose", { detail: { isDragging, isAll } }));
  }

  /** Draws fewer lines at the next step if this one takes too long, and more again if it does not. */
  #paceSteps() {
    const begun = performance.now();
    requestAnimationFrame(() => setTimeout(() => {
      const tookMs = performance.now() - begun;
      const factor = tookMs > STEP_MS ? 0.6 : tookMs < STEP_MS / 2 ? 1.25 : 1;
      this.draggedLines = Math.round(Math.min(Math.max(this.draggedLines * factor, DRAGGED_LINES_MIN), DRAGGED_LINES));
    }));
  }

  /** @param {Axis} axis @param {Interval[]} intervals @param {boolean} isDragging */
  brush(axis, intervals, isDragging) {
    axis.intervals = intervals;
    this.overlay?.showBrushes(axis);
    this.#choose(isDragging);
    if (!isDragging) this.#settle();
  }

  clearBrushes() {
    this.others = null;
    for (const axis of this.axes) {
      axis.intervals = [];
      this.overlay?.showBrushes(axis);
    }
    this.#choose(false);
    this.#settle();
  }

  /** A change that is to be kept, and told to others. */
  #settle() {
    this.#keepAxes();
    this.settings.brushes = Object.fromEntries(
      this.axes.filter((one) => one.intervals.length).map((one) => [one.key, writeIntervals(one.intervals, one.scale)]),
    );
    this.isTelling = true;
    this.context.select(this.axes.some((one) => one.intervals.length) ? this.chosenIds() : null);
    this.isTelling = false;
    this.host.dispatchEvent(new CustomEvent("panelchange", { bubbles: true }));
  }

  /** The axes as settings, for the address or a workspace. @param {string[]} more keys of axes to come */
  #keepAxes(more = []) {
    this.settings.axes = this.axes.map(({ key, isFlipped, wanted }) => ({ key, flip: isFlipped, scale: wanted }));
    this.settings.columns = [...this.axes.map((one) => one.key), ...more];
  }

  /** Ids of what is chosen, in the order of the runs. */
  chosenIds() {
    return (this.table?.ids ?? []).filter((_, i) => this.hits[i]);
  }

  /** The brushes as a filter of the runs table. */
  filterText() {
    return writeFilter(this.axes);
  }

  /** @param {string[] | null} runs */
  #followSelection(runs) {
    if (this.isRemoved || this.isTelling || !this.table) return;
    this.others = runs ? new Set(runs) : null;
    this.#choose(false);
  }

  // -- axes ------------------------------------------------------------------------------------

  /** @param {number} from @param {number} to */
  move(from, to) {
    if (to < 0 || to >= this.axes.length) return;
    const [axis] = this.axes.splice(from, 1);
    this.axes.splice(to, 0, axis);
    this.#refresh();
    this.#settle();
  }

  /** @param {Axis} axis @param {{flip?: boolean, scale?: string}} options */
  #replace(axis, options) {
    const made = new Axis(axis.column, { flip: axis.isFlipped, scale: axis.wanted, ...options });
    made.intervals = axis.intervals;
    this.axes[this.axes.indexOf(axis)] = made;
    this.#refresh();
    this.#settle();
  }

  /** @param {Axis} axis */
  flip(axis) {
    this.#replace(axis, { flip: !axis.isFlipped });
  }

  /** @param {Axis} axis */
  switchLog(axis) {
    if (axis.column.kind === "number") this.#replace(axis, { scale: axis.scale.kind === "log" ? "linear" : "log" });
  }

  /** @param {Axis} axis */
  drop(axis) {
    if (this.axes.length <= 2) return;
    this.axes = this.axes.filter((one) => one !== axis);
    this.#refresh();
    this.#settle();
  }

  /** @param {string} key */
  async add(key) {
    this.#keepAxes([key]);
    await this.load();
    this.#settle();
  }

  /** @param {Axis | string} axis */
  async colourBy(axis) {
    const key = typeof axis === "string" ? axis : axis.key;
    Object.assign(this.settings, { color: key, low: null, high: null });
    if (this.table?.columns.has(key)) this.#refresh();
    else await this.load();
    this.#settle();
  }

  // -- pointer ---------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  #hover(event) {
    if (event.buttons || !this.table || !this.plot) return hideTip();
    const box = this.plot.getBoundingClientRect();
    const place = { x: event.clientX - box.left, y: box.height - (event.clientY - box.top) };
    const run = findNearest(place, this.layout().xs, this.heights ?? [], this.chosen ?? []);
    if (run !== this.hovered) {
      this.hovered = run;
      this.#drawTop();
      this.isTelling = true;
      this.context.highlight(run < 0 ? null : this.table.ids[run]);
      this.isTelling = false;
    }
    if (run < 0) return hideTip();
    const rows = this.axes.map((axis) => ({
      label: shortName(axis.key), value: axis.scale.format(axis.values[run]),
      colour: axis.key === this.colourKey ? this.colourAt(run) : undefined, isNear: axis.key === this.colourKey,
    }));
    return showTip(event, this.table.names[run] || this.table.ids[run], "", rows);
  }

  #leave() {
    hideTip();
    if (this.hovered < 0) return;
    this.hovered = -1;
    this.#drawTop();
    this.context.highlight(null);
  }

  /** @param {string | null} run */
  #followHighlight(run) {
    if (this.isRemoved || this.isTelling || !this.table) return;
    const at = run === null ? -1 : this.table.ids.indexOf(run);
    if (at === this.hovered) return;
    this.hovered = at;
    this.#drawTop();
  }

  // -- the panel -------------------------------------------------------------------------------

  resize() {
    const isSame = this.plot?.clientWidth === this.size?.width && this.plot?.clientHeight === this.size?.height;
    // Building it anew would take a head out of the hand that drags it.
    if (this.table && this.layers && !isSame) this.#refresh();
  }

  repaint() {
    if (this.table && this.layers) this.#refresh();
  }

  describe() {
    if (!this.table) return "";
    const total = this.table.ids.length;
    const chosen = this.chosen?.length ?? 0;
    const parts = [chosen === total ? formatCount(total, "run") : `${chosen.toLocaleString("en")} of ${formatCount(total, "run")}`];
    const lacking = this.axes.filter((axis) => axis.hasMissing);
    if (lacking.length) parts.push(`${formatCount(lacking.length, "axis").replace("axiss", "axes")} with runs without a value, drawn below`);
    const infinite = this.axes.reduce((sum, axis) => sum + (axis.column.infinite ?? 0), 0);
    if (infinite) parts.push(`${formatCount(infinite, "infinite value")} shown as none`);
    return parts.join(" · ");
  }

  remove() {
    this.abort?.abort();
    this.layers?.remove();
    this.host.replaceChildren();
    this.isRemoved = true;
  }
}
