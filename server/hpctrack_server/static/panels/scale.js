// Where a value stands on an axis: plain, logarithmic, one of some categories, or a time.
import { formatNumber } from "../base/format.js";

/** @typedef {"linear" | "log" | "category" | "time"} ScaleKind */
/** @typedef {{at: number, label: string}} Tick */

const DECADES_MIN = 100;
/** Between the 5th and the 95th of a hundred: uniform numbers from 0 on have 19 there. */
const MIDDLE_MIN = 30;
const DOUBLED_MAX = 24;
const DAY_S = 86_400;
/** Steps of ticks of a time axis, in seconds. */
const TIME_STEPS_S = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200, DAY_S, 2 * DAY_S, 7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S];

/**
 * Whether values are told apart better by their logarithm: they span decades, as most of them do
 * and not the smallest alone, or double from one to the next. All must be above 0.
 * `is_worth_logarithm` of hpctrack_server/components/panels/column.py decides the same.
 * @param {ArrayLike<number>} values
 */
function isWorthLogarithm(values) {
  const known = Float64Array.from(values).filter((one) => !Number.isNaN(one)).sort();
  if (known.length < 3 || !(known[0] > 0)) return false;
  const at = (/** @type {number} */ part) => known[Math.floor(part * (known.length - 1))];
  const different = [...new Set(known)];
  if (different.length >= 4 && different.length <= DOUBLED_MAX && isDoubling(different)) return true;
  return known[known.length - 1] / known[0] >= DECADES_MIN && at(0.95) / at(0.05) >= MIDDLE_MIN;
}

/** Whether each is about as many times the one before, 1.8 or more. @param {number[]} sorted */
function isDoubling(sorted) {
  const ratios = sorted.slice(1).map((one, i) => one / sorted[i]);
  return ratios.every((one) => one >= 1.8) && Math.max(...ratios) < 4 * Math.min(...ratios);
}

/** A place is a number that an axis of the drawing can be linear in; NaN is no place. */
export class Scale {
  /** @param {ScaleKind} kind @param {string[]} [labels] of categories */
  constructor(kind, labels = []) {
    this.kind = kind;
    this.labels = labels;
  }

  /**
   * @param {{kind: string, labels?: string[], values?: ArrayLike<number>}} column
   * @param {string} [wanted] "log", "linear", or "auto"
   */
  static of(column, wanted = "auto") {
    if (column.kind === "category") return new Scale("category", column.labels ?? []);
    if (column.kind === "time") return new Scale("time");
    if (wanted === "linear") return new Scale("linear");
    return new Scale(wanted === "log" || isWorthLogarithm(column.values ?? []) ? "log" : "linear");
  }

  /** @param {number} value @returns {number} */
  at(value) {
    if (this.kind !== "log") return value;
    return value > 0 ? Math.log10(value) : NaN;
  }

  /** @param {number} place @returns {number} */
  valueAt(place) {
    return this.kind === "log" ? 10 ** place : place;
  }

  /**
   * The places of all values, from the first to the last.
   * @param {ArrayLike<number>} values @param {number} [padding] part of the whole, at both ends @returns {[number, number]}
   */
  range(values, padding = 0) {
    if (this.kind === "category") return [-0.5 - padding, Math.max(this.labels.length, 1) - 0.5 + padding];
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < values.length; i++) {
      const place = this.at(values[i]);
      if (place < low) low = place;
      if (place > high) high = place;
    }
    return padRange(low, high, padding);
  }

  /** @param {number} low @param {number} high places @param {number} [most] @returns {Tick[]} */
  ticks(low, high, most = 6) {
    if (!(high > low)) return [];
    if (this.kind === "category") return this.#categoryTicks(low, high, most);
    if (this.kind === "time") return timeTicks(low, high, most);
    if (this.kind === "log" && high - low >= 1) return decadeTicks(low, high, most);
    if (this.kind === "log") {
      const inner = roundSteps(10 ** low, 10 ** high, most).filter((value) => value > 0);
      return inner.map((value) => ({ at: Math.log10(value), label: formatPlain(value) }));
    }
    return roundSteps(low, high, most).map((value) => ({ at: value, label: formatTick(value, (high - low) / most) }));
  }

  /** A value as people read it. @param {number} value */
  format(value) {
    if (Number.isNaN(value)) return "–";
    if (this.kind === "category") return this.labels[Math.round(value)] ?? "–";
    if (this.kind === "time") return formatMoment(value);
    return formatNumber(value);
  }

  /** @param {number} low @param {number} high @param {number} most */
  #categoryTicks(low, high, most) {
    const first = Math.max(0, Math.ceil(low));
    const last = Math.min(this.labels.length - 1, Math.floor(high));
    const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(most, 1)));
    const found = [];
    for (let at = first; at <= last; at += step) found.push({ at, label: this.labels[at] });
    return found;
  }
}

