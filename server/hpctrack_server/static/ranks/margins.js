// What stands beside a heat map: bands over the ranks above it, means of the ranks on the right.
import { formatNumber } from "../base/format.js";
import { token } from "../base/tokens.js";
import { labelTicks, makePalette, niceTicks, TOP_CODE } from "./palette.js";

const EDGE_SHARE = 0.12;
const LABEL_MAX_CHARS = 10;
const BAND_LINES = /** @type {const} */ (["low", "median", "high"]);

/** @typedef {import("../charts/figure.js").Figure} Figure */

/**
 * The mean of each row of the picture.
 * @param {Figure} bars
 * @param {any} head of the picture
 * @param {Record<string, any>} arrays of the picture
 */
export function drawBars(bars, head, arrays) {
  const { means, starts } = arrays;
  const rows = head.rows;
  const data = { top: new Float64Array(rows), bottom: new Float64Array(rows), right: new Float64Array(rows), color: /** @type {string[]} */ ([]) };
  const palette = makePalette();
  let [low, high] = [Infinity, -Infinity];
  for (let row = 0; row < rows; row++) {
    let [sum, n] = [0, 0];
    for (let i = starts[row]; i < starts[row + 1]; i++) {
      if (Number.isNaN(means[i])) continue;
      sum += means[i];
      n += 1;
    }
    const mean = n ? sum / n : NaN;
    data.top[row] = head.first + starts[row];
    data.bottom[row] = head.first + starts[row + 1];
    data.right[row] = mean;
    if (mean < low) low = mean;
    if (mean > high) high = mean;
  }
  for (const mean of data.right) {
    const share = high > low ? (mean - low) / (high - low) : 0.5;
    data.color.push(palette[Math.round(TOP_CODE * (0.25 + 0.75 * (Number.isNaN(share) ? 0 : share)))]);
  }
  bars.find("bars").data = data;
  // From zero unless that would hide who differs.
  const isClose = low > 0 && high - low < 0.5 * high && high - low > 1e-6 * high;
  const base = isClose ? Math.max(0, low - 0.6 * (high - low)) : Math.min(0, low);
  for (const renderer of bars.model.renderers) renderer.glyph.left = { value: base };
  const top = high > base ? high : base + 1;
  if (!Number.isFinite(base)) return;
  const end = top + 0.05 * (top - base);
  bars.model.x_range.setv({ start: base, end });
  const ticks = pickTicks(base, end);
  bars.model.below[0].major_label_overrides = new Map(labelTicks(ticks).map((text, i) => [ticks[i], text]));
  bars.find("values").ticks = ticks;
  bars.model.y_range.setv({ start: head.last, end: head.first });
}

/**
 * Ticks of a strip so narrow that two labels are all it has room for, and not at its ends:
 * there they would run into those of the picture beside it.
 * @param {number} start @param {number} end
 */
function pickTicks(start, end) {
  const inside = niceTicks(start, end, 2).filter((at) => at >= start + EDGE_SHARE * (end - start) && at <= end - EDGE_SHARE * (end - start));
  const ends = inside.length > 2 ? [inside[0], inside[inside.length - 1]] : inside;
  return labelTicks(ends).join("").length > LABEL_MAX_CHARS ? ends.slice(0, 1) : ends;
}

/**
 * @param {Figure} bands
 * @param {Record<string, any>} data `x, low, p5, median, p95, high`
 * @param {number} eachStep steps of a column
 * @returns {string} what the bands are, in words
 */
export function drawBands(bands, data, eachStep) {
  // To the middle of what each column stands for.
  data.x = data.x.map((/** @type {number} */ x) => x + eachStep / 2);
  bands.find("bands").data = data;
  const accent = token("--accent");
  bands.find("lines").data = {
    xs: BAND_LINES.map(() => data.x),
    ys: BAND_LINES.map((name) => data[name]),
    color: BAND_LINES.map(() => accent),
    alpha: BAND_LINES.map((name) => (name === "median" ? 1 : 0.35)),
  };
  const [low, high] = fitBands(data);
  const pad = 0.06 * (high - low) || Math.abs(low) * 0.05 || 0.5;
  if (low <= high) bands.model.y_range.setv({ start: low - pad, end: high + pad });
  const top = data.high.reduce((/** @type {number} */ a, /** @type {number} */ b) => (b > a ? b : a), -Infinity);
  return `lowest to highest, 5\u201395\u00a0%, median of the ranks${top > high + pad ? `; spikes up to ${formatNumber(top)}` : ""}`;
}

/**
 * Limits in which the bands can be seen: single spikes may leave them.
 * @param {Record<string, Float64Array>} data
 * @returns {[number, number]}
 */
function fitBands(data) {
  const sorted = (/** @type {Float64Array} */ values) => Float64Array.from(values).filter((one) => !Number.isNaN(one)).sort();
  const [lows, highs, inner] = [sorted(data.low), sorted(data.high), sorted(data.p95)];
  if (!lows.length) return [Infinity, -Infinity];
  const [low, high] = [lows[Math.floor(lows.length * 0.02)], highs[Math.floor(highs.length * 0.75)]];
  const [all, most] = [highs[highs.length - 1] - low, Math.max(high, inner[inner.length - 1]) - low];
  return [Math.min(low, lows[0] < low - most ? low : lows[0]), all > 3 * most ? low + 1.4 * most : highs[highs.length - 1]];
}
