// A logged table: sorted, filtered and paged by the server.
import { apiAddress, getJson } from "../../base/api.js";
import { later, make } from "../../base/dom.js";
import { formatNumber } from "../../base/format.js";
import { sayError } from "../../base/message.js";

const ROWS = 25;

class TableView {
  /** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
  constructor(host, showing) {
    this.showing = showing;
    /** @type {{sort: number | null, desc: boolean, word: string, start: number}} */
    this.state = { sort: null, desc: false, word: "", start: 0 };
    this.asked = 0;
    this.search = make("input", {
      type: "search", placeholder: "Filter rows", "aria-label": `Filter the rows of ${showing.key}`,
      on: { input: later(() => this.change({ word: this.search.value, start: 0 }), 200) },
    });
    this.told = make("span", { class: "muted", role: "status" });
    this.previous = make("button", { type: "button", class: "button small", on: { click: () => this.change({ start: Math.max(0, this.state.start - ROWS) }) } }, "Previous");
    this.next = make("button", { type: "button", class: "button small", on: { click: () => this.change({ start: this.state.start + ROWS }) } }, "Next");
    this.csv = make("a", { class: "button small", download: true }, "CSV");
    this.rows = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Rows of ${showing.key}` });
    host.replaceChildren(make("div", { class: "table-bar" }, this.search, this.told, this.previous, this.next, this.csv), this.rows);
  }

  /** @param {Partial<TableView["state"]>} changes */
  change(changes) {
    Object.assign(this.state, changes);
    this.load().catch(sayError);
  }

  /** @param {number} column what is asked for counts, not what is drawn: answers may be on their way */
  sortBy(column) {
    const { sort, desc } = this.state;
    this.change({ sort: column, desc: sort === column && !desc, start: 0 });
  }

  async load() {
    const number = ++this.asked;
    const { key, step, rank, place } = this.showing;
    const { sort, desc, word, start } = this.state;
    const asked = { key, step, rank };
    this.csv.href = apiAddress([...place, "table"], { ...asked, format: "csv" });
    const found = await getJson(apiAddress([...place, "table"], { ...asked, sort, desc: desc ? 1 : null, word, start, count: ROWS }));
    if (number === this.asked) this.draw(found);
  }

  /** @param {any} found */
  draw(found) {
    const { start, sort, desc } = this.state;
    const heads = found.columns.map((/** @type {string} */ name, /** @type {number} */ at) => {
      const isSorted = sort === at;
      const order = isSorted ? (desc ? "descending" : "ascending") : null;
      const button = make("button", { type: "button", class: "head", on: { click: () => this.sortBy(at) } }, name);
      return make("th", { scope: "col", "aria-sort": order, class: found.types[at] === "number" ? "number" : null }, button);
    });
    const rows = found.rows.map((/** @type {any[]} */ row) => make("tr", {}, ...row.map((cell) => this.makeCell(cell))));
    this.rows.replaceChildren(make("table", { class: "list" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
    const last = Math.min(start + ROWS, found.matches);
    const missing = found.missing ? `, ${found.missing} did not arrive` : "";
    const all = found.matches === found.total ? found.total.toLocaleString("en") : `${found.matches.toLocaleString("en")} of ${found.total.toLocaleString("en")}`;
    this.told.textContent = found.matches ? `${start + 1} to ${last} of ${all} rows${missing}` : `no row fits${missing}`;
    this.previous.disabled = start === 0;
    this.next.disabled = last >= found.matches;
  }

  /** @param {any} cell */
  makeCell(cell) {
    if (cell === null) return make("td", { class: "muted" }, "\u2013");
    if (typeof cell === "number") return make("td", { class: "number" }, formatNumber(cell));
    if (typeof cell !== "object") return make("td", {}, make("bdi", { class: "clip", title: String(cell) }, String(cell)));
    if (!cell.media) return make("td", {}, make("code", { class: "clip", title: cell.json }, cell.json ?? ""));
    const source = apiAddress([...this.showing.place, cell.media.digest], { as: cell.media.format });
    if (cell.media.type === "image") return make("td", {}, make("img", { src: source, alt: String(cell.media.meta.caption ?? "picture"), class: "in-cell", loading: "lazy" }));
    if (cell.media.type === "audio") return make("td", {}, make("audio", { src: source, controls: true, preload: "none" }));
    return make("td", {}, make("a", { href: apiAddress([...this.showing.place, cell.media.digest], { download: 1 }), download: true }, cell.media.type));
  }
}

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export async function show(host, showing) {
  await new TableView(host, showing).load();
}
