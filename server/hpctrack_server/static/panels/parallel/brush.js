// Intervals on axes: which runs lie in them, as text of an address, and as a filter.

/**
 * From a value to a value, both included; infinite is open. Of categories: from a code to a code.
 * @typedef {{low: number, high: number, isMissing?: boolean}} Interval
 */

const OPEN = Infinity;

/** @param {Interval} one @param {number} value */
export function holds(one, value) {
  if (Number.isNaN(value)) return Boolean(one.isMissing);
  return !one.isMissing && value >= one.low && value <= one.high;
}

/**
 * Marks the runs that lie in an interval of each axis that has some.
 * @param {{values: ArrayLike<number>, intervals: Interval[]}[]} axes @param {number} runs
 */
export function findHits(axes, runs) {
  const hits = new Uint8Array(runs).fill(1);
  for (const { values, intervals } of axes) {
    if (!intervals.length) continue;
    for (let i = 0; i < runs; i++) {
      if (hits[i] && !intervals.some((one) => holds(one, values[i]))) hits[i] = 0;
    }
  }
  return hits;
}


/** Joins what overlaps; sorted by the lower end. @param {Interval[]} intervals @returns {Interval[]} */
function joinIntervals(intervals) {
  const missing = intervals.filter((one) => one.isMissing).slice(0, 1);
  /** @type {Interval[]} */
  const found = [];
  for (const one of intervals.filter((each) => !each.isMissing).sort((a, b) => a.low - b.low)) {
    const last = found.at(-1);
    if (last && one.low <= last.high) last.high = Math.max(last.high, one.high);
    else found.push({ ...one });
  }
  return [...found, ...missing];
}

// -- addresses ---------------------------------------------------------------------------------

/** Text that holds none of the marks that part others. @param {string} text */
export function escapePart(text) {
  return text.replace(/[%,;:~!]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
}

/** @param {string} text */
export function unescapePart(text) {
  return text.replace(/%([0-9a-f]{2})/g, (_whole, digits) => String.fromCharCode(parseInt(digits, 16)));
}

/** @param {Interval[]} intervals @param {import("../scale.js").Scale} scale */
export function writeIntervals(intervals, scale) {
  const show = (/** @type {number} */ value) => {
    if (!Number.isFinite(value)) return "";
    return scale.kind === "category" ? `=${escapePart(scale.labels[value] ?? "")}` : String(value);
  };
  return intervals.map((one) => (one.isMissing ? "none" : `${show(one.low)}~${show(one.high)}`)).join(";");
}

/** @param {string} text @param {import("../scale.js").Scale} scale @returns {Interval[]} */
export function readIntervals(text, scale) {
  const read = (/** @type {string} */ part, /** @type {number} */ open) => {
    if (!part) return open;
    if (!part.startsWith("=")) return Number(part);
    const code = scale.labels.indexOf(unescapePart(part.slice(1)));
    return code < 0 ? NaN : code;
  };
  /** @type {Interval[]} */
  const found = [];
  for (const one of text.split(";")) {
    if (one === "none") found.push({ low: NaN, high: NaN, isMissing: true });
    const parts = one.split("~");
    if (parts.length !== 2) continue;
    const [low, high] = [read(parts[0], -OPEN), read(parts[1], OPEN)];
    if (low <= high) found.push({ low, high });
  }
  return joinIntervals(found);
}

// -- the query language ------------------------------------------------------------------------

const KEYWORDS = /^(and|or|not|in|contains|exists|is|null|nan|true|false|now|today|yesterday)$/i;

/** A column of the filter language, in backquotes if it has to be. @param {string} key */
function quoteKey(key) {
  if (/^[\p{L}_][\p{L}\p{N}_./:@%-]*$/u.test(key) && !KEYWORDS.test(key)) return key;
  return `\`${key.replaceAll("`", "``")}\``;
}

/** @param {string} key @param {Interval} one @param {import("../scale.js").Scale} scale */
function writeCondition(key, one, scale) {
  const name = quoteKey(key);
  if (one.isMissing) return scale.kind === "category" ? `${name} is null` : `(${name} is null or ${name} is nan)`;
  if (scale.kind === "category") {
    const labels = scale.labels.slice(Math.max(one.low, 0), Math.min(one.high, scale.labels.length) + 1);
    const areFlags = scale.labels.every((label) => label === "true" || label === "false");
    const written = labels.map((label) => (areFlags ? label : JSON.stringify(label)));
    return written.length === 1 ? `${name} == ${written[0]}` : `${name} in [${written.join(", ")}]`;
  }
  const write = (/** @type {number} */ value) => (scale.kind === "time" ? new Date(value * 1000).toISOString() : String(value));
  const ends = [];
  if (Number.isFinite(one.low)) ends.push(`${name} >= ${write(one.low)}`);
  if (Number.isFinite(one.high)) ends.push(`${name} <= ${write(one.high)}`);
  return ends.length ? ends.join(" and ") : `${name} exists`;
}

/** The brushes as a filter of the runs table. @param {{key: string, intervals: Interval[], scale: import("../scale.js").Scale}[]} axes */
export function writeFilter(axes) {
  const parts = axes.filter((axis) => axis.intervals.length).map(({ key, intervals, scale }) => {
    const conditions = intervals.map((one) => writeCondition(key, one, scale));
    return conditions.length === 1 ? conditions[0] : `(${conditions.join(" or ")})`;
  });
  return parts.join(" and ");
}
