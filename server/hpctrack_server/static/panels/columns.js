// Columns of many runs, as typed arrays.
import { apiAddress, fetchArrays } from "../base/api.js";

/**
 * @typedef {object} Column
 * @property {string} key
 * @property {"number" | "time" | "category"} kind
 * @property {ArrayLike<number>} values one per run, NaN where there is none; codes of categories
 * @property {string[]} labels of categories
 * @property {number} infinite how many values were left out because they are infinite
 */

/**
 * @typedef {object} Table
 * @property {string[]} ids
 * @property {string[]} names
 * @property {Map<string, Column>} columns
 */

/**
 * @param {string} project @param {import("./panel.js").Selection} selection @param {string[]} keys
 * @param {AbortSignal} [signal] @returns {Promise<Table>}
 */
export async function fetchColumns(project, selection, keys, signal) {
  const url = apiAddress(["projects", project, "panels", "columns"]);
  const { head, arrays } = await fetchArrays(url, { keys, ...selection }, signal);
  /** @type {Map<string, Column>} */
  const columns = new Map();
  head.columns.forEach((/** @type {any} */ one, /** @type {number} */ i) => columns.set(one.key, { ...one, values: arrays[i].values }));
  return { ids: head.ids, names: head.names, columns };
}

/** The last part of a column's key, which people know it by. @param {string} key */
export function shortName(key) {
  return key.replace(/^(config|summary|slurm)\./, "");
}

/** A value between the smallest and the largest. @param {ArrayLike<number>} values @param {number} part 0 to 1 */
export function quantile(values, part) {
  const known = Float64Array.from(values).filter((one) => !Number.isNaN(one)).sort();
  if (!known.length) return NaN;
  const at = part * (known.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, known.length - 1);
  return known[low] + (known[high] - known[low]) * (at - low);
}

/** Settings that a panel can start with, from what the runs have. */
export class Defaults {
  /** @param {import("./panel.js").ColumnFacts[]} columns */
  constructor(columns) {
    this.columns = columns;
  }

  /** Numbers of the summary, what looks like the result first. */
  metrics() {
    const worth = (/** @type {import("./panel.js").ColumnFacts} */ one) => {
      const key = one.key.toLowerCase();
      return (/\b(val|valid|validation|test|eval)\b/.test(key.replaceAll(/[_/]/g, " ")) ? 2 : 0) + (/loss|acc|score|error|f1|auc|reward/.test(key) ? 1 : 0);
    };
    const found = this.columns.filter((one) => one.kind === "number" && one.distinct > 1);
    const summary = found.filter((one) => one.key.startsWith("summary."));
    const chosen = summary.length ? summary : found.filter((one) => !one.key.startsWith("config."));
    return chosen.sort((a, b) => worth(b) - worth(a) || b.count - a.count).map((one) => one.key);
  }

  /** What was configured and differs, without seeds, numbers first. @param {number} [most] */
  parameters(most = 60) {
    const found = this.columns.filter((one) => {
      const isFew = one.kind === "number" || one.distinct <= 24;
      return one.key.startsWith("config.") && one.distinct > 1 && isFew && one.kind !== "list" && !/(^|[._])seed$/i.test(one.key);
    });
    const most_runs = Math.max(...found.map((one) => one.count), 0);
    return found.sort((a, b) => Number(b.count > most_runs / 2) - Number(a.count > most_runs / 2)).slice(0, most).map((one) => one.key);
  }

  /** Parameters that are numbers. */
  numbers() {
    const numeric = new Set(this.columns.filter((one) => one.kind === "number").map((one) => one.key));
    return this.parameters().filter((key) => numeric.has(key));
  }

  /** A column with few values, to group by. */
  group() {
    const texts = this.columns.filter((one) => one.kind !== "number" && one.kind !== "time" && one.distinct > 1 && one.distinct <= 12);
    const configured = texts.find((one) => one.key.startsWith("config."));
    const few = this.columns.find((one) => one.key.startsWith("config.") && one.distinct > 1 && one.distinct <= 8);
    return (configured ?? few ?? texts.find((one) => one.key === "group" || one.key === "state"))?.key ?? "";
  }
}
