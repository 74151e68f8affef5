// Colours of values, from the style sheet's tokens: they know the theme.
import { parseHex, token } from "../base/tokens.js";

const ANCHORS = 9;
export const TOP_CODE = 253;
export const NO_VALUE = 255;

/** The colours of codes 0 to `TOP_CODE`. @returns {string[]} */
export function makePalette() {
  const anchors = Array.from({ length: ANCHORS }, (_, i) => parseHex(token(`--heat-${i}`)));
  return Array.from({ length: TOP_CODE + 1 }, (_, code) => {
    const place = (code / TOP_CODE) * (ANCHORS - 1);
    const low = Math.min(Math.floor(place), ANCHORS - 2);
    const mixed = anchors[low].map((part, i) => Math.round(part + (anchors[low + 1][i] - part) * (place - low)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  });
}

/** The ramp as a background. @param {string} direction such as "to top" */
export function makeGradient(direction) {
  return `linear-gradient(${direction}, ${Array.from({ length: ANCHORS }, (_, i) => `var(--heat-${i})`).join(", ")})`;
}

/**
 * Round numbers between two limits, a few of them.
 * @param {number} low @param {number} high @param {number} wanted
 * @returns {number[]}
 */
export function niceTicks(low, high, wanted) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= rough) ?? rough;
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high + step * 1e-9; i++) ticks.push(i * step || 0);
  return ticks;
}

/** Numbers with as many decimals as tell neighbours apart. @param {number[]} ticks */
export function labelTicks(ticks) {
  const gap = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : Math.abs(ticks[0]) || 1;
  const size = Math.max(...ticks.map(Math.abs));
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return ticks.map((one) => one.toExponential(2).replace("e+", "e"));
  const decimals = Math.max(0, Math.min(8, Math.ceil(-Math.log10(gap) + 1e-9)));
  const more = Math.abs(gap * 10 ** decimals - Math.round(gap * 10 ** decimals)) > 1e-6 ? 1 : 0;
  return ticks.map((one) => one.toLocaleString("en", { minimumFractionDigits: decimals + more, maximumFractionDigits: decimals + more }));
}
