// What colour a run has by the value of a column, and the legend that says so.
import { make } from "../base/dom.js";
import { colourOf, token } from "../base/tokens.js";
import { quantile } from "./columns.js";
import { gradient, paletteFor, ramp } from "./palette.js";
import { Scale } from "./scale.js";

/** Colours of a scale: more cannot be told apart. */
const SHADES = 64;
const LEGEND_MAX = 10;

/** @typedef {{palette?: string, low?: number | null, high?: number | null}} ColourSettings */

export class Colouring {
  /** @param {import("./columns.js").Column} column @param {ColourSettings} [settings] @param {Scale} [scale] */
  constructor(column, settings = {}, scale = Scale.of(column)) {
    this.column = column;
    this.scale = scale;
    this.isRamp = column.kind !== "category";
    this.palette = settings.palette || paletteFor(column.key);
    this.missing = token("--muted");
    if (!this.isRamp) return;
    // The outermost fiftieths would take all colours for themselves.
    this.low = settings.low ?? quantile(column.values, 0.02);
    this.high = settings.high ?? quantile(column.values, 0.98);
    this.shades = Array.from({ length: SHADES }, (_, i) => ramp(this.palette, i / (SHADES - 1)));
  }

  /** @param {number} run its row */
  at(run) {
    return this.of(this.column.values[run]);
  }

  /** @param {number} value */
  of(value) {
    if (Number.isNaN(value)) return this.missing;
    if (!this.shades) return colourOf(value);
    const place = this.scale.at(value);
    const [from, to] = [this.scale.at(this.low ?? 0), this.scale.at(this.high ?? 1)];
    if (Number.isNaN(place)) return this.missing;
    const part = to > from ? (place - from) / (to - from) : 0.5;
    return this.shades[Math.round(Math.min(Math.max(part, 0), 1) * (SHADES - 1))];
  }

  get gradient() {
    return gradient(this.palette);
  }

  /** @returns {HTMLElement} */
  makeLegend() {
    if (this.isRamp) {
      return makeRamp(this.column.key, this.palette, this.scale.format(this.low ?? NaN), this.scale.format(this.high ?? NaN));
    }
    return makeKeys(this.column.labels.map((label, i) => ({ label, colour: colourOf(i) })));
  }
}

/** @param {string} title @param {string} palette @param {string} low @param {string} high */
export function makeRamp(title, palette, low, high) {
  const bar = make("i", { class: "gradient" });
  bar.style.background = gradient(palette);
  return make("div", { class: "legend" }, make("bdi", { class: "clip" }, title), make("span", {}, low), bar, make("span", {}, high));
}

/** @param {{label: string, colour: string}[]} entries */
export function makeKeys(entries) {
  const shown = entries.slice(0, LEGEND_MAX).map(({ label, colour }) => {
    const key = make("i", { class: "key" });
    key.style.background = colour;
    return make("span", { class: "clip", title: label }, key, make("bdi", {}, label));
  });
  const more = entries.length > LEGEND_MAX ? [make("span", {}, `and ${entries.length - LEGEND_MAX} more`)] : [];
  return make("div", { class: "legend" }, ...shown, ...more);
}
