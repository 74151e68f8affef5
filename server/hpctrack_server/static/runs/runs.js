// @ts-nocheck until its next change
// The table of runs: searching while typing, and states that change by themselves.
import { apiAddress } from "../base/api.js";
import { coalesce, listen, refreshParts } from "../base/live.js";

const page = document.getElementById("runs");
const form = document.getElementById("filter");
const PARTS = ["count", "broken", "table"];
let version = page.dataset.version;

function addressOfForm() {
  const wanted = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value) wanted.set(name, value);
  }
  const text = wanted.toString();
  return location.pathname + (text ? `?${text}` : "");
}

const refresh = coalesce(async () => {
  const fresh = await refreshParts(PARTS);
  version = fresh?.getElementById("runs")?.dataset.version ?? version;
}, 300);

let timer;
let isSearching = false;
form.elements.q.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    // One search is one step of the history, however many letters it has.
    history[isSearching ? "replaceState" : "pushState"](null, "", addressOfForm());
    isSearching = true;
    refresh();
  }, 200);
});
form.elements.q.addEventListener("blur", () => {
  isSearching = false;
});
form.elements.state.addEventListener("change", () => location.assign(addressOfForm()));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  location.assign(addressOfForm());
});
addEventListener("popstate", () => location.reload());

listen(apiAddress(["projects", page.dataset.project, "events"]), (change) => {
  if (change.version !== version) refresh();
});
