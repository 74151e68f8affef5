// What a line panel is set to: its own settings, else those of the page; and what it asks for. Pure.
import { chooseWidth } from "../charts/series.js";

/** @typedef {import("./panel.js").Shared} Shared */
/** @typedef {import("./panel.js").Selection} Selection */

/**
 * @typedef {object} Effective
 * @property {string} y
 * @property {string} x
 * @property {Shared["smooth"]} smooth
 * @property {Shared["group"]} group
 * @property {string} ranks
 * @property {boolean} clip
 * @property {boolean} logX
 * @property {boolean} logY
 * @property {(number | null)[]} xRange fixed ends of the axis
 * @property {(number | null)[]} yRange
 * @property {boolean} isXOfPage whether the zoom of the page is of this axis
 */

const PAGE = { value: "", label: "as the page" };
const YES_NO = [PAGE, { value: "yes", label: "Yes" }, { value: "no", label: "No" }];

export const X_CHOICES = [
  { value: "step", label: "Step" },
  { value: "relative", label: "Relative time" },
  { value: "time", label: "Wall time" },
];
export const SMOOTHINGS = [
  { value: "none", label: "None" },
  { value: "ema", label: "Exponential" },
  { value: "twema", label: "Time-weighted" },
  { value: "gaussian", label: "Gaussian" },
  { value: "mean", label: "Running mean" },
];
export const RANKS = [
  { value: "mean", label: "Mean of the ranks" },
  { value: "min", label: "Lowest rank" },
  { value: "max", label: "Highest rank" },
  { value: "all", label: "Every rank" },
];

/** @type {import("./panel.js").Field[]} */
export const FIELDS = [
  { name: "y", label: "Metric or expression", kind: "metric", hint: "such as val/loss, log(loss), or a / b" },
  { name: "x", label: "Horizontal axis", kind: "metric", hint: "step, relative, time, or a metric; empty is as the page" },
  { name: "smooth_kind", label: "Smoothing", kind: "choice", choices: [PAGE, ...SMOOTHINGS] },
  { name: "smooth_amount", label: "Amount of it", kind: "number" },
  { name: "ranks", label: "Ranks", kind: "text", hint: "mean, min, max, all, or the number of a rank; empty is as the page" },
  { name: "grouping", label: "Groups of the page", kind: "choice", choices: [PAGE, { value: "no", label: "Never, draw runs" }] },
  { name: "log_x", label: "Logarithmic horizontal axis", kind: "choice", choices: YES_NO },
  { name: "log_y", label: "Logarithmic vertical axis", kind: "choice", choices: YES_NO },
  { name: "x_min", label: "Lowest x", kind: "number" },
  { name: "x_max", label: "Highest x", kind: "number" },
  { name: "y_min", label: "Lowest y", kind: "number" },
  { name: "y_max", label: "Highest y", kind: "number" },
  { name: "clip", label: "Leave outliers out of the range", kind: "choice", choices: YES_NO },
];

/**
 * @param {Record<string, any>} settings of the panel
 * @param {Shared} shared of the page
 * @returns {Effective}
 */
export function settle(settings, shared) {
  const flag = (/** @type {any} */ own, /** @type {boolean} */ ofPage) => (own === "yes" || own === true ? true : own === "no" ? false : ofPage);
  const number = (/** @type {any} */ value) => (value === null || value === undefined || value === "" || !Number.isFinite(Number(value)) ? null : Number(value));
  const smooth = settings.smooth_kind
    ? { kind: settings.smooth_kind, amount: number(settings.smooth_amount) ?? shared.smooth.amount }
    : shared.smooth;
  const x = settings.x || shared.x;
  return {
    y: settings.y ?? "",
    x,
    smooth,
    group: settings.grouping === "no" ? null : shared.group,
    ranks: settings.ranks || shared.ranks,
    clip: flag(settings.clip, shared.clip),
    logX: flag(settings.log_x, shared.logX),
    logY: flag(settings.log_y, shared.logY),
    xRange: [number(settings.x_min), number(settings.x_max)],
    yRange: [number(settings.y_min), number(settings.y_max)],
    isXOfPage: x === shared.x,
  };
}

/** The figure of the catalogue with these scales. @param {Effective} how */
export function figureOf(how) {
  const axes = `${how.logX ? "x" : ""}${how.logY ? "y" : ""}`;
  return axes ? `line-log-${axes}` : "line";
}

const WIDTH_MIN = 64;
const WIDTH_MAX = 1500;
const POINTS_MAX = 12_000;

/**
 * How many buckets a line is asked for: two points for each 1.25 pixels, fewer where many lines
 * share what a panel may send. Extremes are exact with any number of them.
 * @param {number} pixels @param {number} lines @param {boolean} isSmoothed smoothed lines are sent beside true points
 */
export function widthFor(pixels, lines, isSmoothed) {
  const affordable = POINTS_MAX / (Math.max(lines, 1) * (isSmoothed ? 3 : 2));
  return Math.round(Math.max(WIDTH_MIN, Math.min(chooseWidth(pixels), affordable, WIDTH_MAX)));
}

/**
 * The body of a request, see pages/core of the series API.
 * @param {Effective} how @param {Selection} selection @param {number} width
 * @param {[number, number] | null} zoom
 * @returns {import("../charts/series.js").ChartQuery}
 */
export function makeRequest(how, selection, width, zoom) {
  const [low, high] = how.xRange;
  const runs = selection.ids ? { runs: selection.ids } : { query: selection.query };
  return {
    y: how.y,
    ...runs,
    x: how.x,
    x0: zoom ? zoom[0] : low,
    x1: zoom ? zoom[1] : high,
    width,
    log_x: how.logX,
    ranks: /^\d+$/.test(how.ranks) ? Number(how.ranks) : /** @type {any} */ (how.ranks),
    smooth: how.smooth,
    group: how.group?.by.length ? how.group : null,
  };
}
