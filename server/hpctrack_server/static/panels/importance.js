// Which parameters decide a metric: permutation importance, and the plain correlation beside it.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { TablePanel } from "./answer.js";
import { shortName } from "./columns.js";
import { formatSigned } from "./correlation.js";

const WEAK = 0.2;

export default class ImportancePanel extends TablePanel {
  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    this.settings.y ||= defaults.metrics()[0] ?? "";
    if (!this.settings.columns?.length) this.settings.columns = defaults.parameters();
  }

  title() {
    return `Importance for ${shortName(this.settings.y || "a metric")}`;
  }

  fields() {
    return [
      { name: "y", label: "Metric", kind: /** @type {const} */ ("column") },
      { name: "columns", label: "Parameters", kind: /** @type {const} */ ("columns") },
    ];
  }

  draw() {
    const { parameters } = this.answer;
    const most = Math.max(...parameters.map((/** @type {any} */ one) => one.share), 1e-9);
    const rows = parameters.map((/** @type {any} */ one) => make("tr", {},
      make("th", { scope: "row", title: one.key }, make("bdi", { class: "clip" }, shortName(one.key))),
      make("td", { class: "meter-cell" }, makeMeter(one.share / most, "accent")),
      make("td", { class: "number" }, `${(one.share * 100).toFixed(1)} %`),
      make("td", { class: "meter-cell" }, one.correlation === null ? null : makeSigned(one.correlation)),
      make("td", { class: "number" }, one.correlation === null ? "–" : formatSigned(one.correlation))));
    const head = make("tr", {}, make("th", { scope: "col" }, "Parameter"), make("th", { scope: "col", colspan: 2 }, "Importance"), make("th", { scope: "col", colspan: 2 }, "Correlation"));
    this.host.replaceChildren(make("div", { class: "importance scroll", tabindex: 0, role: "region", "aria-label": this.title() }, make("table", { class: "list" }, make("thead", {}, head), make("tbody", {}, ...rows))));
  }

  describe() {
    if (!this.answer) return "";
    const { known, runs, seen, explained_frac: explained, constant, method } = this.answer;
    const parts = [`${Math.round(Math.max(explained, 0) * 100)} % of the variance explained${explained < WEAK ? ": too little to trust the order" : ""}`];
    parts.push(`${known.toLocaleString("en")} of ${formatCount(runs, "run")} have the metric`);
    if (seen < known) parts.push(`a random ${seen.toLocaleString("en")} of them are used`);
    parts.push(method);
    if (constant.length) parts.push(`the same everywhere: ${constant.map(shortName).join(", ")}`);
    return parts.join(" · ");
  }

  exportRows() {
    if (!this.answer) return null;
    return { columns: ["parameter", "importance", "correlation", "runs"], rows: this.answer.parameters.map((/** @type {any} */ one) => [one.key, one.share, one.correlation, one.runs]) };
  }
}

/** @param {number} part @param {string} kind */
function makeMeter(part, kind) {
  const fill = make("i", { class: kind });
  fill.style.width = `${Math.max(part * 100, 0.5)}%`;
  return make("div", { class: "meter", "aria-hidden": "true" }, fill);
}

/** From the middle to the left or to the right. @param {number} value */
function makeSigned(value) {
  const fill = make("i", { class: value < 0 ? "minus" : "plus" });
  fill.style.width = `${Math.abs(value) * 50}%`;
  fill.style.left = value < 0 ? `${50 - Math.abs(value) * 50}%` : "50%";
  return make("div", { class: "meter signed", "aria-hidden": "true" }, fill);
}
