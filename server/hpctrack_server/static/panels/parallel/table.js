// The table below parallel coordinates: the runs that are chosen, sorted and paged.
import { address } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { shortName } from "../columns.js";

const PAGE_ROWS = 20;

export class RunTable {
  /**
   * @param {HTMLElement} host @param {string} project @param {import("../parallel.js").default} panel
   * @param {(run: string | null) => void} onHover
   */
  constructor(host, project, panel, onHover) {
    this.host = host;
    this.project = project;
    this.panel = panel;
    this.onHover = onHover;
    this.start = 0;
    /** @type {{key: string, isDescending: boolean} | null} */
    this.sort = null;
  }

  show() {
    const { table } = this.panel;
    if (!table) return;
    const rows = this.#sorted();
    this.start = Math.min(this.start, Math.max(0, Math.floor((rows.length - 1) / PAGE_ROWS) * PAGE_ROWS));
    const part = rows.slice(this.start, this.start + PAGE_ROWS);
    if (!rows.length) {
      this.host.replaceChildren(make("div", { class: "empty" }, make("h2", {}, "No run lies in all brushes"), make("p", {}, "Make one of them longer, or clear them.")));
      return;
    }
    const held = this.#heldKey();
    this.host.replaceChildren(
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of chosen runs" }, make("table", { class: "list" }, this.#makeHead(), make("tbody", {}, ...part.map((run) => this.#makeRow(run))))),
      ...(rows.length > PAGE_ROWS ? [this.#makePager(rows.length)] : []),
    );
    if (held) /** @type {HTMLElement | null} */ (this.host.querySelector(`[data-sort="${CSS.escape(held)}"]`))?.focus();
  }

  #heldKey() {
    const held = /** @type {HTMLElement | null} */ (document.activeElement);
    return held && this.host.contains(held) ? held.dataset.sort : undefined;
  }

  #sorted() {
    const { panel } = this;
    const rows = [...(panel.chosen ?? [])].sort((a, b) => a - b);
    const values = this.sort && this.panel.table?.columns.get(this.sort.key)?.values;
    if (!values) return rows;
    const sign = this.sort?.isDescending ? -1 : 1;
    // Runs without a value come last either way.
    return rows.sort((a, b) => {
      const [one, other] = [values[a], values[b]];
      if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
      return sign * (one - other);
    });
  }

  /** Whether the state has a column of its own: not if it is an axis. */
  get #hasState() {
    return !this.panel.axes.some((axis) => axis.key === "state");
  }

  #makeHead() {
    const cells = this.panel.axes.map((axis) => {
      const isSorted = this.sort?.key === axis.key;
      const order = isSorted ? (this.sort?.isDescending ? "descending" : "ascending") : null;
      const isNumber = axis.scale.kind !== "category";
      return make("th", { scope: "col", class: isNumber ? "number" : null, "aria-sort": order },
        make("button", { type: "button", class: "sort", "data-sort": axis.key, title: axis.key, on: { click: () => this.#sortBy(axis.key) } }, make("bdi", {}, shortName(axis.key))));
    });
    return make("thead", {}, make("tr", {}, make("th", { scope: "col", class: "pin" }, "Run"), ...(this.#hasState ? [make("th", { scope: "col" }, "State")] : []), ...cells));
  }

  /** @param {string} key */
  #sortBy(key) {
    this.sort = { key, isDescending: this.sort?.key === key ? !this.sort.isDescending : false };
    this.start = 0;
    this.show();
  }

  /** @param {number} run */
  #makeRow(run) {
    const table = /** @type {import("../columns.js").Table} */ (this.panel.table);
    const id = table.ids[run];
    const name = table.names[run] || id;
    const states = table.columns.get("state");
    const state = states?.labels[states.values[run]] ?? "";
    const key = make("i", { class: "key" });
    key.style.background = this.panel.colourAt(run);
    const cells = this.panel.axes.map((axis) => make("td", { class: axis.scale.kind === "category" ? null : "number" }, make("bdi", { class: "clip" }, axis.scale.format(axis.values[run]))));
    return make("tr", { "data-run": id, on: { pointerenter: () => this.onHover(id), pointerleave: () => this.onHover(null) } },
      make("th", { scope: "row", class: "pin" }, key, make("a", { class: "clip", href: address(["p", this.project, "runs", id]), title: name }, make("bdi", {}, name))),
      ...(this.#hasState ? [make("td", {}, make("span", { class: `pill ${/^[a-z]+$/.test(state) ? state : ""}` }, state))] : []),
      ...cells);
  }

  /** @param {number} count */
  #makePager(count) {
    const last = this.start + PAGE_ROWS;
    const go = (/** @type {number} */ by) => {
      this.start += by;
      this.show();
    };
    return make("nav", { class: "pager", "aria-label": "Pages of chosen runs" },
      make("span", { class: "muted" }, `${(this.start + 1).toLocaleString("en")} to ${Math.min(last, count).toLocaleString("en")} of ${count.toLocaleString("en")}`),
      make("button", { type: "button", class: "button", disabled: this.start === 0, on: { click: () => go(-PAGE_ROWS) } }, "Previous"),
      make("button", { type: "button", class: "button", disabled: last >= count, on: { click: () => go(PAGE_ROWS) } }, "Next"));
  }

  /** @param {string | null} run */
  highlight(run) {
    for (const row of this.host.querySelectorAll("tbody tr")) row.classList.toggle("near", /** @type {HTMLElement} */ (row).dataset.run === run);
  }
}
