// Runs side by side: only differences, search, folded sections, another base, more runs.
import { byId, later } from "../base/dom.js";
import { readPlace, writePlace } from "../base/place.js";

const root = byId("diff");
const table = document.getElementById("differ");
const find = /** @type {HTMLInputElement | null} */ (document.getElementById("find"));
const only = /** @type {HTMLInputElement | null} */ (document.getElementById("only"));
const runs = (root.dataset.runs ?? "").split(",").filter(Boolean);

/** @param {string[]} ids */
function goTo(ids) {
  const url = new URL(location.href);
  for (const name of ["filter", "search", "limit", "sort"]) url.searchParams.delete(name);
  url.searchParams.set("runs", ids.join(","));
  // A comma is allowed in a query, and addresses with %2C are hard to read.
  location.assign(url.href.replaceAll("%2C", ","));
}

function show() {
  if (!table || !find || !only) return;
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const body of table.querySelectorAll("tbody[data-section]")) {
    let inSection = 0;
    let isHit = false;
    for (const row of /** @type {NodeListOf<HTMLElement>} */ (body.querySelectorAll(":scope > tr:not(.section)"))) {
      if (!row.classList.contains("patch-row")) {
        const text = (row.textContent ?? "").toLowerCase();
        isHit = words.every((word) => text.includes(word)) && !(only.checked && row.classList.contains("same"));
        inSection += Number(isHit);
      }
      row.hidden = !isHit;
    }
    if (body instanceof HTMLElement) body.hidden = !inSection;
    shown += inSection;
  }
  const note = byId("nothing");
  note.hidden = shown > 0;
  const text = note.querySelector("span");
  if (text) text.textContent = words.length ? "no line has these words." : "the runs agree in everything that was recorded.";
  table.dataset.shown = String(shown);
  writePlace({ q: find.value, same: only.checked ? null : 1 });
}

document.addEventListener("change", ({ target }) => {
  if (target === only) show();
  if (target instanceof HTMLInputElement && target.id === "all") {
    const url = new URL(location.href);
    if (target.checked) url.searchParams.set("all", "1");
    else url.searchParams.delete("all");
    location.assign(url);
  }
  if (target instanceof HTMLSelectElement && target.id === "add-run" && target.value) goTo([...runs, target.value]);
});

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  const { base, drop } = button.dataset;
  if (base) goTo([base, ...runs.filter((one) => one !== base)]);
  if (drop) goTo(runs.filter((one) => one !== drop));
  if (button.classList.contains("fold")) {
    const isOpen = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(isOpen));
    button.closest("tbody")?.classList.toggle("folded", !isOpen);
  }
});

document.getElementById("add")?.addEventListener("submit", (event) => event.preventDefault());
find?.addEventListener("input", later(show, 120));
const place = readPlace();
if (find && only) {
  find.value = place.get("q") ?? "";
  only.checked = place.get("same") !== "1";
  show();
}
