// The list of projects: searched while typing, and current.
import { later, byId } from "../base/dom.js";
import { followStore, keepParts } from "../base/live.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";

const TYPING_MS = 150;
const REST_MS = 3000;
const search = /** @type {HTMLInputElement} */ (byId("project-search"));

/** @returns {HTMLElement[]} */
const listRows = () => [...document.querySelectorAll("tr")].filter((one) => one.dataset.project !== undefined);

function show() {
  const word = search.value.trim().toLowerCase();
  const rows = listRows();
  for (const row of rows) row.hidden = !row.dataset.project?.toLowerCase().includes(word);
  const none = document.getElementById("none");
  if (none) none.hidden = rows.some((one) => !one.hidden);
  if (search.form) search.form.hidden = !rows.length;
}

const keep = later(() => writePlace({ q: search.value.trim() }), TYPING_MS);
search.addEventListener("input", () => {
  show();
  keep();
});
search.form?.addEventListener("submit", (event) => {
  event.preventDefault();
  listRows().find((one) => !one.hidden)?.querySelector("a")?.click(); // Enter goes to the first that fits
});
onPlaceChange(() => {
  search.value = readPlace().get("q") ?? "";
  show();
});
followStore(byId("projects").dataset.version, keepParts(["count", "projects"], { restMs: REST_MS, onFresh: show }));
