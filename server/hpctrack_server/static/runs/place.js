// Where in the table the reader is: the parameters of its address, as the server understood them.
import { escapeKey, unescapeKey } from "../base/place.js";

/** The element on which the server writes how it understood the address. */
export function facts() {
  return /** @type {HTMLElement} */ (document.querySelector('[data-part="place"]'));
}

/** The parameters of the address, those of a saved view among them. @returns {Record<string, string>} */
export function currentPlace() {
  return JSON.parse(facts().dataset.place ?? "{}");
}

export function project() {
  return document.getElementById("runs")?.dataset.project ?? "";
}

export function matches() {
  return Number(facts().dataset.matches ?? 0);
}

/**
 * The address of the same table, changed; on its first page unless told.
 * @param {Record<string, string | number | null>} changes
 */
export function addressWith(changes) {
  const wanted = { ...currentPlace(), page: "", ...changes };
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== null && value !== "") parameters.set(name, String(value));
  }
  // An address with a view and nothing else is the view as it was saved.
  if (parameters.has("view") && parameters.get("view") !== "none" && !parameters.has("filter")) parameters.set("filter", "");
  const text = parameters.toString();
  return location.pathname + (text ? `?${text}` : "?view=none");
}

/** Keys that a comma parts; in a key it is %2C. @param {string | undefined} text */
export function splitKeys(text) {
  return (text ?? "")
    .split(",")
    .filter(Boolean)
    .map(unescapeKey);
}

/** @param {string[]} keys */
export function joinKeys(keys) {
  return keys.map(escapeKey).join(",");
}

/** What the API of tables is asked for the runs that match. */
export function currentQuery() {
  const place = currentPlace();
  const compare = new URL(facts().dataset.compare ?? "", location.href).searchParams;
  return { filter: compare.get("filter") ?? "", search: place.search ?? "", sort: place.sort ?? "", scope: place.scope ?? "active" };
}
