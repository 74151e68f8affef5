// @ts-nocheck until its next change
// Numbers as people read them; hpctrack_server/components/text.py does the same for tables.
const DIGITS = 4;

export function formatNumber(value) {
  if (Number.isNaN(value)) return "NaN";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en");
  if (size >= 1e6 || size < 1e-3) return value.toExponential(DIGITS - 1).replace("e+", "e");
  const decimals = Math.max(DIGITS - 1 - Math.floor(Math.log10(size)), 1);
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export function formatCount(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// A place on the x axis: a step, or a time since the run began.
export function formatX(x, axis) {
  if (axis === "step") return `step ${Math.round(x).toLocaleString("en")}`;
  if (x < 60) return `${x.toFixed(x < 10 ? 2 : 1)} s`;
  const seconds = Math.floor(x);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
