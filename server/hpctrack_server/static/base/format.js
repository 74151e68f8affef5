// Numbers as people read them; hpctrack_server/components/text.py does the same for tables.
// tests/web/numbers.json holds both to it.
const DIGITS = 4;
const MS = 1000;

/** @param {number} value */
export function formatNumber(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(DIGITS - 1).replace(/\.?0*e\+?/, "e");
  return value.toLocaleString("en", { maximumFractionDigits: Math.max(DIGITS - 1 - Math.floor(Math.log10(size)), 1) });
}

/** @param {number} count @param {string} noun */
export function formatCount(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

const clock = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

/**
 * A place on the x axis: a step, a time since the run began, a time of the clock, or a metric.
 * @param {number} x
 * @param {string} axis "step", "relative", "time" (UTC seconds if it is large), or a metric's name
 */
export function formatX(x, axis) {
  if (axis === "step") return `step ${Math.round(x).toLocaleString("en")}`;
  if (axis === "time" && x > 1e8) return clock.format(new Date(x * MS));
  if (axis !== "time" && axis !== "relative") return `${axis} ${formatNumber(x)}`;
  if (x < 60) return `${x.toFixed(x < 10 ? 2 : 1)} s`;
  const seconds = Math.floor(x);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** What the reader's zone is called, and how far it is from UTC. */
export function zoneName() {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return timeZone;
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const size = Math.abs(minutes);
  return `${timeZone}, UTC${minutes < 0 ? "\u2212" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
