// A histogram of a column over runs, stacked by group.
import { formatCount } from "../base/format.js";
import { colourOf, token } from "../base/tokens.js";
import { shortName } from "./columns.js";
import { scaleField } from "./box.js";
import { makeKeys } from "./colouring.js";
import { AnswerPanel } from "./plot.js";
import { Scale } from "./scale.js";

export default class HistogramPanel extends AnswerPanel {
  static needs = ["x"];

  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    this.settings.x ||= this.settings.y || (defaults.metrics()[0] ?? "");
    delete this.settings.y;
  }

  title() {
    return `Histogram of ${shortName(this.settings.x || "a column")}`;
  }

  fields() {
    return [
      { name: "x", label: "Column", kind: /** @type {const} */ ("column") },
      { name: "bins", label: "Bins", kind: /** @type {const} */ ("number"), hint: "empty: chosen by the Freedman-Diaconis rule" },
      { name: "group", label: "Stack by", kind: /** @type {const} */ ("column") },
      scaleField("x_scale", "Axis"),
    ];
  }

  draw() {
    const { axis, series } = this.answer;
    const x = scaleOf(axis);
    const places = axis.edges.map((/** @type {number} */ edge) => x.at(edge));
    const cells = { left: /** @type {number[]} */ ([]), right: /** @type {number[]} */ ([]), bottom: /** @type {number[]} */ ([]), top: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]), alpha: /** @type {number[]} */ ([]), line: /** @type {string[]} */ ([]) };
    const heights = new Float64Array(places.length - 1);
    const surface = token("--surface");
    series.forEach((/** @type {any} */ one, /** @type {number} */ i) => {
      one.counts.forEach((/** @type {number} */ count, /** @type {number} */ bin) => {
        if (!count) return;
        cells.left.push(places[bin]);
        cells.right.push(places[bin + 1]);
        cells.bottom.push(heights[bin]);
        heights[bin] += count;
        cells.top.push(heights[bin]);
        cells.color.push(colourOf(i));
        cells.alpha.push(0.85);
        cells.line.push(surface);
      });
    });
    this.heights = heights;
    const y = new Scale("linear");
    this.drawPlot(
      { x: { scale: x, range: [places[0], places.at(-1)], label: axis.key }, y: { scale: y, range: [0, Math.max(1, ...heights) * 1.05], label: "runs" } },
      { cells },
    );
    this.legend?.replaceChildren(...(series.length > 1 ? [makeKeys(series.map((/** @type {any} */ one, /** @type {number} */ i) => ({ label: one.label, colour: colourOf(i) })))] : []));
  }

  /** @param {number} x */
  #binAt(x) {
    const { axis } = this.answer;
    const scale = scaleOf(axis);
    const edges = axis.edges.map((/** @type {number} */ edge) => scale.at(edge));
    for (let bin = 0; bin < edges.length - 1; bin++) if (x >= edges[bin] && x <= edges[bin + 1]) return bin;
    return -1;
  }

  /** @param {number} x */
  tipAt(x) {
    const bin = this.#binAt(x);
    if (bin < 0) return null;
    const { axis, series } = this.answer;
    const where = formatCount(this.heights?.[bin] ?? 0, "run");
    const rows = series.filter((/** @type {any} */ one) => one.counts[bin] && series.length > 1).map((/** @type {any} */ one) => ({ label: one.label, value: String(one.counts[bin]), colour: colourOf(series.indexOf(one)) }));
    return { title: describeBin(axis, bin), where, rows };
  }

  /** @param {number} x @param {number} y */
  rowsAt(x, y) {
    const bin = this.#binAt(x);
    return bin >= 0 && y <= (this.heights?.[bin] ?? 0) ? this.answer.rows[bin] : [];
  }

  describe() {
    if (!this.answer) return "";
    return `${super.describe()} · ${formatCount(this.answer.axis.edges.length - 1, "bin")}${this.answer.axis.is_log ? ", equal in the logarithm" : ""}`;
  }

  exportRows() {
    if (!this.answer) return null;
    const { axis, series } = this.answer;
    return {
      columns: ["from", "to", ...series.map((/** @type {any} */ one) => one.label || "runs")],
      rows: axis.edges.slice(1).map((/** @type {number} */ end, /** @type {number} */ i) => [axis.labels[i] ?? axis.edges[i], axis.labels[i] ?? end, ...series.map((/** @type {any} */ one) => one.counts[i])]),
    };
  }
}

/** @param {any} axis as the server describes bins */
export function scaleOf(axis) {
  if (axis.labels?.length) return new Scale("category", axis.labels);
  if (axis.kind === "time") return new Scale("time");
  return new Scale(axis.is_log ? "log" : "linear");
}

/** @param {any} axis @param {number} bin */
export function describeBin(axis, bin) {
  if (axis.labels?.length) return axis.labels[bin];
  const scale = scaleOf(axis);
  return `${scale.format(axis.edges[bin])} to ${scale.format(axis.edges[bin + 1])}`;
}
