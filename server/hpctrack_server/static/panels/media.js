// One key of media over several runs, side by side at the same step.
import { ServerError, apiAddress, getJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { VIEWERS } from "../media/viewers.js";
import { Panel } from "./panel.js";

const RUNS_MAX = 12;
const ASSETS = new URL("../", import.meta.url);

export default class MediaPanel extends Panel {
  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    /** @type {any[]} what viewers have left to be let go */
    this.viewers = [];
    this.told = "";
    /** The button by which the reader went to other runs. */
    this.pressed = "";
    this.turn = 0;
  }

  fields() {
    return [
      { name: "key", label: "Key", kind: /** @type {const} */ ("text"), hint: "as logged, such as val/samples" },
      { name: "step", label: "Step", kind: /** @type {const} */ ("number"), hint: "the newest if empty" },
    ];
  }

  async load() {
    const turn = ++this.turn;
    loadStyle();
    this.host.classList.add("media-panel");
    const { context, spec } = this;
    const all = await this.findRuns();
    const first = spec.settings.first < all.length ? Math.max(0, Math.floor(spec.settings.first)) : 0;
    const runs = all.slice(first, first + RUNS_MAX);
    const found = await Promise.all(runs.map((run) => this.fetchKeys(run)));
    if (turn !== this.turn) return;
    const pager = makePager(first, all.length, (to) => this.change({ first: to }));
    const part = all.length > runs.length ? `runs ${(first + 1).toLocaleString("en")} to ${(first + runs.length).toLocaleString("en")} of ${all.length.toLocaleString("en")}` : "";
    const keys = [...new Set(found.flatMap((one) => one.keys.map((/** @type {any} */ key) => key.key)))].sort();
    spec.settings.key ??= keys[0] ?? "";
    const { key } = spec.settings;
    if (!keys.length) return this.sayEmpty(part, pager);
    const steps = [...new Set(found.flatMap((one) => one.keys.find((/** @type {any} */ other) => other.key === key)?.steps ?? []))].sort((a, b) => a - b);
    const step = Number.isFinite(spec.settings.step) && spec.settings.step !== "" ? Number(spec.settings.step) : steps.at(-1) ?? 0;
    const boxes = runs.map((run) => {
      const dot = make("i", { class: "media-dot" });
      dot.style.background = context.colourOf(run);
      const body = make("div", { class: "media-body" });
      return { run, body, element: make("section", { class: "media-run", "aria-label": context.nameOf(run) }, make("h3", {}, dot, make("bdi", { class: "clip" }, context.nameOf(run))), body) };
    });
    this.host.replaceChildren(this.makeBar(keys, steps, step), make("div", { class: "side-by-side", tabindex: 0, role: "region", "aria-label": "Runs side by side" }, ...boxes.map((one) => one.element)), pager);
    this.focusPager();
    this.release();
    await Promise.all(boxes.map((one) => this.showOne(one.run, one.body, key, step)));
    const without = found.filter((one) => !one.keys.some((/** @type {any} */ other) => other.key === key)).length;
    const parts = [...(part ? [part] : []), `${key} at step ${step.toLocaleString("en")} or last before it`];
    if (without) parts.push(`${without} of the runs have not logged it`);
    this.told = parts.join(" · ");
  }

  /** That there is nothing yet is no failure. @param {string} part which runs were looked at, if not all @param {Element | string} pager */
  sayEmpty(part, pager) {
    this.release();
    this.told = part;
    this.host.replaceChildren(make("div", { class: "empty plot-empty" }, make("h2", {}, "No media"), make("p", { class: "muted" }, "None of these runs has logged an image, a sound, a table or the like.")), pager);
    this.focusPager();
  }

  /** @returns {Promise<string[]>} */
  async findRuns() {
    const { ids, query } = this.context.selection();
    if (ids) return ids;
    const { sendJson } = await import("../base/api.js");
    const found = await sendJson("POST", apiAddress(["projects", this.context.project, "table"]), { keys: ["name"], ...query, count: query?.limit ?? RUNS_MAX });
    return found.ids;
  }

  /** @param {string} run */
  async fetchKeys(run) {
    return getJson(apiAddress(["runs", this.context.project, run, "media"])).catch(() => ({ keys: [] }));
  }

  /** @param {string[]} keys @param {number[]} steps @param {number} step */
  makeBar(keys, steps, step) {
    const choose = make("select", { "aria-label": "Key", on: { change: () => this.change({ key: choose.value, step: null }) } }, ...keys.map((key) => make("option", { selected: key === this.spec.settings.key }, key)));
    const at = Math.max(0, steps.findLastIndex((one) => one <= step));
    const slider = make("input", { type: "range", min: 0, max: Math.max(steps.length - 1, 0), value: at, "aria-label": "Step", disabled: steps.length < 2, on: { change: () => this.change({ step: steps[Number(slider.value)] }) } });
    return make("div", { class: "media-steps" }, choose, slider, make("output", { class: "muted" }, `step ${step.toLocaleString("en")}`));
  }

  /** Other runs have taken the place of those that the reader has left by a button. */
  focusPager() {
    const { pressed } = this;
    this.pressed = "";
    if (!pressed) return;
    const buttons = /** @type {HTMLButtonElement[]} */ ([...this.host.querySelectorAll(".media-pager button")]);
    (buttons.find((one) => one.textContent === pressed && !one.disabled) ?? buttons.find((one) => !one.disabled))?.focus();
  }

  /** @param {Record<string, any>} changes */
  change(changes) {
    const at = document.activeElement;
    this.pressed = at?.closest(".media-pager") && this.host.contains(at) ? at.textContent ?? "" : "";
    Object.assign(this.spec.settings, changes);
    this.host.dispatchEvent(new CustomEvent("panelchange", { bubbles: true }));
    this.load().then(() => this.host.dispatchEvent(new CustomEvent("choose"))).catch((error) => this.host.replaceChildren(make("p", { class: "problem" }, error.message)));
  }

  /** @param {string} run @param {HTMLElement} body @param {string} key @param {number} step */
  async showOne(run, body, key, step) {
    const place = ["runs", this.context.project, run, "media"];
    try {
      const found = await getJson(apiAddress([...place, "at"], { key, step }));
      if (!found.items.length) throw new Error("nothing at this step");
      const viewer = await (VIEWERS[found.items[0].type] ?? VIEWERS.download).load();
      const holder = { viewer: null };
      this.viewers.push(await viewer.show(body, { place, key, step: found.step, rank: found.rank, items: found.items }, /** @type {any} */ (holder)));
    } catch (error) {
      const isMissing = error instanceof ServerError && error.status === 404;
      body.replaceChildren(make("p", { class: isMissing ? "muted" : "problem" }, isMissing ? "not logged" : /** @type {Error} */ (error).message));
    }
  }

  release() {
    for (const one of this.viewers.splice(0)) one?.remove?.();
  }

  repaint() {
    for (const one of this.viewers) one?.repaint?.();
  }

  title() {
    return this.spec.settings.key || "Media";
  }

  describe() {
    return this.told;
  }

  remove() {
    this.turn += 1;
    this.release();
  }
}

/** @param {number} first @param {number} total @param {(first: number) => void} go @returns {Element | string} nothing if all runs are there */
function makePager(first, total, go) {
  if (total <= RUNS_MAX) return "";
  const button = (/** @type {string} */ label, /** @type {number} */ to) => make("button", { type: "button", class: "button", disabled: to < 0 || to >= total, on: { click: () => go(to) } }, label);
  return make("nav", { class: "media-pager", "aria-label": "Runs of this panel" }, button("Previous runs", first > 0 ? Math.max(0, first - RUNS_MAX) : -1), button("Next runs", first + RUNS_MAX));
}

function loadStyle() {
  if (document.querySelector('link[href$="/media/media.css"]')) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("media/media.css", ASSETS).href;
  document.head.append(link);
}
