// From an answer of the series API to curves, and the sentence below them. Pure.
import { formatCount } from "../base/format.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

/** @typedef {import("../charts/series.js").Chart} Chart */

const NOTHING = new Float64Array(0);

/** @param {Chart} chart @returns {Curve[]} */
export function readCurves(chart) {
  const isGrouped = chart.lines.some((one) => one.run === null);
  const labels = isGrouped ? shortenLabels(chart.lines.map((one) => one.label)) : null;
  return chart.lines.map(({ gx, center, x, y, sx, sy, ...line }, i) => ({
    ...line, label: labels?.[i] ?? line.label, fullLabel: line.label, x: gx ?? x ?? NOTHING, y: center ?? y ?? NOTHING, ...(sx && sy ? { sx, sy } : {}), color: "", isHot: false,
  }));
}

const NAMED_MAX = 2;

/**
 * @param {Chart} head
 * @param {Curve[]} shown
 * @param {(run: string) => string} nameOf
 */
export function describeCurves(head, shown, nameOf) {
  if (!shown.length) {
    return head.errors.length ? `nothing can be drawn: ${head.errors[0].message}` : `none of the runs has logged this${head.note ? `; as an expression: ${head.note}` : ""}`;
  }
  const total = shown.reduce((sum, one) => sum + one.total, 0);
  const drawn = shown.reduce((sum, one) => sum + one.drawn, 0);
  const parts = [];
  const isGrouped = shown[0].run === null;
  if (isGrouped) parts.push(formatCount(shown.length, "group"));
  if (drawn < total) {
    parts.push(isGrouped
      ? `${formatCount(drawn, "point")} drawn, computed from all ${total.toLocaleString("en")}`
      : `${formatCount(drawn, "point")} drawn of ${total.toLocaleString("en")}${head.exact ? ", extremes exact" : ""}`);
  } else parts.push(`all ${formatCount(total, "point")} drawn`);
  const gaps = shown.reduce((sum, one) => sum + one.gaps, 0);
  if (gaps) parts.push(`${gaps.toLocaleString("en")} not a number`);
  if (head.note) parts.push(head.note);
  const { missing, errors } = head;
  if (missing.length) {
    const names = missing.length <= NAMED_MAX ? missing.map((one) => cut(nameOf(one))).join(", ") : formatCount(missing.length, "run");
    parts.push(`not logged by ${names}`);
  }
  for (const error of errors.slice(0, NAMED_MAX)) parts.push(`${cut(nameOf(error.run))}: ${error.message}`);
  if (errors.length > NAMED_MAX) parts.push(`${errors.length - NAMED_MAX} more runs cannot be read`);
  return parts.join(" · ");
}

const NAME_MAX = 40;

/** @param {string} text */
function cut(text) {
  return text.length > NAME_MAX ? `${text.slice(0, NAME_MAX)}…` : text;
}

const PART = /, | \u00b7 /;

/**
 * Labels of groups without what all of them have in common, as far as they are alike at all.
 * @param {string[]} labels
 * @returns {string[]}
 */
function shortenLabels(labels) {
  const parts = labels.map((one) => one.replace(/^@\S+ /, "").split(PART));
  const isAlike = parts.length > 1 && parts.every((one) => one.length === parts[0].length);
  if (!isAlike) return parts.map((one) => one.join(", "));
  const differs = parts[0].map((_, i) => parts.some((one) => one[i] !== parts[0][i]));
  if (!differs.includes(true)) return parts.map((one) => one.join(", "));
  return parts.map((one) => one.filter((_, i) => differs[i]).join(", "));
}
