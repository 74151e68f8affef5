// Numbers of charts: the typed client of POST /api/v1/projects/<project>/series.
import { apiAddress, fetchArrays } from "../base/api.js";

/** @typedef {Float32Array | Float64Array | Uint8Array | Uint16Array | Uint32Array | Int32Array} Numbers */

/**
 * What a chart asks for; hpctrack_server/data/series/query.py reads it.
 * @typedef {object} ChartQuery
 * @property {string} y a metric, or an expression of metrics
 * @property {string[]} [runs] ids, in this order
 * @property {{filter?: string, search?: string, sort?: string, limit?: number}} [query]
 * @property {string} [x] "step", "time" (UTC seconds), "relative" (seconds), or a metric
 * @property {number | null} [x0]
 * @property {number | null} [x1]
 * @property {number} [width] buckets per line; `chooseWidth` says how many a plot needs
 * @property {boolean} [log_x]
 * @property {"mean" | "min" | "max" | "all" | number} [ranks]
 * @property {{kind: "none" | "ema" | "twema" | "gaussian" | "mean", amount: number} | null} [smooth]
 * @property {{by: string[], center?: "mean" | "median", band?: "none" | "minmax" | "std" | "stderr" | "ci"} | null} [group]
 */

/**
 * One line: a run, a rank of a run, or a group of runs.
 * @typedef {object} Line
 * @property {string | null} run null for a group
 * @property {string} label
 * @property {string | null} group
 * @property {number | null} rank
 * @property {number} total points in the window
 * @property {number} drawn points that were sent
 * @property {number} gaps points that cannot be drawn: NaN, or infinite
 * @property {number} runs how many runs it stands for
 * @property {[number, number] | null} last
 * @property {Numbers} [x]
 * @property {Numbers} [y] true points; the extremes of every bucket are among them
 * @property {Numbers} [sx]
 * @property {Numbers} [sy] the smoothed line, computed from all points
 * @property {Numbers} [gx] of a group
 * @property {Numbers} [center]
 * @property {Numbers} [low] of a group's band
 * @property {Numbers} [high]
 */

/**
 * @typedef {object} Chart
 * @property {string} y
 * @property {string} x
 * @property {Line[]} lines
 * @property {number} total
 * @property {number} drawn
 * @property {boolean} exact
 * @property {string} note what a reader has to know if it is not
 * @property {[number, number] | null} y_range where nearly all values lie
 * @property {[number, number] | null} x_range of all points of all runs
 * @property {string[]} missing runs that have not logged it
 * @property {{run: string, message: string}[]} errors
 */

const PIXELS_PER_BUCKET = 1.25;
const WIDTH_MIN = 64;

/**
 * How many buckets a plot of so many CSS pixels needs: each has two points.
 * @param {number} pixels
 */
export function chooseWidth(pixels) {
  return Math.max(WIDTH_MIN, Math.round(pixels / PIXELS_PER_BUCKET));
}

/**
 * @param {string} project
 * @param {ChartQuery} query
 * @param {AbortSignal} [signal]
 * @returns {Promise<Chart>}
 */
export async function fetchChart(project, query, signal) {
  return makeChart(await fetchArrays(apiAddress(["projects", project, "series"]), query, signal));
}

/**
 * @param {{head: any, arrays: any[]}} answer of `decodeArrays`
 * @returns {Chart}
 */
function makeChart({ head, arrays }) {
  const { arrays: _entries, ...chart } = head;
  /** @type {Numbers[]} */
  const whole = [];
  for (const entry of arrays) {
    const values = entry.same === undefined ? unpack(entry) : whole[entry.same];
    whole.push(values);
    chart.lines[entry.line][entry.name] = values;
  }
  return chart;
}

/**
 * Undoes what hpctrack_server/data/encode.py did to make a place on an axis short.
 * @param {{values: Numbers, start?: number, is_delta?: boolean}} entry
 * @returns {Numbers}
 */
function unpack({ values, start, is_delta: isDelta }) {
  if (start === undefined) return values;
  const whole = new Float64Array(values.length);
  let at = start;
  for (let i = 0; i < values.length; i++) {
    at = isDelta ? at + values[i] : start + values[i];
    whole[i] = at;
  }
  return whole;
}
