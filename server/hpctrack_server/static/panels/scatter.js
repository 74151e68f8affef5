// A scatter plot: any two columns, colour and size by others, boxes and lassos that choose runs.
import { make } from "../base/dom.js";
import { token } from "../base/tokens.js";
import { scaleField } from "./box.js";
import { Colouring } from "./colouring.js";
import { fetchColumns, quantile, shortName } from "./columns.js";
import { PALETTES } from "./palette.js";
import { findFront } from "./pareto.js";
import { describeKnown, PlotPanel } from "./plot.js";
import { Scale } from "./scale.js";

const NEAR_PX = 10;
const PADDING = 0.04;
const FRONTS = [
  { value: "", label: "None" }, { value: "low-low", label: "Small and small is best" }, { value: "low-high", label: "Small across, large up" },
  { value: "high-low", label: "Large across, small up" }, { value: "high-high", label: "Large and large is best" },
];

export default class ScatterPanel extends PlotPanel {
  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    /** @type {number[]} rows of what is drawn */
    this.rows = [];
    this.isTelling = false;
    this.hovered = -1;
    /** @type {HTMLElement | null} */
    this.mark = null;
    context.onSelect((runs) => this.#followSelection(runs));
    context.onHighlight((run) => this.#followHighlight(run));
  }

  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    const [parameter, other] = defaults.numbers();
    const [metric, second] = defaults.metrics();
    this.settings.x ||= parameter ?? second ?? "";
    this.settings.y ||= metric ?? other ?? "";
  }

  title() {
    return `${shortName(this.settings.y || "y")} over ${shortName(this.settings.x || "x")}`;
  }

  fields() {
    return [
      { name: "x", label: "Across", kind: /** @type {const} */ ("column") },
      { name: "y", label: "Up", kind: /** @type {const} */ ("column") },
      { name: "color", label: "Colour", kind: /** @type {const} */ ("column"), hint: "empty: each run its own" },
      { name: "size", label: "Size", kind: /** @type {const} */ ("column") },
      { name: "front", label: "Pareto front", kind: /** @type {const} */ ("choice"), choices: FRONTS },
      { name: "palette", label: "Palette", kind: /** @type {const} */ ("choice"), choices: PALETTES },
      { name: "low", label: "Colours from", kind: /** @type {const} */ ("number") },
      { name: "high", label: "Colours to", kind: /** @type {const} */ ("number") },
      scaleField("x_scale", "Axis across"), scaleField("y_scale", "Axis up"),
    ];
  }

  async load() {
    const abort = this.begin();
    await this.prepare();
    await this.mount();
    const { x, y, color, size } = this.settings;
    if (!x || !y) return this.sayEmpty("Nothing is chosen yet", "Choose columns in the settings of this panel.");
    const keys = [...new Set([x, y, color, size].filter(Boolean))];
    const table = await fetchColumns(this.context.project, this.context.selection(), keys, abort.signal);
    if (this.isRemoved || abort.signal.aborted) return undefined;
    if (!table.ids.length) return this.sayEmpty("No runs", "No run is chosen on this page.");
    this.table = table;
    this.answer = { ids: table.ids, names: table.names };
    this.#addTools();
    this.draw();
    return undefined;
  }

