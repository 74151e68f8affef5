// Arithmetic on arrays of numbers that charts share. Pure.

/** @typedef {import("./series.js").Numbers} Numbers */

/** The lowest and the highest of what it was shown; NaN does not count. */
export class Extent {
  low = Infinity;
  high = -Infinity;

  /** @param {number} value */
  add(value) {
    if (value < this.low) this.low = value;
    if (value > this.high) this.high = value;
  }

  /** The ends of what never decreases. @param {ArrayLike<number>} sorted */
  takeEnds(sorted) {
    if (!sorted.length) return;
    this.add(sorted[0]);
    this.add(sorted[sorted.length - 1]);
  }

  /**
   * @param {ArrayLike<number>} values
   * @param {ArrayLike<number>} [x] never decreasing; with `range`, only what lies inside counts
   * @param {[number, number] | null} [range]
   */
  take(values, x, range) {
    const first = x && range ? firstAtOrAbove(x, range[0]) : 0;
    for (let i = first; i < values.length; i++) {
      if (x && range && x[i] > range[1]) break;
      this.add(values[i]);
    }
  }

  get isEmpty() {
    return !(this.low <= this.high);
  }

  /**
   * With room on both sides.
   * @param {number} frac of the span
   * @param {boolean} [isLog] room is then a part of the span of the logarithms
   * @returns {[number, number]}
   */
  padded(frac, isLog = false) {
    if (this.isEmpty) return isLog ? [1, 10] : [0, 1];
    if (isLog && this.low > 0) {
      const ratio = this.high > this.low ? (this.high / this.low) ** frac : 2;
      return [this.low / ratio, this.high * ratio];
    }
    const span = this.high - this.low;
    const pad = span > 0 ? span * frac : Math.abs(this.low) * 0.05 || 0.5;
    return [this.low - pad, this.high + pad];
  }
}

/**
 * The first index whose value is not below; the length if there is none.
 * @param {ArrayLike<number>} sorted never decreasing
 * @param {number} wanted
 */
export function firstAtOrAbove(sorted, wanted) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The index of the value that is nearest; -1 of an empty array.
 * @param {ArrayLike<number>} sorted never decreasing
 * @param {number} wanted
 */
export function nearest(sorted, wanted) {
  if (!sorted.length) return -1;
  const above = Math.min(firstAtOrAbove(sorted, wanted), sorted.length - 1);
  if (!above) return 0;
  return wanted - sorted[above - 1] <= sorted[above] - wanted ? above - 1 : above;
}

/**
 * Which points a line keeps so that the lowest and the highest of every bucket are among them, in
 * their order, with the first and the last: what the server does, for points that came live.
 * @param {ArrayLike<number>} x never decreasing
 * @param {ArrayLike<number>} y NaN is a gap
 * @param {number} width buckets
 * @returns {number[]} indices
 */
export function chooseExtremes(x, y, width) {
  const count = x.length;
  const span = count ? x[count - 1] - x[0] : 0;
  if (count <= 2 * width + 2 || !(span > 0)) return Array.from({ length: count }, (_, i) => i);
  /** @type {number[]} */
  const kept = [];
  const keep = (/** @type {number} */ i) => {
    if (kept[kept.length - 1] !== i) kept.push(i);
  };
  keep(0);
  let [bucket, low, high] = [0, 0, 0];
  const close = () => {
    keep(Math.min(low, high));
    keep(Math.max(low, high));
  };
  for (let i = 1; i < count; i++) {
    const place = Math.min(Math.floor(((x[i] - x[0]) / span) * width), width - 1);
    if (place !== bucket) {
      close();
      bucket = place;
      low = high = i;
      continue;
    }
    if (y[i] < y[low] || Number.isNaN(y[low])) low = i;
    if (y[i] > y[high] || Number.isNaN(y[high])) high = i;
  }
  close();
  keep(count - 1);
  return kept;
}

/**
 * Some values by their indices.
 * @param {ArrayLike<number>} values
 * @param {number[]} indices
 */
export function take(values, indices) {
  const found = new Float64Array(indices.length);
  indices.forEach((index, i) => (found[i] = values[index]));
  return found;
}