/** @param {number} low @param {number} high @param {number} padding @returns {[number, number]} */
export function padRange(low, high, padding) {
  if (!(low <= high)) return [0, 1];
  const span = high - low;
  const pad = span > 0 ? span * padding : Math.abs(low) * 0.05 || 0.5;
  return [low - pad, high + pad];
}

/** Multiples of 1, 2 or 5 times a power of ten. @param {number} low @param {number} high @param {number} most */
function roundSteps(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough * 0.999) ?? rough;
  const found = [];
  const slack = step * 1e-9;
  for (let k = Math.ceil((low - slack) / step); k * step <= high + slack && found.length < 100; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

/** @param {number} value @param {number} step */
function formatTick(value, step) {
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-4)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  const decimals = Math.min(Math.max(-Math.floor(Math.log10(Math.max(step, 1e-12)) + 0.3), 0), 10);
  return value.toLocaleString("en", { minimumFractionDigits: 0, maximumFractionDigits: decimals });
}

/** With as many digits as it takes, at most four. @param {number} value */
export function formatShort(value) {
  return formatNumber(value).replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
}

/** Beside 0.001 stands 0.0005, not 5e-4. @param {number} value */
function formatPlain(value) {
  if (value < 1e-5 || value >= 1) return formatShort(value);
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumFractionDigits: 9 });
}

const RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

/** As a power of ten, or as it is. @param {number} power @param {boolean} isPlain */
function formatPower(power, isPlain) {
  if (isPlain) return String(10 ** power);
  const digits = [...String(Math.abs(power))].map((one) => RAISED[Number(one)]).join("");
  return `10${power < 0 ? "\u207b" : ""}${digits}`;
}

/** @param {number} low @param {number} high @param {number} most */
function decadeTicks(low, high, most) {
  const first = Math.ceil(low - 1e-9);
  const last = Math.floor(high + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / most));
  // One way to write them all: 0.001 to 1000 as they are, an axis that goes further in powers.
  const isPlain = first >= -3 && last <= 3;
  /** @type {Tick[]} */
  const found = [];
  for (let power = first; power <= last; power += step) found.push({ at: power, label: formatPower(power, isPlain) });
  if (found.length >= 3 || step > 1) return found;
  // Two decades are little to read from: 2 and 5 of each as well, if there is room.
  if (2.2 * (high - low) > most) return found;
  for (let power = Math.floor(low); power <= last; power++) {
    for (const part of [2, 5]) {
      const at = power + Math.log10(part);
      if (at >= low && at <= high) found.push({ at, label: formatPlain(part * 10 ** power) });
    }
  }
  return found.sort((a, b) => a.at - b.at);
}

/** In local time. @param {number} low UTC seconds @param {number} high @param {number} most @returns {Tick[]} */
export function timeTicks(low, high, most) {
  const rough = (high - low) / most;
  const step = TIME_STEPS_S.find((one) => one >= rough) ?? Math.ceil(rough / (365 * DAY_S)) * 365 * DAY_S;
  const zone = new Date(low * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((low - zone) / step) * step + zone; at <= high && found.length < 50; at += step) {
    const moment = new Date(at * 1000);
    const isDay = step >= DAY_S || (moment.getHours() === 0 && moment.getMinutes() === 0);
    found.push({ at, label: (isDay ? days : step < 60 ? seconds : clock).format(moment) });
  }
  return found;
}

const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

/** @param {number} wallS */
function formatMoment(wallS) {
  const moment = new Date(wallS * 1000);
  return Number.isNaN(moment.getTime()) ? "–" : moments.format(moment);
}
