// One axis of parallel coordinates: where each run stands on it, and what is brushed.
import { Scale } from "../scale.js";
import { holds } from "./brush.js";

/** @typedef {import("./brush.js").Interval} Interval */

const JITTER = 0.36;
/** Runs from which those of a category fan out, so that one sees how many they are. */
const JITTER_RUNS_MIN = 40;

export class Axis {
  /**
   * @param {import("../columns.js").Column} column
   * @param {{flip?: boolean, scale?: string}} [options]
   */
  constructor(column, { flip = false, scale = "auto" } = {}) {
    this.key = column.key;
    this.column = column;
    this.values = column.values;
    this.isFlipped = flip;
    this.wanted = scale;
    this.scale = Scale.of(column, scale);
    this.range = this.scale.range(column.values);
    this.isWhole = Array.from(column.values).every((one) => Number.isNaN(one) || Number.isInteger(one));
    /** @type {Interval[]} */
    this.intervals = [];
    this.units = this.#place();
    /** Whether a run has no place on it. */
    this.hasMissing = this.units.some(Number.isNaN);
  }

  /** From 0, the lower end, to 1; NaN without a place. */
  #place() {
    const [low, high] = this.range;
    const { values, scale } = this;
    const units = new Float32Array(values.length);
    const isJittered = scale.kind === "category" && values.length >= JITTER_RUNS_MIN;
    const width = isJittered ? JITTER : 0;
    for (let i = 0; i < values.length; i++) {
      // The same run is always at the same place of its category.
      const shift = width ? (((i * 2654435761) >>> 0) / 2 ** 32 - 0.5) * width : 0;
      const unit = (scale.at(values[i]) + shift - low) / (high - low);
      units[i] = this.isFlipped ? 1 - unit : unit;
    }
    return units;
  }

  /** Ticks for an axis of some pixels. @param {number} length */
  ticks(length) {
    const isNamed = this.scale.kind === "category";
    const most = Math.max(2, Math.floor(length / (isNamed ? 15 : 44)));
    const found = this.scale.ticks(this.range[0], this.range[1], isNamed ? most : Math.min(most, 9));
    // Nobody has 6.5 layers.
    return this.isWhole && this.scale.kind === "linear" ? found.filter((one) => Number.isInteger(one.at)) : found;
  }

  /** @param {number} value */
  unitOf(value) {
    const [low, high] = this.range;
    const place = Number.isFinite(value) ? this.scale.at(value) : value > 0 ? high : low;
    const unit = Math.min(Math.max((place - low) / (high - low), 0), 1);
    return this.isFlipped ? 1 - unit : unit;
  }

  /** @param {number} unit */
  placeOf(unit) {
    const [low, high] = this.range;
    return low + (this.isFlipped ? 1 - unit : unit) * (high - low);
  }

  /** The interval between two heights, open at the ends of the axis; null if it holds nothing. @param {number} a @param {number} b @returns {Interval | null} */
  intervalOf(a, b) {
    const [first, second] = [this.placeOf(a), this.placeOf(b)];
    const [low, high] = [Math.min(first, second), Math.max(first, second)];
    if (this.scale.kind === "category") {
      const [from, to] = [Math.max(Math.ceil(low), 0), Math.min(Math.floor(high), this.scale.labels.length - 1)];
      return from <= to ? { low: from, high: to } : null;
    }
    const slack = (this.range[1] - this.range[0]) * 1e-9;
    return {
      low: low <= this.range[0] + slack ? -Infinity : this.#round(this.scale.valueAt(low)),
      high: high >= this.range[1] - slack ? Infinity : this.#round(this.scale.valueAt(high)),
    };
  }

  /** The two heights of an interval, the lower first. @param {Interval} one @returns {[number, number]} */
  unitsOf(one) {
    const half = this.scale.kind === "category" ? 0.5 : 0;
    const ends = [this.unitOf(one.low - half), this.unitOf(one.high + half)];
    return ends[0] <= ends[1] ? [ends[0], ends[1]] : [ends[1], ends[0]];
  }

  /** @param {number} value what a pixel can mean, no more digits */
  #round(value) {
    if (this.scale.kind === "log") return Number(value.toPrecision(3));
    const step = 10 ** Math.floor(Math.log10((this.range[1] - this.range[0]) / 500));
    return Number((Math.round(value / step) * step).toPrecision(12));
  }

  /** @param {number} run */
  isHit(run) {
    return !this.intervals.length || this.intervals.some((one) => holds(one, this.values[run]));
  }

  /** @param {Interval} one */
  describeInterval(one) {
    if (one.isMissing) return "no value";
    const { scale } = this;
    if (!Number.isFinite(one.low) && !Number.isFinite(one.high)) return "any value";
    if (!Number.isFinite(one.low)) return `at most ${scale.format(one.high)}`;
    if (!Number.isFinite(one.high)) return `at least ${scale.format(one.low)}`;
    if (one.low === one.high) return scale.format(one.low);
    return `${scale.format(one.low)} to ${scale.format(one.high)}`;
  }

  /** What a screen reader says of it. @param {number} position @param {number} count */
  describe(position, count) {
    const facts = [this.key, { log: "logarithmic", linear: "linear", category: "categories", time: "time" }[this.scale.kind]];
    if (this.isFlipped) facts.push("flipped");
    facts.push(`axis ${position + 1} of ${count}`);
    if (this.intervals.length) facts.push(`brushed: ${this.intervals.map((one) => this.describeInterval(one)).join(", ")}`);
    return facts.join(", ");
  }
}
