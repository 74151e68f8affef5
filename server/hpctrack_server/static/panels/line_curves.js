// From an answer of the series API to curves, and the sentence below them. Pure.
import { formatCount } from "../base/format.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

/**
 * @param {{head: any, arrays: any[]}} answer
 * @returns {Curve[]}
 */
export function readCurves({ head, arrays }) {
  const curves = head.lines.map((/** @type {any} */ line) => ({ ...line, run: line.run ?? null, color: "", isHot: false, x: [], y: [] }));
  for (const { line, name, values } of arrays) {
    const curve = curves[line];
    if (name === "gx") curve.x = values;
    else if (name === "center") curve.y = values;
    else curve[name] = values;
  }
  return curves;
}

const NAMED_MAX = 2;

/**
 * @param {any} head of the answer
 * @param {Curve[]} shown
 * @param {(run: string) => string} nameOf
 */
export function describeCurves(head, shown, nameOf) {
  if (!shown.length) {
    const why = head.errors?.length ? `: ${head.errors[0].message}` : "";
    return head.errors?.length ? `nothing can be drawn${why}` : "none of the runs has logged this";
  }
  const total = shown.reduce((sum, one) => sum + one.total, 0);
  const drawn = shown.reduce((sum, one) => sum + one.drawn, 0);
  const parts = [];
  const isGrouped = shown[0].run === null;
  if (isGrouped) parts.push(formatCount(shown.length, "group"));
  if (drawn < total) {
    parts.push(isGrouped
      ? `${formatCount(drawn, "point")} drawn, computed from all ${total.toLocaleString("en")}`
      : `${formatCount(drawn, "point")} drawn of ${total.toLocaleString("en")}${head.exact === false ? "" : ", extremes exact"}`);
  } else parts.push(`all ${formatCount(total, "point")} drawn`);
  if (head.note) parts.push(head.note);
  const missing = head.missing ?? [];
  if (missing.length) {
    const names = missing.length <= NAMED_MAX ? missing.map((/** @type {string} */ one) => cut(nameOf(one))).join(", ") : formatCount(missing.length, "run");
    parts.push(`not logged by ${names}`);
  }
  for (const error of (head.errors ?? []).slice(0, NAMED_MAX)) parts.push(`${cut(nameOf(error.run))}: ${error.message}`);
  if ((head.errors?.length ?? 0) > NAMED_MAX) parts.push(`${head.errors.length - NAMED_MAX} more runs failed`);
  return parts.join(" · ");
}

const NAME_MAX = 40;

/** @param {string} text */
function cut(text) {
  return text.length > NAME_MAX ? `${text.slice(0, NAME_MAX)}…` : text;
}
