// Bars: the mean of a column per group with an error bar, or one bar per run.
import { formatNumber } from "../base/format.js";
import { colourOf, token } from "../base/tokens.js";
import { shortName } from "./columns.js";
import { AnswerPanel, describeKnown } from "./plot.js";
import { padRange, Scale } from "./scale.js";

const HALF = 0.36;
const LABELLED_MAX = 24;
const SPREADS = [
  { value: "std", label: "Standard deviation" }, { value: "stderr", label: "Standard error" },
  { value: "ci", label: "95 % interval of the mean (bootstrap)" }, { value: "minmax", label: "Smallest to largest" }, { value: "none", label: "None" },
];

export default class BarPanel extends AnswerPanel {
  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    this.settings.y ||= defaults.metrics()[0] ?? "";
    if (this.settings.group === undefined) this.settings.group = defaults.group();
  }

  title() {
    const group = this.settings.group ? ` by ${shortName(this.settings.group)}` : "";
    return `${shortName(this.settings.y || "Bars")}${group}`;
  }

  fields() {
    return [
      { name: "y", label: "Value", kind: /** @type {const} */ ("column") },
      { name: "group", label: "Group by", kind: /** @type {const} */ ("column"), hint: "empty: one bar for each run; @config-but-seed: runs that differ in their seed alone" },
      { name: "center", label: "Bar", kind: /** @type {const} */ ("choice"), choices: [{ value: "mean", label: "Mean" }, { value: "median", label: "Median" }] },
      { name: "spread", label: "Error bar", kind: /** @type {const} */ ("choice"), choices: SPREADS },
      { name: "order", label: "Order", kind: /** @type {const} */ ("choice"), choices: [{ value: "value", label: "Largest first" }, { value: "label", label: "By name" }] },
    ];
  }

  draw() {
    const { bars } = this.answer;
    const side = this.settings.center === "median" ? "median" : "mean";
    // The first bar is the uppermost.
    const scale = new Scale("category", bars.map((/** @type {any} */ one) => one.label || "all runs").reverse());
    const last = bars.length - 1;
    let [low, high] = [0, 0];
    for (const one of bars) {
      low = Math.min(low, one.low, one[side]);
      high = Math.max(high, one.high, one[side]);
    }
    const barColour = (/** @type {any} */ one, /** @type {number} */ i) => (this.settings.group ? colourOf(i) : this.context.colourOf(this.answer.ids[one.rows[0]]));
    const at = bars.map((/** @type {any} */ _, /** @type {number} */ i) => last - i);
    const isSpread = this.settings.group && this.settings.spread !== "none";
    const ink = token("--text");
    const isLabelled = bars.length <= LABELLED_MAX;
    const [start, end] = padRange(low, high, 0);
    const room = (end - start) * (isLabelled ? 0.14 : 0.03);
    const value = new Scale("linear");
    this.drawPlot(
      {
        x: { scale: value, range: [low < 0 ? start - room : 0, high > 0 ? end + room : 0], label: this.settings.y },
        y: { scale, range: scale.range([]), label: "" },
      },
      {
        cells: {
          left: bars.map((/** @type {any} */ one) => Math.min(0, one[side])), right: bars.map((/** @type {any} */ one) => Math.max(0, one[side])),
          bottom: at.map((/** @type {number} */ y) => y - HALF), top: at.map((/** @type {number} */ y) => y + HALF),
          color: bars.map(barColour), alpha: bars.map(() => 0.85), line: bars.map(() => "transparent"),
        },
        lines: isSpread ? makeSpreads(bars, at, ink) : undefined,
        texts: isLabelled ? {
          x: bars.map((/** @type {any} */ one) => Math.max(0, one[side], isSpread ? one.high : 0) + room * 0.5), y: at,
          text: bars.map((/** @type {any} */ one) => formatNumber(one[side])), color: bars.map(() => ink),
        } : undefined,
      },
    );
  }

  /** @param {number} y */
  #barAt(y) {
    return this.answer.bars[this.answer.bars.length - 1 - Math.round(y)] ?? null;
  }

  /** @param {number} _x @param {number} y */
  tipAt(_x, y) {
    const one = this.#barAt(y);
    if (!one) return null;
    const rows = [{ label: "mean", value: formatNumber(one.mean), isNear: true }];
    if (one.n > 1) {
      rows.push({ label: "median", value: formatNumber(one.median), isNear: false });
      if (this.settings.spread !== "none") rows.push({ label: "error bar", value: `${formatNumber(one.low)} to ${formatNumber(one.high)}`, isNear: false });
    }
    return { title: one.label || "all runs", where: `${one.n.toLocaleString("en")} ${one.n === 1 ? "run" : "runs"}`, rows };
  }

  /** @param {number} x @param {number} y */
  rowsAt(x, y) {
    const one = this.#barAt(y);
    const side = one && (this.settings.center === "median" ? one.median : one.mean);
    return one && x >= Math.min(0, side) && x <= Math.max(0, side) ? one.rows : [];
  }

  describe() {
    if (!this.answer) return "";
    const { bars, hidden, known, runs, infinite } = this.answer;
    const parts = [describeKnown(known, runs, infinite)];
    if (this.settings.group) {
      const spread = SPREADS.find((one) => one.value === (this.settings.spread || "std"));
      parts.push(`${bars.length} groups`, this.settings.spread === "none" ? "" : `error bars: ${spread?.label.toLowerCase()}`);
    }
    if (hidden) parts.push(`${hidden.toLocaleString("en")} ${this.settings.order === "label" ? "more" : "lower ones"} are not drawn`);
    return parts.filter(Boolean).join(" · ");
  }

  exportRows() {
    if (!this.answer) return null;
    return { columns: ["group", "runs", "mean", "median", "low", "high"], rows: this.answer.bars.map((/** @type {any} */ one) => [one.label, one.n, one.mean, one.median, one.low, one.high]) };
  }
}

/** @param {any[]} bars @param {number[]} at @param {string} colour */
function makeSpreads(bars, at, colour) {
  const shown = bars.flatMap((one, i) => (one.n > 1 && one.high > one.low ? [{ one, y: at[i] }] : []));
  /** @type {number[][]} */
  const xs = [];
  /** @type {number[][]} */
  const ys = [];
  for (const { one, y } of shown) {
    xs.push([one.low, one.low, NaN, one.low, one.high, NaN, one.high, one.high]);
    ys.push([y - 0.14, y + 0.14, NaN, y, y, NaN, y - 0.14, y + 0.14]);
  }
  return { xs, ys, color: shown.map(() => colour), width: shown.map(() => 1.5), alpha: shown.map(() => 0.75) };
}