  #addTools() {
    if (this.tools || !this.box || !this.figure) return;
    const [box, lasso] = [this.figure.find("box"), this.figure.find("lasso")];
    const button = make("button", { type: "button", class: "plot-tool", "aria-pressed": "false", title: "Drag a free shape instead of a box" }, "Lasso");
    button.addEventListener("click", () => {
      const isLasso = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isLasso));
      box.active = !isLasso;
      lasso.active = isLasso;
    });
    this.tools = make("div", { class: "plot-tools" }, button);
    this.host.append(this.tools);
    this.figure.find("points").selected.properties.indices.change.connect(() => this.#onChosen());
  }

  draw() {
    const { table, settings } = this;
    if (!table) return;
    const [x, y] = [table.columns.get(settings.x), table.columns.get(settings.y)];
    if (!x || !y) return;
    const axes = [Scale.of(x, settings.x_scale), Scale.of(y, settings.y_scale)];
    const [px, py] = [placeAll(x, axes[0], table.ids.length), placeAll(y, axes[1], table.ids.length)];
    this.rows = [...table.ids.keys()].filter((row) => !Number.isNaN(px[row]) && !Number.isNaN(py[row]));
    if (!this.rows.length) return this.sayEmpty("No run has both columns", `None of ${table.ids.length.toLocaleString("en")} runs has ${shortName(settings.x)} and ${shortName(settings.y)}.`);
    const colour = settings.color && table.columns.get(settings.color);
    const colouring = colour ? new Colouring(colour, settings) : null;
    const sizes = this.#sizes();
    const front = settings.front ? this.#front() : [];
    const many = this.rows.length;
    this.drawPlot(
      {
        x: { scale: axes[0], range: axes[0].range(x.values, PADDING), label: settings.x },
        y: { scale: axes[1], range: axes[1].range(y.values, PADDING), label: settings.y },
      },
      {
        points: {
          x: this.rows.map((row) => px[row]), y: this.rows.map((row) => py[row]),
          color: this.rows.map((row) => colouring?.at(row) ?? this.context.colourOf(table.ids[row])),
          size: this.rows.map((row) => sizes(row)), alpha: this.rows.map(() => (many > 3000 ? 0.45 : many > 500 ? 0.6 : 0.8)),
        },
        lines: this.#lines(front, px, py),
      },
    );
    this.frontCount = front.length;
    this.legend?.replaceChildren(...(colouring ? [colouring.makeLegend()] : []));
    return undefined;
  }

  #sizes() {
    const column = this.settings.size && this.table?.columns.get(this.settings.size);
    const plain = this.rows.length > 3000 ? 4 : this.rows.length > 500 ? 5 : 7;
    if (!column) return () => plain;
    const [low, high] = [quantile(column.values, 0.02), quantile(column.values, 0.98)];
    const [least, more] = plain < 5 ? [2.5, 7] : [4, 14];
    return (/** @type {number} */ row) => {
      const part = high > low ? (column.values[row] - low) / (high - low) : 0.5;
      // Areas are what is compared: the diameter grows by the root.
      return Number.isNaN(part) ? least - 1 : least + more * Math.sqrt(Math.min(Math.max(part, 0), 1));
    };
  }

  #front() {
    const { table, settings } = this;
    const [x, y] = [table?.columns.get(settings.x), table?.columns.get(settings.y)];
    if (!x || !y) return [];
    const [across, up] = settings.front.split("-");
    return findFront(x.values, y.values, { isLessX: across === "low", isLessY: up === "low" });
  }

  /** The front as steps, and a ring around the run under the pointer. @param {number[]} front @param {Float64Array} px @param {Float64Array} py */
  #lines(front, px, py) {
    /** @type {number[]} */
    const xs = [];
    /** @type {number[]} */
    const ys = [];
    front.forEach((row, i) => {
      if (i) {
        xs.push(px[row]);
        ys.push(/** @type {number} */ (ys.at(-1)));
      }
      xs.push(px[row]);
      ys.push(py[row]);
    });
    return front.length ? { xs: [xs], ys: [ys], color: [token("--text")], width: [1.5], alpha: [0.7] } : undefined;
  }

  // -- choosing --------------------------------------------------------------------------------

  #onChosen() {
    if (this.isTelling || !this.figure) return;
    const { indices } = this.figure.find("points").selected;
    this.isTelling = true;
    this.context.select(indices.length ? indices.map((/** @type {number} */ i) => this.answer.ids[this.rows[i]]) : null);
    this.isTelling = false;
    this.host.dispatchEvent(new CustomEvent("choose"));
  }

  /** @param {string[] | null} runs */
  #followSelection(runs) {
    if (this.isRemoved || this.isTelling || !this.figure || !this.answer) return;
    const wanted = new Set(runs ?? []);
    const indices = runs ? this.rows.flatMap((row, i) => (wanted.has(this.answer.ids[row]) ? [i] : [])) : [];
    this.isTelling = true;
    this.figure.find("points").selected.indices = indices;
    this.isTelling = false;
    this.host.dispatchEvent(new CustomEvent("choose"));
  }

  /** @param {string | null} run */
  #followHighlight(run) {
    if (this.isRemoved || !this.figure || !this.axes || !this.answer || this.isTelling) return;
    const at = run === null ? -1 : this.rows.findIndex((row) => this.answer.ids[row] === run);
    this.#ring(at);
  }

  /** @param {number} at in `rows` */
  #ring(at) {
    if (at === this.hovered || !this.box || !this.figure) return;
    this.hovered = at;
    this.mark ??= this.box.appendChild(make("i", { class: "plot-mark", hidden: true }));
    this.mark.hidden = at < 0;
    if (at < 0) return;
    const { data } = this.figure.find("points");
    const { frame } = this.figure.view;
    this.mark.style.left = `${frame.x_scale.compute(data.x[at])}px`;
    this.mark.style.top = `${frame.y_scale.compute(data.y[at])}px`;
  }

  /** @param {number} _x @param {number} _y @param {MouseEvent} event */
  tipAt(_x, _y, event) {
    const at = this.#nearest(event);
    this.#ring(at);
    this.isTelling = true;
    this.context.highlight(at < 0 ? null : this.answer.ids[this.rows[at]]);
    this.isTelling = false;
    if (at < 0 || !this.table) return null;
    const { table, settings } = this;
    const row = this.rows[at];
    const keys = [...new Set([settings.x, settings.y, settings.color, settings.size].filter(Boolean))];
    const rows = keys.flatMap((key) => {
      const column = table.columns.get(key);
      return column ? [{ label: shortName(key), value: Scale.of(column).format(column.values[row]), isNear: key === settings.y }] : [];
    });
    return { title: table.names[row] || table.ids[row], rows };
  }

  /** @param {MouseEvent} event */
  #nearest(event) {
    if (!this.figure) return -1;
    const box = this.figure.view.canvas_view.el.getBoundingClientRect();
    const { x_scale: across, y_scale: up } = this.figure.view.frame;
    const { data } = this.figure.find("points");
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    let [best, distance] = [-1, NEAR_PX];
    for (let i = 0; i < data.x.length; i++) {
      const away = Math.hypot(across.compute(data.x[i]) - sx, up.compute(data.y[i]) - sy);
      if (away < distance) [best, distance] = [i, away];
    }
    return best;
  }

  leave() {
    super.leave();
    this.#ring(-1);
    this.context.highlight(null);
  }

  resetZoom() {
    super.resetZoom();
    if (this.figure) this.figure.find("points").selected.indices = [];
  }

  describe() {
    if (!this.table || !this.answer) return "";
    const columns = [this.settings.x, this.settings.y].map((key) => this.table?.columns.get(key));
    const infinite = columns.reduce((sum, one) => sum + (one?.infinite ?? 0), 0);
    const parts = [describeKnown(this.rows.length, this.table.ids.length, infinite).replace("have a value", "have both")];
    const chosen = this.figure?.find("points").selected.indices.length ?? 0;
    if (chosen) parts.push(`${chosen.toLocaleString("en")} chosen`);
    if (this.settings.front) parts.push(`${this.frontCount} on the Pareto front`);
    return parts.join(" · ");
  }

  exportRows() {
    const { table, settings } = this;
    if (!table) return null;
    const keys = [settings.x, settings.y, settings.color, settings.size].filter(Boolean);
    return {
      columns: ["run", "name", ...keys],
      rows: this.rows.map((row) => [table.ids[row], table.names[row], ...keys.map((key) => {
        const column = table.columns.get(key);
        if (!column || Number.isNaN(column.values[row])) return null;
        return column.kind === "category" ? column.labels[column.values[row]] : column.values[row];
      })]),
    };
  }
}

/** @param {import("./columns.js").Column} column @param {Scale} scale @param {number} count */
function placeAll(column, scale, count) {
  const found = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    // Runs of one category would hide each other.
    const shift = scale.kind === "category" ? (((i * 2654435761) >>> 0) / 2 ** 32 - 0.5) * 0.5 : 0;
    found[i] = scale.at(column.values[i]) + shift;
  }
  return found;
}
