// The configuration: searched, as a tree or flat, copied in three forms.
import { apiAddress } from "../base/api.js";
import { byId } from "../base/dom.js";
import { sayError } from "../base/message.js";
import { readPlace, writePlace } from "../base/place.js";
import { copyText } from "./copy.js";
import { followRun } from "./follow.js";

const REST_MS = 3000;

const run = byId("run");
const find = /** @type {HTMLInputElement} */ (byId("find"));
const tree = () => document.getElementById("tree");

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let hits = 0;
  for (const row of tree()?.querySelectorAll("tbody tr") ?? []) {
    if (!(row instanceof HTMLElement)) continue;
    const text = `${row.dataset.path} ${row.textContent}`.toLowerCase();
    const isHit = words.every((word) => text.includes(word));
    row.hidden = !isHit;
    hits += Number(isHit && !row.classList.contains("branch"));
  }
  showBranches();
  byId("found").textContent = words.length ? `${hits.toLocaleString("en")} found` : "";
  writePlace({ q: find.value });
}

/** A branch is shown where anything below it is. */
function showBranches() {
  const shown = [...(tree()?.querySelectorAll("tbody tr:not(.branch):not([hidden])") ?? [])];
  const paths = new Set();
  for (const row of shown) {
    const parts = (row instanceof HTMLElement ? row.dataset.path ?? "" : "").split(".");
    for (let i = 1; i < parts.length; i++) paths.add(parts.slice(0, i).join("."));
  }
  for (const row of tree()?.querySelectorAll("tbody tr.branch") ?? []) {
    if (row instanceof HTMLElement) row.hidden = !paths.has(row.dataset.path);
  }
}

/** @param {string} shape */
function setShape(shape) {
  const table = tree();
  if (table) table.dataset.shape = shape;
  const input = document.querySelector(`input[name="shape"][value="${shape}"]`);
  if (input instanceof HTMLInputElement) input.checked = true;
}

document.addEventListener("change", (event) => {
  const target = event.target;
  if (target instanceof HTMLInputElement && target.name === "shape") {
    setShape(target.value);
    writePlace({ shape: target.value === "flat" ? "flat" : null });
  }
  if (target instanceof HTMLSelectElement && target.id === "against") {
    const url = new URL(location.href);
    if (target.value) url.searchParams.set("against", target.value);
    else url.searchParams.delete("against");
    location.assign(url);
  }
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-form]") : null;
  if (!(button instanceof HTMLElement)) return;
  const url = apiAddress(["runs", run.dataset.project ?? "", run.dataset.run ?? "", "config"], { format: button.dataset.form });
  try {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    await copyText((await answer.text()).trimEnd());
  } catch (error) {
    sayError(error);
  }
});

/** The server knows neither shape nor search. */
function show() {
  setShape(readPlace().get("shape") === "flat" ? "flat" : "tree");
  if (find.value) search();
}

find.addEventListener("input", search);
find.value = readPlace().get("q") ?? "";
show();
followRun(() => {}, ["head", "config"], { restMs: REST_MS, onFresh: show });
