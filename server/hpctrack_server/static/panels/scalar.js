// One number: the best, the mean, the newest of a column, and whose it is.
import { address } from "../base/api.js";
import { make } from "../base/dom.js";
import { formatNumber } from "../base/format.js";
import { TablePanel } from "./answer.js";
import { shortName } from "./columns.js";
import { describeKnown } from "./plot.js";

const AGGREGATES = [
  { value: "max", label: "Largest" }, { value: "min", label: "Smallest" }, { value: "mean", label: "Mean" }, { value: "median", label: "Median" },
  { value: "newest", label: "Newest run's" }, { value: "sum", label: "Sum" }, { value: "count", label: "Number of runs" },
];

export default class ScalarPanel extends TablePanel {
  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    this.settings.y ||= defaults.metrics()[0] ?? "";
    // Of a loss the smallest is what one looks for.
    this.settings.aggregate ||= /loss|err|perplex|time|mae|mse/i.test(this.settings.y) ? "min" : "max";
  }

  title() {
    const how = AGGREGATES.find((one) => one.value === this.settings.aggregate)?.label ?? "";
    return `${how} ${shortName(this.settings.y || "value")}`;
  }

  fields() {
    return [
      { name: "y", label: "Value", kind: /** @type {const} */ ("column") },
      { name: "aggregate", label: "Which", kind: /** @type {const} */ ("choice"), choices: AGGREGATES },
      { name: "unit", label: "Unit", kind: /** @type {const} */ ("text") },
    ];
  }

  draw() {
    const { value, row, ids, names } = this.answer;
    if (value === null) return this.sayEmpty("No run has a value here", this.settings.y);
    const unit = this.settings.unit ? make("small", {}, ` ${this.settings.unit}`) : null;
    const run = row === null || row === undefined
      ? null
      : make("a", { class: "clip", href: address(["p", this.context.project, "runs", ids[row]]) }, make("bdi", {}, names[row] || ids[row]));
    this.host.replaceChildren(make("div", { class: "scalar" }, make("output", {}, formatNumber(value), unit), run));
    return undefined;
  }

  describe() {
    return this.answer ? describeKnown(this.answer.known, this.answer.runs, this.answer.infinite) : "";
  }

  exportRows() {
    return this.answer ? { columns: [this.title()], rows: [[this.answer.value]] } : null;
  }
}
