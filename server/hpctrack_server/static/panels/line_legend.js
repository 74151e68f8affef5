// The names of groups under a line panel; runs are named in the rail of the page.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

const NAMED_MAX = 12;

/**
 * @param {HTMLElement} list @param {Curve[]} curves those that are left out too
 * @param {{hidden: Set<string>, highlight: (group: string | null) => void, onToggle: () => void}} how
 */
export function showLegend(list, curves, { hidden: left, highlight, onToggle }) {
  const groups = curves.filter((one) => one.run === null);
  const focused = list.contains(document.activeElement) ? document.activeElement?.closest("li")?.dataset.group : undefined;
  list.hidden = !groups.length;
  const entries = groups.slice(0, NAMED_MAX).map((one) => {
    const key = make("i");
    key.style.background = one.color;
    const isShown = !left.has(one.label);
    const toggle = () => {
      if (isShown) left.add(one.label);
      else left.delete(one.label);
      onToggle();
    };
    const front = () => highlight(one.label);
    const back = () => highlight(null);
    const on = { click: toggle, pointerenter: front, pointerleave: back, focus: front, blur: back };
    const title = `${one.fullLabel} (${formatCount(one.runs, "run")}); ${isShown ? "hide" : "show"} it`;
    return make("li", { "data-group": one.label }, make("button", { type: "button", "aria-pressed": String(isShown), title, on }, key, make("bdi", {}, one.label || "all runs")));
  });
  const hidden = groups.length - entries.length;
  list.replaceChildren(...entries, ...(hidden > 0 ? [make("li", {}, `${hidden} more`)] : []));
  if (focused !== undefined) entries.find((one) => one.dataset.group === focused)?.querySelector("button")?.focus();
}
