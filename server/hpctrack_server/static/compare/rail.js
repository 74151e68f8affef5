// The rail of runs: which are drawn, in which colour, and one value of each.
import { icon, later, make } from "../base/dom.js";
import { formatCount, formatNumber } from "../base/format.js";
import { colourOf } from "../base/tokens.js";
import { address } from "../base/api.js";
import { escapeKey, unescapeKey } from "../base/place.js";

/** @typedef {import("./runs.js").RunFacts} RunFacts */

const ROWS_MAX = 400;
const SWATCHES = 30;
const SEARCH_REST_MS = 250;
/** The server gives no more. */
const RUNS_MAX = 10_000;
const LIMITS = [10, 20, 50, 100, 500, RUNS_MAX];
const SLIDERS = "M4 7h10M18 7h2M4 17h4M12 17h8M16 5v4M10 15v4";

/**
 * @typedef {object} RailWatch
 * @property {() => void} onShown other runs are drawn
 * @property {() => void} onColours
 * @property {(changes: Record<string, string | null>, isStep: boolean) => void} onQuery the address asks for other runs
 * @property {(run: string | null) => void} onHover
 * @property {() => Promise<string[]>} valueKeys columns that the rail can show
 */

export class Rail {
  /** @param {HTMLElement} element @param {string} project @param {import("./runs.js").RunSet} runs @param {RailWatch} watch */
  constructor(element, project, runs, watch) {
    this.element = element;
    this.project = project;
    this.runs = runs;
    this.watch = watch;
    this.value = "";
    this.brokenText = "";
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    this.count = make("span", { role: "status" });
    this.valueName = make("bdi", { class: "rail-value clip" });
    this.all = make("input", { type: "checkbox", "aria-label": "Draw all runs", on: { change: () => this.toggleAll() } });
    this.list = make("ul", { class: "rail-list" });
    this.selection = make("p", { class: "rail-selection", role: "status", hidden: true });
    this.more = make("p", { class: "muted rail-more" });
    this.broken = make("details", { class: "rail-broken", hidden: true });
    this.rest = make("p", { class: "muted rail-limit", hidden: true });
    this.search = make("input", {
      type: "search", placeholder: "Find runs", "aria-label": "Find runs", "aria-keyshortcuts": "/", spellcheck: "false", autocomplete: "off",
    });
    /** @type {HTMLDetailsElement} */
    this.options = make("details");
    this.form = this.makeForm();
    element.replaceChildren(
      make("header", {}, make("label", { class: "rail-all" }, this.all, make("h2", {}, this.count)), this.valueName),
      this.form, this.broken, this.rest, this.selection, this.list, this.more);
    this.listen();
  }

  makeForm() {
    this.sort = make("input", { list: "rail-columns", placeholder: "newest first", "aria-label": "Order by", spellcheck: "false", autocomplete: "off" });
    this.direction = make("select", { "aria-label": "Direction" }, make("option", { value: "" }, "lowest first"), make("option", { value: "-" }, "highest first"));
    this.limit = make("select", { "aria-label": "Number of runs" }, ...LIMITS.map((one) => make("option", { value: one }, one === RUNS_MAX ? "all" : `top ${one}`)));
    this.filter = make("input", { placeholder: "config.lr > 1e-3", "aria-label": "Filter", spellcheck: "false", autocomplete: "off" });
    this.shownValue = make("input", { list: "rail-columns", placeholder: "summary.val/loss", "aria-label": "Value shown", spellcheck: "false", autocomplete: "off" });
    this.columns = make("datalist", { id: "rail-columns" });
    this.problem = make("p", { class: "rail-problem", role: "alert", hidden: true });
    const options = this.options = make("details", { class: "rail-options" },
      make("summary", { "aria-label": "Which runs", title: "Which runs" }, icon(SLIDERS)),
      make("div", { class: "rail-fields" },
        field("Filter", this.filter), field("Top", this.limit), field("by", this.sort), field("", this.direction), field("Value shown", this.shownValue),
        make("button", { type: "submit", class: "button" }, "Show"), this.columns));
    options.addEventListener("toggle", () => options.open && this.fillColumns());
    return make("form", { role: "search", class: "rail-form" }, this.search, options, this.problem);
  }

