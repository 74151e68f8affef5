// From series to what a figure draws: columns of its sources, and ranges of its axes. Pure.
import { Extent } from "../charts/numbers.js";

/**
 * @typedef {object} Curve one line or group of the answer
 * @property {string | null} run
 * @property {string} label of a group: what the others have not
 * @property {string} fullLabel
 * @property {number | null} rank
 * @property {number} runs how many it stands for
 * @property {number} total
 * @property {number} drawn
 * @property {number} gaps points that are not a number
 * @property {ArrayLike<number>} x
 * @property {ArrayLike<number>} y true points; the centre of a group
 * @property {ArrayLike<number>} [sx]
 * @property {ArrayLike<number>} [sy] smoothed
 * @property {ArrayLike<number>} [low]
 * @property {ArrayLike<number>} [high]
 * @property {string} color
 * @property {boolean} isHot the pointer is on it
 */

const RAW_ALPHA = 0.22;
const EDGE_ALPHA = 0.28;
const COLD_ALPHA = 0.18;
const COLD_RAW_ALPHA = 0.06;
const HOT_WIDTH = 2;
const DOTS_MAX_POINTS = 40;
const DOTS_MAX_LINES = 24;
const FEW_LINES = 20;
const DENSE_POINTS = 400;
const X_PADDING = 0.012;
const Y_PADDING = 0.06;

/**
 * @param {Curve[]} curves the last is on top
 * @param {(x: number) => number} toAxis
 * @param {boolean} isLogY
 */
export function makeColumns(curves, toAxis, isLogY) {
  const lines = { xs: /** @type {any[]} */ ([]), ys: /** @type {any[]} */ ([]), color: /** @type {string[]} */ ([]), width: /** @type {number[]} */ ([]), alpha: /** @type {number[]} */ ([]) };
  const dots = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
  const bands = { xs: /** @type {any[]} */ ([]), ys: /** @type {any[]} */ ([]), color: /** @type {string[]} */ ([]) };
  const isAnyHot = curves.some((one) => one.isHot);
  // Width 1 is also the fast one: 4.6 times as fast as 1.5 in software raster.
  const isDense = curves.length > FEW_LINES || curves.some((one) => one.x.length > DENSE_POINTS);
  const add = (/** @type {any} */ x, /** @type {any} */ y, /** @type {string} */ color, /** @type {number} */ width, /** @type {number} */ alpha) => {
    lines.xs.push(x);
    lines.ys.push(y);
    lines.color.push(color);
    lines.width.push(width);
    lines.alpha.push(alpha);
  };
  for (const curve of curves) {
    const { color } = curve;
    const x = convert(curve.x, toAxis);
    const isCold = isAnyHot && !curve.isHot;
    const width = isDense && !curve.low ? 1 : curve.isHot ? HOT_WIDTH : 1.5;
    if (curve.low && curve.high) {
      addBand(bands, x, curve.low, curve.high, isLogY, color);
      // A spike of one step is too narrow to be seen as an area.
      for (const edge of [curve.low, curve.high]) add(x, edge, color, 1, isCold ? COLD_RAW_ALPHA : EDGE_ALPHA);
    }
    if (curve.sx && curve.sy) {
      add(x, curve.y, color, 1, isCold ? COLD_RAW_ALPHA : RAW_ALPHA);
      add(convert(curve.sx, toAxis), curve.sy, color, curve.isHot ? HOT_WIDTH : curves.length > FEW_LINES ? 1 : 1.5, isCold ? COLD_ALPHA : 1);
    } else add(x, curve.y, color, width, isCold ? COLD_ALPHA : 1);
    if (curve.x.length <= DOTS_MAX_POINTS && curves.length <= DOTS_MAX_LINES && !isCold) {
      for (let i = 0; i < x.length; i++) {
        dots.x.push(x[i]);
        dots.y.push(curve.y[i]);
        dots.color.push(color);
      }
    }
  }
  return { lines, dots, bands };
}

/** @param {ArrayLike<number>} values @param {(x: number) => number} toAxis @returns {ArrayLike<number>} */
function convert(values, toAxis) {
  if (toAxis(1) === 1) return values;
  return Float64Array.from(values, toAxis);
}

/**
 * Adds the outline of a band, one for each stretch without gaps.
 * @param {{xs: any[], ys: any[], color: string[]}} bands
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} low @param {ArrayLike<number>} high
 * @param {boolean} isLogY @param {string} color
 */
function addBand(bands, x, low, high, isLogY, color) {
  let least = Infinity;
  if (isLogY) for (let i = 0; i < low.length; i++) if (low[i] > 0 && low[i] < least) least = low[i];
  const isThere = (/** @type {number} */ i) => !Number.isNaN(low[i]) && !Number.isNaN(high[i]) && !(isLogY && high[i] <= 0);
  let start = 0;
  for (let i = 0; i <= x.length; i++) {
    if (i < x.length && isThere(i)) continue;
    const count = i - start;
    if (count > 1) {
      const xs = new Float64Array(2 * count);
      const ys = new Float64Array(2 * count);
      for (let j = 0; j < count; j++) {
        xs[j] = xs[2 * count - 1 - j] = x[start + j];
        // Below zero there is nothing on a logarithmic axis: the band goes down to its lowest positive edge.
        ys[j] = isLogY && low[start + j] <= 0 ? Math.min(least, high[start + j]) : low[start + j];
        ys[2 * count - 1 - j] = high[start + j];
      }
      bands.xs.push(xs);
      bands.ys.push(ys);
      bands.color.push(color);
    }
    start = i + 1;
  }
}

/**
 * @param {Curve[]} curves in numbers of the data
 * @param {{zoom: [number, number] | null, isLog: boolean, fixed: (number | null)[]}} how
 * @returns {[number, number]}
 */
export function rangeOfX(curves, { zoom, isLog, fixed }) {
  if (zoom) return zoom;
  const extent = new Extent();
  for (const { x } of curves) {
    for (let i = 0; i < x.length && isLog; i++) if (x[i] > 0) extent.add(x[i]);
    if (!isLog) extent.takeEnds(x);
  }
  const [low, high] = extent.padded(X_PADDING, isLog);
  return [fixed[0] ?? low, fixed[1] ?? high];
}

/**
 * @param {Curve[]} curves
 * @param {{window: [number, number], isLog: boolean, fixed: (number | null)[], clip: number[] | null}} how
 * `window` is the x range; `clip` the range without outliers, if they are left out
 * @returns {[number, number]}
 */
export function rangeOfY(curves, { window, isLog, fixed, clip }) {
  const extent = new Extent();
  const take = (/** @type {ArrayLike<number>} */ x, /** @type {ArrayLike<number> | undefined} */ y) => {
    for (let i = 0; y && i < y.length; i++) {
      if (x[i] >= window[0] && x[i] <= window[1] && (!isLog || y[i] > 0)) extent.add(y[i]);
    }
  };
  for (const curve of curves) {
    take(curve.x, curve.y);
    take(curve.x, curve.low);
    take(curve.x, curve.high);
    if (curve.sx) take(curve.sx, curve.sy);
  }
  if (clip && clip[0] < clip[1]) {
    const spare = (clip[1] - clip[0]) * 0.1;
    extent.low = Math.max(extent.low, isLog ? clip[0] : clip[0] - spare);
    extent.high = Math.min(extent.high, clip[1] + spare);
  }
  const [low, high] = extent.padded(Y_PADDING, isLog);
  return [fixed[0] ?? low, fixed[1] ?? high];
}
