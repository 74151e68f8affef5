// The bar above the panels: what all of them follow.
import { byId, later, make } from "../base/dom.js";
import { RANKS, SMOOTHINGS, X_CHOICES } from "../panels/line_settings.js";

/** @typedef {import("../panels/panel.js").Shared} Shared */

const REST_MS = 120;
const KEY_GAP = "\u001f";
const SEED_KEY = "@config-but-seed";
const BANDS = [["minmax", "min – max"], ["std", "± std"], ["stderr", "± std. error"], ["ci", "95 % CI"], ["none", "no band"]];

/** How far the slider of each smoothing goes. @type {Record<string, {min: number, max: number, step: number, start: number}>} */
const AMOUNTS = {
  ema: { min: 0, max: 0.99, step: 0.01, start: 0.6 }, twema: { min: 0, max: 0.99, step: 0.01, start: 0.6 },
  gaussian: { min: 0, max: 100, step: 1, start: 5 }, mean: { min: 1, max: 200, step: 1, start: 10 }, none: { min: 0, max: 1, step: 1, start: 0 },
};

/**
 * @typedef {object} ToolsWatch
 * @property {(changes: Partial<Shared>, isStep: boolean) => void} onChange
 * @property {() => void} onResetZoom
 * @property {(text: string) => void} onFind
 * @property {() => Promise<string[]>} groupKeys
 * @property {string[]} metrics
 */

export class Tools {
  /** @param {HTMLElement} element @param {ToolsWatch} watch */
  constructor(element, watch) {
    this.watch = watch;
    this.find = make("input", { type: "search", placeholder: "Find panels", "aria-label": "Find panels", spellcheck: "false", autocomplete: "off" });
    this.find.addEventListener("input", later(() => watch.onFind(this.find.value), REST_MS));
    this.x = select("Horizontal axis", X_CHOICES.map((one) => [one.value, one.label]));
    this.smooth = select("Smoothing", SMOOTHINGS.map((one) => [one.value, one.value === "none" ? "No smoothing" : one.label]));
    this.amount = make("input", { type: "range", "aria-label": "Amount of smoothing" });
    this.amountText = make("output", { class: "number" });
    this.group = select("Groups", [["", "No groups"], [SEED_KEY, "Everything but seed"]]);
    this.center = select("Centre", [["mean", "mean"], ["median", "median"]]);
    this.band = select("Band", BANDS);
    this.reset = make("button", { type: "button", class: "button", hidden: true, on: { click: () => watch.onResetZoom() } }, "Reset zoom");
    this.more = this.makeMore();
    element.replaceChildren(this.find, this.x,
      make("span", { class: "joined" }, this.smooth, this.amount, this.amountText),
      make("span", { class: "joined" }, this.group, this.center, this.band),
      this.more);
    byId("zoom-actions").replaceChildren(this.reset);
    this.listen();
    this.fillMetrics();
  }

  makeMore() {
    this.logX = check("Logarithmic x");
    this.logY = check("Logarithmic y");
    this.clip = check("Clip outliers");
    this.ranks = select("Ranks", RANKS.map((one) => [one.value, one.label]));
    return make("details", { class: "drop" }, make("summary", { class: "button" }, "Axes"),
      make("div", { class: "menu drop-box" }, label(this.logX, "Logarithmic x"), label(this.logY, "Logarithmic y"), label(this.clip, "Leave outliers out of the range"), this.ranks));
  }

