// The names of groups under a line panel; runs are named in the rail of the page.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

const NAMED_MAX = 12;

/**
 * @param {HTMLElement} list @param {Curve[]} curves
 * @param {(group: string | null) => void} highlight
 */
export function showLegend(list, curves, highlight) {
  const groups = curves.filter((one) => one.run === null);
  list.hidden = !groups.length;
  const entries = groups.slice(0, NAMED_MAX).map((one) => {
    const key = make("i");
    key.style.background = one.color;
    const on = { pointerenter: () => highlight(one.label), pointerleave: () => highlight(null) };
    return make("li", { title: `${one.fullLabel} (${formatCount(one.runs, "run")})`, on }, key, make("bdi", {}, one.label || "all runs"));
  });
  const hidden = groups.length - entries.length;
  list.replaceChildren(...entries, ...(hidden > 0 ? [make("li", {}, `${hidden} more`)] : []));
}
