// Values of sensors with their units, as people read them. Pure.
import { formatNumber } from "../base/format.js";

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DECIMAL = ["", "k", "M", "G", "T", "P"];

/** @param {number} value @param {string} unit as the server names it @param {string} name of the sensor */
export function formatReading(value, unit, name) {
  if (!Number.isFinite(value)) return String(value);
  if (name.endsWith("_frac")) return `${formatNumber(Math.round(value * 1000) / 10)} %`;
  if (unit === "B" || unit === "B/s") return scale(value, 1024, BINARY) + unit.slice(1);
  if (["J", "W", "Hz", "bit/s"].includes(unit)) return scale(value, 1000, DECIMAL.map((one) => one + unit));
  return unit ? `${formatNumber(round(value))} ${unit}` : formatNumber(round(value));
}

/** By how much tick labels of a sensor are divided, and what stands behind them. @param {number} highest @param {string} unit @param {string} name */
export function chooseScale(highest, unit, name) {
  if (name.endsWith("_frac")) return { by: 0.01, unit: "%" };
  const isBytes = unit === "B" || unit === "B/s";
  const base = isBytes ? 1024 : 1000;
  const names = isBytes ? BINARY.map((one) => one + unit.slice(1)) : DECIMAL.map((one) => one + unit);
  if (!isBytes && !["J", "W", "Hz", "bit/s"].includes(unit)) return { by: 1, unit };
  const power = Math.max(0, Math.min(names.length - 1, Math.floor(Math.log(Math.max(Math.abs(highest), 1)) / Math.log(base))));
  return { by: base ** power, unit: names[power] };
}

/** @param {number} value @param {number} base @param {string[]} names */
function scale(value, base, names) {
  const power = Math.max(0, Math.min(names.length - 1, Math.floor(Math.log(Math.max(Math.abs(value), 1)) / Math.log(base))));
  return `${formatNumber(round(value / base ** power))} ${names[power]}`;
}

/** @param {number} value */
function round(value) {
  return Number(value.toPrecision(4));
}
