// A heat map: two columns in bins, the colour is what the runs of a cell have.
import { formatCount, formatNumber } from "../base/format.js";
import { token } from "../base/tokens.js";
import { shortName } from "./columns.js";
import { scaleField } from "./box.js";
import { makeRamp } from "./colouring.js";
import { inkOn, mix, paletteFor, PALETTES } from "./palette.js";
import { describeBin, scaleOf } from "./histogram.js";
import { AnswerPanel } from "./plot.js";
import { formatShort } from "./scale.js";

const LABELLED_CELLS_MAX = 80;
const AGGREGATES = [
  { value: "mean", label: "Mean" }, { value: "median", label: "Median" }, { value: "min", label: "Smallest" }, { value: "max", label: "Largest" },
  { value: "std", label: "Standard deviation" }, { value: "count", label: "Number of runs" },
];

export default class HeatmapPanel extends AnswerPanel {
  static needs = ["x", "y"];

  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    // A new panel is given a metric as y: here that is what is coloured.
    if (this.settings.y && !this.settings.x && this.settings.color === undefined) {
      this.settings.color = this.settings.y;
      delete this.settings.y;
    }
    const [first, second] = defaults.parameters();
    const [metric] = defaults.metrics();
    this.settings.x ||= first ?? "";
    this.settings.y ||= second ?? first ?? "";
    if (this.settings.color === undefined) this.settings.color = metric ?? "";
    this.settings.aggregate ||= this.settings.color ? "mean" : "count";
  }

  get isCount() {
    return this.settings.aggregate === "count";
  }

  title() {
    const what = this.isCount ? "Runs" : `${AGGREGATES.find((one) => one.value === this.settings.aggregate)?.label ?? ""} ${shortName(this.settings.color ?? "")}`;
    return `${what} by ${shortName(this.settings.x || "x")} and ${shortName(this.settings.y || "y")}`;
  }

  fields() {
    return [
      { name: "x", label: "Across", kind: /** @type {const} */ ("column") },
      { name: "y", label: "Up", kind: /** @type {const} */ ("column") },
      { name: "color", label: "Colour", kind: /** @type {const} */ ("column") },
      { name: "aggregate", label: "Of the runs of a cell", kind: /** @type {const} */ ("choice"), choices: AGGREGATES },
      { name: "palette", label: "Palette", kind: /** @type {const} */ ("choice"), choices: PALETTES },
      scaleField("x_scale", "Axis across"), scaleField("y_scale", "Axis up"),
    ];
  }

  draw() {
    const { x_axis: across, y_axis: up, values } = this.answer;
    const [x, y] = [scaleOf(across), scaleOf(up)];
    const [xs, ys] = [across.edges.map((/** @type {number} */ one) => x.at(one)), up.edges.map((/** @type {number} */ one) => y.at(one))];
    const known = values.flat().filter((/** @type {any} */ one) => one !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const palette = this.settings.palette || (this.isCount ? "viridis" : paletteFor(this.settings.color));
    const cells = { left: /** @type {number[]} */ ([]), right: /** @type {number[]} */ ([]), bottom: /** @type {number[]} */ ([]), top: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]), alpha: /** @type {number[]} */ ([]), line: /** @type {string[]} */ ([]) };
    const texts = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), text: /** @type {string[]} */ ([]), color: /** @type {string[]} */ ([]) };
    const isLabelled = values.length * values[0].length <= LABELLED_CELLS_MAX;
    const line = token("--surface");
    values.forEach((/** @type {(number | null)[]} */ row, /** @type {number} */ j) => row.forEach((value, i) => {
      if (value === null) return;
      const rgb = mix(palette, high > low ? (value - low) / (high - low) : 0.5);
      cells.left.push(xs[i]);
      cells.right.push(xs[i + 1]);
      cells.bottom.push(ys[j]);
      cells.top.push(ys[j + 1]);
      cells.color.push(`rgb(${rgb.join(",")})`);
      cells.alpha.push(1);
      cells.line.push(line);
      if (!isLabelled) return;
      texts.x.push((xs[i] + xs[i + 1]) / 2);
      texts.y.push((ys[j] + ys[j + 1]) / 2);
      texts.text.push(formatShort(Number(value.toPrecision(3))));
      texts.color.push(inkOn(rgb));
    }));
    this.drawPlot(
      { x: { scale: x, range: [xs[0], xs.at(-1)], label: across.key }, y: { scale: y, range: [ys[0], ys.at(-1)], label: up.key } },
      { cells, texts },
    );
    this.legend?.replaceChildren(...(known.length ? [makeRamp(this.isCount ? "runs" : shortName(this.settings.color), palette, formatNumber(low), formatNumber(high))] : []));
  }

  /** @param {number} x @param {number} y @returns {[number, number] | null} */
  #cellAt(x, y) {
    const { x_axis: across, y_axis: up } = this.answer;
    const find = (/** @type {any} */ axis, /** @type {number} */ place) => {
      const scale = scaleOf(axis);
      return axis.edges.findIndex((/** @type {number} */ edge, /** @type {number} */ i) => i + 1 < axis.edges.length && place >= scale.at(edge) && place <= scale.at(axis.edges[i + 1]));
    };
    const [i, j] = [find(across, x), find(up, y)];
    return i < 0 || j < 0 ? null : [i, j];
  }

  /** @param {number} x @param {number} y */
  tipAt(x, y) {
    const cell = this.#cellAt(x, y);
    if (!cell) return null;
    const [i, j] = cell;
    const { x_axis: across, y_axis: up, values, counts } = this.answer;
    const rows = [{ label: shortName(across.key), value: describeBin(across, i) }, { label: shortName(up.key), value: describeBin(up, j) }];
    const value = values[j][i];
    if (!this.isCount) rows.push({ label: `${this.settings.aggregate} ${shortName(this.settings.color)}`, value: value === null ? "no run" : formatNumber(value) });
    return { title: formatCount(counts[j][i], "run"), rows };
  }

  describe() {
    if (!this.answer) return "";
    return `${super.describe()} · ${this.answer.values[0].length} × ${this.answer.values.length} cells`;
  }

  exportRows() {
    if (!this.answer) return null;
    const { x_axis: across, y_axis: up, values } = this.answer;
    const names = values[0].map((/** @type {any} */ _, /** @type {number} */ i) => describeBin(across, i));
    return { columns: [`${up.key} \\ ${across.key}`, ...names], rows: values.map((/** @type {any[]} */ row, /** @type {number} */ j) => [describeBin(up, j), ...row]) };
  }
}
