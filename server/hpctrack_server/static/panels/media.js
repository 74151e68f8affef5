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
    const { context, spec } = this;
    const runs = await this.findRuns();
    const found = await Promise.all(runs.slice(0, RUNS_MAX).map((run) => this.fetchKeys(run)));
    if (turn !== this.turn) return;
    const keys = [...new Set(found.flatMap((one) => one.keys.map((/** @type {any} */ key) => key.key)))].sort();
    spec.settings.key ??= keys[0] ?? "";
    const { key } = spec.settings;
    if (!keys.length) return this.sayEmpty();
    const steps = [...new Set(found.flatMap((one) => one.keys.find((/** @type {any} */ other) => other.key === key)?.steps ?? []))].sort((a, b) => a - b);
    const step = Number.isFinite(spec.settings.step) && spec.settings.step !== "" ? Number(spec.settings.step) : steps.at(-1) ?? 0;
    const boxes = runs.slice(0, RUNS_MAX).map((run) => {
      const dot = make("i", { class: "dot" });
      dot.style.background = context.colourOf(run);
      const body = make("div", { class: "media-body" });
      return { run, body, element: make("section", { class: "side", "aria-label": context.nameOf(run) }, make("h3", {}, dot, make("bdi", { class: "clip" }, context.nameOf(run))), body) };
    });
    this.host.replaceChildren(this.makeBar(keys, steps, step), make("div", { class: "side-by-side" }, ...boxes.map((one) => one.element)));
    this.release();
    await Promise.all(boxes.map((one) => this.showOne(one.run, one.body, key, step)));
    const without = found.filter((one) => !one.keys.some((/** @type {any} */ other) => other.key === key)).length;
    const parts = [`${key} at step ${step.toLocaleString("en")} or last before it`];
    if (without) parts.push(`${without} of the runs have not logged it`);
    if (runs.length > RUNS_MAX) parts.push(`${RUNS_MAX} of ${runs.length.toLocaleString("en")} runs shown`);
    this.told = parts.join(" · ");
  }

  /** That there is nothing yet is no failure. */
  sayEmpty() {
    this.release();
    this.told = "";
    this.host.replaceChildren(make("div", { class: "empty plot-empty" }, make("h2", {}, "No media"), make("p", { class: "muted" }, "None of these runs has logged an image, a sound, a table or the like.")));
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

  /** @param {Record<string, any>} changes */
  change(changes) {
    Object.assign(this.spec.settings, changes);
    this.load().catch((error) => this.host.replaceChildren(make("p", { class: "problem" }, error.message)));
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

  describe() {
    return this.told;
  }

  remove() {
    this.turn += 1;
    this.release();
  }
}

function loadStyle() {
  if (document.querySelector('link[href$="/media/media.css"]')) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("media/media.css", ASSETS).href;
  document.head.append(link);
}
