// New points of live runs: one stream for a page, and lines that take them in.
import { apiAddress } from "../base/api.js";
import { listenTo } from "../base/stream.js";
import { chooseExtremes, firstAtOrAbove, take } from "./numbers.js";

/**
 * New points of one metric of one run; a step may come again, then the later values count.
 * @typedef {object} Piece
 * @property {string} run
 * @property {string} metric
 * @property {"mean" | "min" | "max" | number} ranks
 * @property {number[]} step
 * @property {number[]} wall UTC seconds
 * @property {(number | null)[]} value null is a gap
 * @property {number} [cut] after a requeue: older points from this step on do not count any more
 */

/**
 * @typedef {object} Listeners
 * @property {(live: Record<string, number>) => void} [onBegin] runs that are live, and when each began,
 *   UTC seconds: fetch the charts now, also after a break; what comes while they are on their way is
 *   to be added to them
 * @property {(pieces: Piece[]) => void} onPoints
 * @property {(names: Record<string, string[]>) => void} [onMetrics] metrics that a run logs for the first time
 * @property {(runs: string[]) => void} [onStale] charts of these runs have to be fetched again
 * @property {(runs: string[]) => void} [onOver] these runs will log no more
 */

/**
 * Listens while the page can be seen.
 * @param {string} project
 * @param {{runs: string[], metrics?: string[], ranks?: "mean" | "min" | "max" | "all" | number}} what
 *   no metrics are all; of all ranks only `onStale` is told
 * @param {Listeners} listeners
 * @returns {() => void} ends it
 */
export function listenPoints(project, { runs, metrics = [], ranks = "mean" }, listeners) {
  const wanted = new URLSearchParams({ runs: runs.join(","), ranks: String(ranks) });
  for (const one of metrics) wanted.append("metric", one);
  let live = new Set(runs);
  const end = listenTo(`${apiAddress(["projects", project, "points"])}?${wanted}`, {
    begin: ({ runs: begun }) => {
      live = new Set(Object.keys(begun));
      listeners.onBegin?.(begun);
      if (!live.size) end();
    },
    points: (pieces) => listeners.onPoints(pieces),
    metrics: (said) => listeners.onMetrics?.(said.runs),
    stale: (said) => listeners.onStale?.(said.runs),
    over: (said) => {
      for (const run of said.runs) live.delete(run);
      listeners.onOver?.(said.runs);
      if (!live.size) end();
    },
  });
  return end;
}

const ROOM = 256;

/** A line that grows: it takes points in at its end, and stays as short as a screen is wide. */
export class LiveLine {
  #x = new Float64Array(ROOM);
  #y = new Float64Array(ROOM);
  #count = 0;

  /**
   * @param {ArrayLike<number>} x never decreasing
   * @param {ArrayLike<number>} y
   * @param {number} width buckets: of more than six points for each the extremes are kept
   */
  constructor(x, y, width) {
    this.width = Math.max(width, 16);
    /** Points that came since it was fetched, without those that were cut off. */
    this.added = 0;
    this.#reserve(x.length);
    this.#x.set(x);
    this.#y.set(y);
    this.#count = x.length;
  }

  get x() {
    return this.#x.subarray(0, this.#count);
  }

  get y() {
    return this.#y.subarray(0, this.#count);
  }

  /**
   * @param {Piece} piece
   * @param {(piece: Piece, i: number) => number} xOf see `xOfPiece`
   * @returns {boolean} whether anything has changed
   */
  add(piece, xOf) {
    const before = this.#count;
    if (piece.cut !== undefined && piece.step.length) {
      // Only where x is the step is it known which points those are.
      this.#count = firstAtOrAbove(this.x, xOf({ ...piece, step: [piece.cut] }, 0));
      this.added -= before - this.#count;
    }
    let isChanged = this.#count !== before;
    for (let i = 0; i < piece.step.length; i++) {
      isChanged = this.#put(xOf(piece, i), piece.value[i] ?? NaN) || isChanged;
    }
    if (this.#count > 6 * this.width) this.#shrink();
    return isChanged;
  }

  /** @param {number} x @param {number} y */
  #put(x, y) {
    const count = this.#count;
    if (!count || x > this.#x[count - 1]) {
      this.#reserve(count + 1);
      this.#x[count] = x;
      this.#y[count] = y;
      this.#count++;
      this.added++;
      return true;
    }
    const at = firstAtOrAbove(this.x, x);
    if (this.#x[at] === x) {
      if (Object.is(this.#y[at], y)) return false;
      this.#y[at] = y;
      return true;
    }
    // A point that was left out when the line was fetched, or one that comes late.
    this.#reserve(count + 1);
    this.#x.copyWithin(at + 1, at, count);
    this.#y.copyWithin(at + 1, at, count);
    this.#x[at] = x;
    this.#y[at] = y;
    this.#count++;
    return true;
  }

  #shrink() {
    const kept = chooseExtremes(this.x, this.y, this.width);
    const [x, y] = [take(this.x, kept), take(this.y, kept)];
    this.#x.set(x);
    this.#y.set(y);
    this.#count = kept.length;
  }

  /** @param {number} count */
  #reserve(count) {
    if (count <= this.#x.length) return;
    const [x, y] = [this.x, this.y];
    const size = Math.max(2 * this.#x.length, count + ROOM);
    this.#x = new Float64Array(size);
    this.#y = new Float64Array(size);
    this.#x.set(x);
    this.#y.set(y);
  }
}

/**
 * Where points of a piece lie; null if x is a metric, whose chart has to be fetched again.
 * @param {string} axis
 * @param {number} begunS when the run began, UTC seconds
 * @returns {((piece: Piece, i: number) => number) | null}
 */
export function xOfPiece(axis, begunS) {
  if (axis === "step") return (piece, i) => piece.step[i];
  if (axis === "time") return (piece, i) => piece.wall[i];
  return axis === "relative" ? (piece, i) => piece.wall[i] - begunS : null;
}
