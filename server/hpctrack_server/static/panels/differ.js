// The chosen runs side by side: configuration, summary, code, packages, machine; only what differs.
import { address, apiAddress, getJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { Panel } from "./panel.js";
import { addStyle } from "./style.js";

const SECTIONS = ["config", "summary", "command", "git", "packages", "modules", "environment", "job", "hardware", "libraries", "container"];

/**
 * @typedef {object} Cell
 * @property {string} text
 * @property {string} title
 * @property {string} delta
 * @property {boolean} changed
 * @property {boolean} absent
 */
/** @typedef {{key: string, same: boolean, text: boolean, cells: Cell[]}} Row */
/** @typedef {{name: string, title: string, differing: number, rows: Row[]}} Section */
/** @typedef {{runs: {id: string, name: string, problem: string}[], left_out: number, sections: Section[]}} Answer */

export default class DifferPanel extends Panel {
  /** @type {Answer | null} */
  answer = null;
  /** @type {AbortController | null} */
  abort = null;

  title() {
    return "Differences";
  }

  fields() {
    return /** @type {import("./panel.js").Field[]} */ ([
      { name: "sections", label: "Sections", kind: "text", hint: `some of ${SECTIONS.join(", ")}, parted by commas; empty is all` },
      { name: "same", label: "Also what is the same", kind: "flag" },
      { name: "all", label: "Also ids, times and hosts", kind: "flag" },
    ]);
  }

  async load() {
    await addStyle("run/diff.css");
    const selection = this.context.selection();
    const chosen = selection.ids ? { runs: selection.ids.join(",") } : { ...selection.query };
    if (selection.ids && selection.ids.length < 2) throw new Error("choose two runs or more to see their differences");
    this.abort?.abort();
    this.abort = new AbortController();
    const url = apiAddress(["projects", this.context.project, "diff"], { ...chosen, all: this.spec.settings.all ? 1 : null });
    this.answer = await getJson(url, this.abort.signal);
    this.draw();
  }

  get rows() {
    const { sections = "", same = false } = this.spec.settings;
    const wanted = String(sections).split(",").map((one) => one.trim()).filter(Boolean);
    return (this.answer?.sections ?? [])
      .filter((one) => !wanted.length || wanted.includes(one.name))
      .map((one) => ({ ...one, rows: one.rows.filter((row) => same || !row.same) }))
      .filter((one) => one.rows.length);
  }

  draw() {
    const { answer } = this;
    if (!answer) return;
    const table = make("table", { class: "differ" }, this.makeHead(answer), ...this.rows.map((one) => this.makeSection(one)));
    const nothing = make("p", { class: "muted none" }, "The runs agree in everything that was recorded.");
    this.host.replaceChildren(make("div", { class: "panel-scroll", tabindex: 0, role: "region", "aria-label": "Runs side by side" }, this.rows.length ? table : nothing));
  }

  /** @param {Answer} answer */
  makeHead({ runs }) {
    const cells = runs.map(({ id, name, problem }) => {
      const key = make("i", { class: "run-key" });
      key.style.background = this.context.colourOf(id);
      const link = make("a", { class: "clip", href: address(["p", this.context.project, "runs", id]), title: problem || name }, make("bdi", {}, name));
      return make("th", { scope: "col" }, make("div", { class: "differ-run" }, key, link, problem ? make("span", { class: "tag warn" }, "unreadable") : null));
    });
    return make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "pin" }, "Key"), ...cells));
  }

  /** @param {Section} section */
  makeSection({ title, rows }) {
    const count = (this.answer?.runs.length ?? 0) + 1;
    const head = make("tr", { class: "section" }, make("th", { scope: "rowgroup", colspan: count }, title));
    return make("tbody", {}, head, ...rows.map((row) => this.makeRow(row)));
  }

  /** @param {Row} row */
  makeRow({ key, same, cells }) {
    const made = cells.map(({ text, title, delta, changed, absent }) => make(
      "td", { class: [changed ? "changed" : "", absent ? "absent" : ""].join(" ").trim() || null },
      make("bdi", { title: title === text ? null : title }, text), delta ? make("span", { class: "delta" }, delta) : null,
    ));
    return make("tr", { class: same ? "same" : "differs" }, make("th", { scope: "row", class: "pin" }, make("bdi", { title: key }, key)), ...made);
  }

  repaint() {
    this.draw();
  }

  describe() {
    if (!this.answer) return "";
    const shown = this.rows.reduce((sum, one) => sum + one.rows.filter((row) => !row.same).length, 0);
    const total = this.answer.sections.reduce((sum, one) => sum + one.rows.length, 0);
    const parts = [`${formatCount(this.answer.runs.length, "run")}, ${shown.toLocaleString("en")} of ${formatCount(total, "line")} differ`];
    if (this.answer.left_out) parts.push(`${formatCount(this.answer.left_out, "run")} left out`);
    return parts.join(" · ");
  }

  exportRows() {
    const runs = this.answer?.runs ?? [];
    const rows = this.rows.flatMap((section) => section.rows.map((row) => [section.name, row.key, ...row.cells.map((one) => one.title || one.text)]));
    return { columns: ["section", "key", ...runs.map((one) => one.name)], rows };
  }

  remove() {
    this.abort?.abort();
  }
}