  listen() {
    const search = later(() => this.ask(false), SEARCH_REST_MS);
    this.search.addEventListener("input", search);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.ask(true);
    });
    this.list.addEventListener("pointerover", (event) => this.watch.onHover(this.runAt(event)));
    this.list.addEventListener("pointerleave", () => this.watch.onHover(null));
    this.list.addEventListener("focusin", (event) => this.watch.onHover(this.runAt(event)));
    this.list.addEventListener("change", (event) => {
      const box = /** @type {HTMLInputElement} */ (event.target);
      const run = this.runAt(event);
      if (run === null || box.type !== "checkbox") return;
      this.runs.show(run, box.checked);
      this.showChecks();
      this.watch.onShown();
    });
    this.list.addEventListener("click", (event) => {
      const target = /** @type {Element} */ (event.target);
      const run = this.runAt(event);
      if (run === null) return;
      if (target.closest(".swatch")) this.chooseColour(/** @type {HTMLElement} */ (target.closest(".swatch")), run);
      else if (target.closest(".rail-only")) this.showOnly(run);
    });
  }

  /** @param {Event} event @returns {string | null} */
  runAt(event) {
    return /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("li"))?.dataset.run ?? null;
  }

  async fillColumns() {
    const keys = await this.watch.valueKeys();
    this.columns?.replaceChildren(...keys.map((one) => make("option", { value: one })));
  }

  /** @param {boolean} isStep @param {string} [limit] */
  ask(isStep, limit = this.limit?.value ?? "") {
    if (this.limit) this.limit.value = limit;
    const key = this.sort?.value.trim() ?? "";
    // Several keys may be typed with commas between them; the name of a column can hold one too.
    const isColumn = [...this.columns?.options ?? []].some((one) => one.value === key);
    const sort = key ? `${this.direction?.value}${isColumn ? escapeKey(key) : key}` : null;
    this.watch.onQuery({
      search: this.search.value || null, filter: this.filter?.value || null, sort,
      limit: limit === "20" ? null : limit, value: this.shownValue?.value || null,
    }, isStep);
  }

  /** Fills the form from the address. @param {URLSearchParams} place */
  readPlace(place) {
    if (document.activeElement !== this.search) this.search.value = place.get("search") ?? "";
    const sort = place.get("sort") ?? "";
    if (this.filter) this.filter.value = place.get("filter") ?? "";
    const [first, ...others] = sort.split(",");
    if (this.sort) this.sort.value = (others.length ? sort : unescapeKey(first)).replace(/^[-+]/, "");
    if (this.direction) this.direction.value = sort.startsWith("-") ? "-" : "";
    if (this.limit) this.limit.value = place.get("limit") ?? "20";
    if (this.shownValue) this.shownValue.value = place.get("value") ?? "";
  }

  /** @param {string} message what is wrong with the query; empty if nothing is */
  showProblem(message) {
    if (!this.problem) return;
    if (message && this.filter?.value) this.options.open = true;
    this.problem.hidden = !message;
    this.problem.textContent = message;
  }

  /** @param {string} value the column that is shown @param {string[]} [missing] ids of the address that are no runs */
  render(value, missing = []) {
    this.value = value;
    const { list, matches } = this.runs;
    this.count.textContent = matches > list.length ? `${list.length.toLocaleString("en")} of ${formatCount(matches, "run")}` : formatCount(list.length, "run");
    this.showRest(matches - list.length);
    this.valueName.textContent = value.replace(/^(summary|config)\./, "");
    this.valueName.title = value;
    const shown = list.slice(0, ROWS_MAX);
    const isSame = shown.length === this.rows.size && [...this.rows.keys()].every((id, i) => id === shown[i].id);
    if (isSame) for (const run of shown) this.updateRow(run);
    else {
      this.rows = new Map(shown.map((run) => [run.id, this.makeRow(run)]));
      this.list.replaceChildren(...this.rows.values());
    }
    const parts = [];
    if (!list.length) parts.push("No run fits.");
    if (list.length > ROWS_MAX) parts.push(`and ${(list.length - ROWS_MAX).toLocaleString("en")} more`);
    if (missing.length) parts.push(`Not there: ${missing.slice(0, 3).map((one) => one.slice(0, 60)).join(", ")}${missing.length > 3 ? ` and ${missing.length - 3} more` : ""}`);
    this.more.textContent = parts.join(" · ");
    this.showChecks();
  }

  /** Runs that cannot be read, each with why: the others are drawn all the same. @param {{id: string, message: string}[]} broken */
  showBroken(broken) {
    const text = JSON.stringify(broken);
    this.broken.hidden = !broken.length;
    if (text === this.brokenText) return; // it may be open, and have the focus
    this.brokenText = text;
    const lines = broken.slice(0, ROWS_MAX).map((one) => make("li", {}, make("a", { href: address(["p", this.project, "runs", one.id]) }, make("bdi", {}, one.id.slice(0, 200))), ` ${one.message}`));
    const left = broken.length - lines.length;
    this.broken.replaceChildren(
      make("summary", {}, `${formatCount(broken.length, "run")} cannot be read`),
      make("ul", {}, ...lines, ...(left > 0 ? [make("li", {}, `and ${left.toLocaleString("en")} more`)] : [])));
  }

  /** What fits and is not here, with a way to have it. @param {number} left */
  showRest(left) {
    const { list, matches } = this.runs;
    const next = LIMITS.find((one) => one > list.length && one < matches);
    const show = (/** @type {number} */ limit) => make("button", { type: "button", class: "link", on: { click: () => this.ask(true, String(limit)) } },
      limit >= matches ? "Show all" : `Show ${limit.toLocaleString("en")}`);
    this.rest.hidden = left <= 0 || !list.length;
    if (this.rest.hidden) return;
    this.rest.replaceChildren(make("span", {}, `${left.toLocaleString("en")} left out:`), ...(next ? [show(next)] : []), ...(list.length < RUNS_MAX ? [show(RUNS_MAX)] : []));
  }

  /** @param {RunFacts} run */
  makeRow(run) {
    const swatch = make("button", { type: "button", class: "swatch", "aria-label": `Colour of ${run.name}` });
    const check = make("input", { type: "checkbox", "aria-label": run.name });
    const row = make("li", { "data-run": run.id },
      check, swatch,
      make("a", { class: "clip", href: address(["p", this.project, "runs", run.id]), title: `${run.name}\n${run.state}` }, make("bdi", {}, run.name.slice(0, 200))),
      make("button", { type: "button", class: "rail-only", title: "Draw only this run", "aria-label": `Draw only ${run.name}` }, "only"),
      make("span", { class: "dot" }, make("span", { class: "sr" })), make("span", { class: "number value" }));
    this.rows.set(run.id, row);
    this.updateRow(run);
    return row;
  }

  /** What of a row changes while a run is going on: nothing that has the focus. @param {RunFacts} run */
  updateRow(run) {
    const row = this.rows.get(run.id);
    const [dot, state, value] = [".dot", ".dot .sr", ".value"].map((one) => /** @type {HTMLElement} */ (row?.querySelector(one)));
    dot.className = `dot ${run.state}`;
    dot.title = state.textContent = run.state;
    const text = typeof run.value === "number" ? formatNumber(run.value) : run.value ?? "–";
    value.textContent = String(text).slice(0, 20);
    value.title = String(run.value ?? "");
  }

  showChecks() {
    const { hidden, list } = this.runs;
    for (const [id, row] of this.rows) {
      const isShown = !hidden.has(id);
      row.classList.toggle("off", !isShown);
      /** @type {HTMLInputElement} */ (row.querySelector("input")).checked = isShown;
      /** @type {HTMLElement} */ (row.querySelector(".swatch")).style.setProperty("--colour", this.runs.colourOf(id));
    }
    const off = list.filter((one) => hidden.has(one.id)).length;
    this.all.checked = off === 0 && list.length > 0;
    this.all.indeterminate = off > 0 && off < list.length;
  }

  toggleAll() {
    this.runs.showAll(this.all.checked);
    this.showChecks();
    this.watch.onShown();
  }

  /** @param {string} run */
  showOnly(run) {
    const isOnly = this.runs.shown.length === 1 && this.runs.shown[0] === run;
    this.runs.showAll(isOnly);
    this.runs.show(run, true);
    this.showChecks();
    this.watch.onShown();
  }

  /** A panel has picked out some runs. @param {string[] | null} runs @param {() => void} clear */
  showSelection(runs, clear) {
    const chosen = runs && new Set(runs);
    for (const [id, row] of this.rows) row.classList.toggle("unselected", Boolean(chosen && !chosen.has(id)));
    this.selection.hidden = !runs;
    this.selection.replaceChildren(...(runs ? [
      make("span", {}, `${runs.length.toLocaleString("en")} picked out in a panel`),
      make("button", { type: "button", class: "link", on: { click: clear } }, "Show all"),
    ] : []));
  }

  /** @param {string | null} run */
  highlight(run) {
    for (const [id, row] of this.rows) row.classList.toggle("hot", id === run);
  }

  /** @param {HTMLElement} button @param {string} run */
  chooseColour(button, run) {
    const box = make("div", { class: "menu swatches", popover: "auto", role: "group", "aria-label": "Colours" });
    for (let number = 0; number < SWATCHES; number++) {
      const choose = () => {
        this.runs.numbers.set(run, number);
        box.hidePopover();
        this.showChecks();
        this.watch.onColours();
      };
      const one = make("button", { type: "button", class: "swatch", "aria-label": `Colour ${number + 1}`, on: { click: choose } });
      one.style.setProperty("--colour", colourOf(number));
      box.append(one);
    }
    box.addEventListener("toggle", (event) => /** @type {ToggleEvent} */ (event).newState === "closed" && box.remove());
    document.body.append(box);
    box.showPopover();
    const place = button.getBoundingClientRect();
    box.style.left = `${place.left}px`;
    box.style.top = `${Math.min(place.bottom + 4, innerHeight - box.offsetHeight - 8)}px`;
    /** @type {HTMLElement} */ (box.firstElementChild).focus();
  }
}

/** @param {string} label @param {HTMLElement} control */
function field(label, control) {
  return make("label", { class: "rail-field" }, label ? make("span", {}, label) : null, control);
}