  listen() {
    const { watch } = this;
    this.x.addEventListener("change", () => watch.onChange({ x: this.x.value, zoom: null }, true));
    this.smooth.addEventListener("change", () => {
      const kind = /** @type {Shared["smooth"]["kind"]} */ (this.smooth.value);
      watch.onChange({ smooth: { kind, amount: AMOUNTS[kind].start } }, true);
    });
    const slide = later((/** @type {boolean} */ isStep) => {
      watch.onChange({ smooth: { kind: /** @type {any} */ (this.smooth.value), amount: Number(this.amount.value) } }, isStep);
    }, REST_MS / 2);
    this.amount.addEventListener("input", () => {
      this.amountText.textContent = this.amount.value;
      slide(false);
    });
    for (const one of [this.group, this.center, this.band]) {
      one.addEventListener("change", () => {
        const by = this.group.value.split(KEY_GAP).filter(Boolean);
        const group = { by, center: this.center.value, band: this.band.value };
        watch.onChange({ group: by.length ? /** @type {Shared["group"]} */ (group) : null }, true);
      });
    }
    this.group.addEventListener("focus", () => this.fillGroups(), { once: true });
    this.group.addEventListener("pointerenter", () => this.fillGroups(), { once: true });
    this.logX?.addEventListener("change", () => watch.onChange({ logX: this.logX?.checked }, true));
    this.logY?.addEventListener("change", () => watch.onChange({ logY: this.logY?.checked }, true));
    this.clip?.addEventListener("change", () => watch.onChange({ clip: this.clip?.checked }, true));
    this.ranks?.addEventListener("change", () => watch.onChange({ ranks: this.ranks?.value }, true));
    addEventListener("pointerdown", (event) => {
      if (this.more.open && !this.more.contains(/** @type {Node} */ (event.target))) this.more.open = false;
    });
    this.more.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.more.open = false;
      this.more.querySelector("summary")?.focus();
    });
  }

  async fillGroups() {
    const keys = await this.watch.groupKeys();
    const known = new Set([...this.group.options].map((one) => one.value));
    for (const key of keys) if (!known.has(key)) this.group.append(make("option", { value: key }, key.slice(0, 80)));
  }

  fillMetrics() {
    if (!this.watch.metrics.length) return;
    const group = make("optgroup", { label: "Metrics" }, ...this.watch.metrics.slice(0, 500).map((one) => make("option", { value: one }, one.slice(0, 80))));
    this.x.append(group);
  }

  /** Shows what holds now. @param {Shared} shared */
  show(shared) {
    ensureOption(this.x, shared.x);
    this.x.value = shared.x;
    const { kind, amount } = shared.smooth;
    this.smooth.value = kind;
    const { min, max, step } = AMOUNTS[kind];
    for (const [name, value] of Object.entries({ min, max, step })) this.amount.setAttribute(name, String(value));
    this.amount.value = String(amount);
    this.amountText.textContent = String(amount);
    this.amount.hidden = this.amountText.hidden = kind === "none";
    const by = (shared.group?.by ?? []).join(KEY_GAP);
    ensureOption(this.group, by);
    this.group.value = by;
    this.center.hidden = this.band.hidden = !shared.group;
    this.center.value = shared.group?.center ?? "mean";
    this.band.value = shared.group?.band ?? "minmax";
    for (const [box, isOn] of /** @type {const} */ ([[this.logX, shared.logX], [this.logY, shared.logY], [this.clip, shared.clip]])) if (box) box.checked = isOn;
    if (this.ranks) {
      ensureOption(this.ranks, shared.ranks);
      this.ranks.value = shared.ranks;
    }
    this.reset.hidden = !shared.zoom;
  }
}

/** @param {HTMLSelectElement} box @param {string} value */
function ensureOption(box, value) {
  if ([...box.options].some((one) => one.value === value)) return;
  box.append(make("option", { value }, value.replaceAll(KEY_GAP, " + ").slice(0, 80)));
}

/** @param {string} name @param {string[][]} choices */
function select(name, choices) {
  return make("select", { "aria-label": name }, ...choices.map(([value, text]) => make("option", { value }, text)));
}

/** @param {string} name */
function check(name) {
  return make("input", { type: "checkbox", "aria-label": name });
}

/** @param {HTMLElement} control @param {string} text */
function label(control, text) {
  return make("label", { class: "check" }, control, text);
}
