// The list of projects: searched while typing.
import { later, byId } from "../base/dom.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";

const TYPING_MS = 150;
const search = /** @type {HTMLInputElement | null} */ (document.getElementById("project-search"));

function show() {
  const word = (search?.value ?? "").trim().toLowerCase();
  let count = 0;
  for (const row of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("tr[data-project]"))) {
    row.hidden = !row.dataset.project?.toLowerCase().includes(word);
    count += Number(!row.hidden);
  }
  byId("none").hidden = count > 0;
}

if (search) {
  const keep = later(() => writePlace({ q: search.value.trim() }), TYPING_MS);
  search.addEventListener("input", () => {
    show();
    keep();
  });
  search.form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const found = /** @type {HTMLElement | null} */ (document.querySelector("tr[data-project]:not([hidden]) a"));
    found?.click(); // Enter goes to the first that fits
  });
  onPlaceChange(() => {
    search.value = readPlace().get("q") ?? "";
    show();
  });
}
