// Ranks as colours, and what lies between the lowest and the highest. Pure, but for the tokens.
import { blend, colourOf, SERIES, token } from "../base/tokens.js";

const RAMP_STOPS = 3;

/** Few ranks get colours that differ; many get a ramp, on which neighbours look alike. @param {number} rank @param {number} size */
export function colourOfRank(rank, size) {
  if (size <= SERIES) return colourOf(rank % SERIES);
  const ramp = Array.from({ length: RAMP_STOPS }, (_, i) => token(`--ramp-${i}`));
  const place = (rank / Math.max(size - 1, 1)) * (RAMP_STOPS - 1);
  const low = Math.min(Math.floor(place), RAMP_STOPS - 2);
  return blend(ramp[low], ramp[low + 1], place - low);
}

/**
 * Two lines with points of their own as one band.
 * @param {{x?: ArrayLike<number>, y?: ArrayLike<number>}} low
 * @param {{x?: ArrayLike<number>, y?: ArrayLike<number>}} high
 * @returns {{x: Float64Array, y: Float64Array, low: Float64Array, high: Float64Array}} `y` draws nothing
 */
export function joinBand(low, high) {
  const [lx, ly, hx, hy] = [low.x ?? [], low.y ?? [], high.x ?? [], high.y ?? []];
  const x = mergeSorted(lx, hx);
  return { x, y: new Float64Array(x.length).fill(NaN), low: readAlong(lx, ly, x), high: readAlong(hx, hy, x) };
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b both increasing */
function mergeSorted(a, b) {
  const merged = new Float64Array(a.length + b.length);
  let [i, j, count] = [0, 0, 0];
  while (i < a.length || j < b.length) {
    const next = j >= b.length || (i < a.length && a[i] <= b[j]) ? a[i++] : b[j++];
    if (!count || merged[count - 1] !== next) merged[count++] = next;
  }
  return merged.slice(0, count);
}

/**
 * A line's value at each x: exact at its own points, straight between them, NaN beyond its ends.
 * @param {ArrayLike<number>} xs increasing @param {ArrayLike<number>} ys @param {Float64Array} wanted increasing
 */
function readAlong(xs, ys, wanted) {
  const found = new Float64Array(wanted.length).fill(NaN);
  let at = 0;
  for (let i = 0; i < wanted.length; i++) {
    const x = wanted[i];
    while (at + 1 < xs.length && xs[at + 1] <= x) at++;
    if (!xs.length || x < xs[0] || x > xs[xs.length - 1]) continue;
    const span = at + 1 < xs.length ? xs[at + 1] - xs[at] : 0;
    found[i] = xs[at] === x || !span ? ys[at] : ys[at] + ((ys[at + 1] - ys[at]) * (x - xs[at])) / span;
  }
  return found;
}
