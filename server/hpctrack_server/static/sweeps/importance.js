// Which parameters matter: bars, because they are few and have names.
import { make } from "../base/dom.js";

const ROWS_MAX = 12;

/** @param {number} value */
const sign = (value) => `${value >= 0 ? "+" : "\u2212"}${Math.abs(value).toFixed(2)}`;

/** @param {HTMLElement} card @param {import("./details.js").Importances} found */
export function showImportance(card, found) {
  const { parameters = [], notes = [], error, finished = 0, total = 0 } = found;
  const box = /** @type {HTMLElement} */ (card.querySelector(".matters"));
  const caption = /** @type {HTMLElement} */ (card.querySelector(".caption"));
  if (error || !parameters.length) {
    box.replaceChildren();
    caption.textContent = error || "no parameter has more than one value yet";
    return;
  }
  const hasPed = parameters.some((one) => one.ped_anova !== null);
  const size = (/** @type {typeof parameters[0]} */ one) => (hasPed ? (one.ped_anova ?? 0) : Math.abs(one.correlation ?? 0));
  const largest = Math.max(...parameters.map(size), 1e-12);
  box.replaceChildren(
    ...parameters.slice(0, ROWS_MAX).flatMap((one) => {
      const bar = make("i");
      bar.style.width = `${(100 * size(one)) / largest}%`;
      const told = [hasPed && one.ped_anova !== null ? one.ped_anova.toFixed(2) : "", one.correlation === null ? "" : `\u03c1 ${sign(one.correlation)}`];
      return [make("bdi", { class: "name clip", title: one.name }, one.name), make("span", { class: "meter", "aria-hidden": "true" }, bar), make("span", { class: "told" }, told.filter(Boolean).join("  "))];
    }),
  );
  const what = hasPed ? "PED-ANOVA among the best, and rank correlation \u03c1" : "rank correlation \u03c1";
  const hidden = parameters.length > ROWS_MAX ? [`${parameters.length - ROWS_MAX} more`] : [];
  caption.textContent = [what, `${finished} of ${total} configurations`, ...hidden, ...notes].join(" \u00b7 ");
}
