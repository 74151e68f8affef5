// Where axes and runs of parallel coordinates stand, in pixels. Pure.

/** @typedef {import("./axis.js").Axis} Axis */
/**
 * From above and from the left: `high` is the upper end of all axes, `missing` is where runs
 * without a value are.
 * @typedef {{xs: number[], low: number, high: number, height: number, missing: number | null}} Layout
 */

const SIDE_PX = 64;
const EDGE_PX = 14;
const MISSING_PX = 30;
const NEAR_PX = 8;
const TICK_PX = 4;

/** @param {Axis[]} axes @param {{width: number, height: number}} size @returns {Layout} */
export function layOut(axes, { width, height }) {
  const hasMissing = axes.some((axis) => axis.hasMissing);
  const low = height - EDGE_PX - (hasMissing ? MISSING_PX : 0);
  const side = Math.min(SIDE_PX, width / 8);
  const gap = (width - 2 * side) / Math.max(axes.length - 1, 1);
  const xs = axes.map((_, i) => (axes.length === 1 ? width / 2 : Math.round(side + i * gap)));
  return { xs, low, high: EDGE_PX, height, missing: hasMissing ? height - EDGE_PX : null };
}

/** Heights of all runs on all axes, from below. @param {Axis[]} axes @param {Layout} layout */
export function computeHeights(axes, { low, high, height, missing }) {
  const bottom = height - low;
  const span = low - high;
  const none = height - (missing ?? low);
  return axes.map(({ units }) => {
    const found = new Float32Array(units.length);
    for (let i = 0; i < units.length; i++) found[i] = Number.isNaN(units[i]) ? none : bottom + span * units[i];
    return found;
  });
}

/** The axes and their ticks as lines, from below. @param {Axis[]} axes @param {Layout} layout */
export function makeStrokes(axes, { xs, low, high, height, missing }) {
  /** @type {{xs: number[][], ys: number[][]}} */
  const strokes = { xs: [], ys: [] };
  const add = (/** @type {[number, number]} */ across, /** @type {[number, number]} */ up) => {
    strokes.xs.push(across);
    strokes.ys.push(up);
  };
  axes.forEach((axis, i) => {
    const x = xs[i] + 0.5;
    add([x, x], [height - low, height - high]);
    for (const tick of axis.ticks(low - high)) {
      const unit = (tick.at - axis.range[0]) / (axis.range[1] - axis.range[0]);
      const y = height - low + (axis.isFlipped ? 1 - unit : unit) * (low - high);
      add([x - TICK_PX, x], [y, y]);
    }
    if (missing !== null && axis.hasMissing) add([x - TICK_PX, x + TICK_PX], [height - missing, height - missing]);
  });
  return strokes;
}

/**
 * The run whose line passes by; -1 if none does.
 * @param {{x: number, y: number}} place from below @param {number[]} xs of the axes
 * @param {Float32Array[]} heights @param {ArrayLike<number>} runs those that count
 */
export function findNearest({ x, y }, xs, heights, runs) {
  const right = xs.findIndex((one) => one >= x);
  if (right < 0 || !heights.length || (right === 0 && xs[0] - x > NEAR_PX)) return -1;
  const [i, j] = [Math.max(right - 1, 0), right];
  const part = xs[j] > xs[i] ? (x - xs[i]) / (xs[j] - xs[i]) : 0;
  const [a, b] = [heights[i], heights[j]];
  let [best, distance] = [-1, NEAR_PX];
  for (let k = 0; k < runs.length; k++) {
    const run = runs[k];
    const away = Math.abs(a[run] + (b[run] - a[run]) * part - y);
    if (away < distance) [best, distance] = [run, away];
  }
  return best;
}
