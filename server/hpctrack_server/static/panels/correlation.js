// The matrix of correlations, as a table: each pair over the runs that have both.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { TablePanel } from "./answer.js";
import { shortName } from "./columns.js";
import { inkOn, mix } from "./palette.js";

const DEFAULT_MAX = 10;
const METRICS_MAX = 3;

export default class CorrelationPanel extends TablePanel {
  static needs = "columns";

  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    if (this.settings.columns?.length) return;
    const metrics = defaults.metrics().slice(0, METRICS_MAX);
    this.settings.columns = [...defaults.numbers().slice(0, DEFAULT_MAX - metrics.length), ...metrics];
  }

  title() {
    return `${this.settings.method === "spearman" ? "Rank correlation" : "Correlation"}`;
  }

  fields() {
    return [
      { name: "columns", label: "Columns", kind: /** @type {const} */ ("columns") },
      { name: "method", label: "Method", kind: /** @type {const} */ ("choice"), choices: [{ value: "pearson", label: "Pearson: straight lines" }, { value: "spearman", label: "Spearman: anything that rises or falls" }] },
    ];
  }

  draw() {
    const { keys, values, counts } = this.answer;
    const head = make("tr", {}, make("td"), ...keys.map((/** @type {string} */ key) => make("th", { scope: "col", title: key }, make("span", {}, make("bdi", {}, shortName(key))))));
    const rows = keys.map((/** @type {string} */ key, /** @type {number} */ i) => make("tr", {},
      make("th", { scope: "row", title: key }, make("bdi", { class: "clip" }, shortName(key))),
      ...values[i].map((/** @type {number | null} */ value, /** @type {number} */ j) => makeCell(value, `${shortName(key)} and ${shortName(keys[j])}: ${formatCount(counts[i][j], "run")}`))));
    this.host.replaceChildren(make("div", { class: "matrix scroll", tabindex: 0, role: "region", "aria-label": this.title() }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))));
  }

  describe() {
    if (!this.answer) return "";
    const { runs, left_out: out } = this.answer;
    const parts = [`${this.settings.method === "spearman" ? "Spearman" : "Pearson"} over ${formatCount(runs, "run")}, each pair over those that have both`];
    if (out.texts.length) parts.push(`left out, texts: ${out.texts.map(shortName).join(", ")}`);
    if (out.constant.length) parts.push(`left out, all the same: ${out.constant.map(shortName).join(", ")}`);
    return parts.join(" · ");
  }

  exportRows() {
    if (!this.answer) return null;
    const { keys, values } = this.answer;
    return { columns: ["", ...keys], rows: keys.map((/** @type {string} */ key, /** @type {number} */ i) => [key, ...values[i]]) };
  }
}

/** Two decimals, and no minus before zero. @param {number} value */
export function formatSigned(value) {
  return (Math.abs(value) < 0.005 ? 0 : value).toFixed(2).replace("-", "\u2212");
}

/** @param {number | null} value @param {string} title */
function makeCell(value, title) {
  if (value === null) return make("td", { title, class: "muted" }, "–");
  const rgb = mix("diverging", (value + 1) / 2);
  const cell = make("td", { title }, formatSigned(value));
  cell.style.background = `rgb(${rgb.join(",")})`;
  cell.style.color = inkOn(rgb);
  return cell;
}
