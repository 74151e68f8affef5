// What an x axis counts: steps and metrics as numbers, times of the clock, or time since a start.

/** @typedef {"number" | "time" | "relative"} AxisKind */

const MS = 1000;
const LETTER_PX = 6.4;
const LABEL_MIN_CHARS = 4;

/** @param {string} x "step", "time", "relative", or a metric @returns {AxisKind} */
export function kindOfAxis(x) {
  return x === "time" || x === "relative" ? x : "number";
}

/**
 * Numbers of the data as numbers of the axis: Bokeh's times are milliseconds, and it knows no zones.
 * @param {AxisKind} kind
 * @param {number} zoneS seconds that local time is behind UTC
 */
export function toAxis(kind, zoneS) {
  return kind === "time" ? (/** @type {number} */ x) => (x - zoneS) * MS : (/** @type {number} */ x) => x;
}

/** @param {AxisKind} kind @param {number} zoneS */
export function fromAxis(kind, zoneS) {
  return kind === "time" ? (/** @type {number} */ x) => x / MS + zoneS : (/** @type {number} */ x) => x;
}

/** @param {number} wallS UTC @returns {number} seconds that local time is behind UTC there */
export function zoneAt(wallS) {
  return new Date(wallS * MS).getTimezoneOffset() * 60;
}

/** @param {string} name @param {object} [values] */
function model(name, values = {}) {
  return new (Bokeh.Models.get(name))(values);
}

const SHORT_S = 10;

const DATES = {
  microseconds: "%H:%M:%S.%6N", milliseconds: "%H:%M:%S.%3N", seconds: "%H:%M:%S", minsec: "%H:%M:%S", minutes: "%H:%M", hourmin: "%H:%M", hours: "%H:%M",
  days: "%b %d", months: "%b %Y", years: "%Y",
};

/**
 * Gives the x axis the ticks and labels that its kind needs.
 * @param {any} axis a Bokeh axis
 * @param {AxisKind} kind
 */
export function dressAxis(axis, kind) {
  if (kind === "time") {
    axis.setv({ ticker: model("DatetimeTicker", { desired_num_ticks: 5 }), formatter: model("DatetimeTickFormatter", DATES) });
  } else if (kind === "relative") {
    dressClock(axis, false);
  }
}

/** Hours, minutes and seconds; of a few seconds parts of them. @param {any} axis @param {boolean} isShort */
function dressClock(axis, isShort) {
  const few = { desired_num_ticks: 5, num_minor_ticks: 0 };
  if (isShort) {
    axis.setv({ ticker: model("AdaptiveTicker", { mantissas: [1, 2, 5], ...few }), formatter: model("PrintfTickFormatter", { format: "%.6g s" }) });
  } else {
    const ticker = model("AdaptiveTicker", { base: 60, mantissas: [1, 2, 5, 10, 15, 20, 30], min_interval: 1, ...few });
    axis.setv({ ticker, formatter: model("NumeralTickFormatter", { format: "00:00:00" }) });
  }
}

/** Labels that tell the ticks of what is shown apart. @param {any} axis @param {AxisKind} kind @param {[number, number]} range */
export function labelRange(axis, kind, range) {
  if (kind === "number") {
    labelNumbers(axis, range);
  } else if (kind === "relative") {
    const isShort = range[1] - range[0] < SHORT_S;
    if (isShort !== (axis.formatter.type === "PrintfTickFormatter")) dressClock(axis, isShort);
  }
}

/**
 * Thousands as 5k while that tells the ticks apart.
 * @param {any} axis @param {[number, number]} range
 */
function labelNumbers(axis, range) {
  const size = Math.max(Math.abs(range[0]), Math.abs(range[1]));
  const isShort = size >= 2000 && Math.abs(range[1] - range[0]) > size / 200;
  const wanted = isShort ? "NumeralTickFormatter" : "BasicTickFormatter";
  if (axis.formatter.type === wanted) return;
  axis.formatter = isShort
    ? model(wanted, { format: "0.[00]a" })
    : model(wanted, { use_scientific: true, power_limit_high: 9, power_limit_low: -4, precision: "auto" });
}

/** A label for the canvas, which would read $$ and \\( as formulas. @param {string} text @param {number} most characters */
export function plainLabel(text, most) {
  const short = text.length > most ? `${text.slice(0, Math.max(most - 1, 1))}\u2026` : text;
  return short.replace(/\$(?=\$)/g, "$\u2060").replace(/\\(?=[([])/g, "\\\u2060");
}

/**
 * Names at 0, 1, 2, ... instead of numbers; every second or third where they would touch.
 * @param {any} axis a Bokeh axis @param {string[]} names @param {number} widthPx of the axis
 */
export function labelPlaces(axis, names, widthPx) {
  const each = Math.max(widthPx, 1) / Math.max(names.length, 1);
  const stride = Math.max(1, Math.ceil((LABEL_MIN_CHARS * LETTER_PX) / each));
  const most = Math.max(LABEL_MIN_CHARS, Math.floor((each * stride) / LETTER_PX) - 1);
  const shown = names.map((name, at) => /** @type {[number, string]} */ ([at, plainLabel(name, most)])).filter(([at]) => at % stride === 0);
  axis.setv({ ticker: model("FixedTicker", { ticks: shown.map(([at]) => at) }), major_label_overrides: new Map(shown) });
}
