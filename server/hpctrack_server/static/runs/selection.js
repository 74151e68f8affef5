// Which runs are selected, and what can be done with them.
import { address, apiAddress, sendJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { say, sayError } from "../base/message.js";
import { askText } from "./dialog.js";
import { addTag, findAllIds, findTags, markRuns, removeTag } from "./edits.js";
import { addressWith, currentPlace, currentQuery, facts, matches, project } from "./place.js";
import { go } from "./refresh.js";

const IN_ADDRESS_MAX = 2000;
/** A longer list of ids makes an address that proxies and mail programs refuse: the server keeps it. */

const COMPARED_MAX = 10_000;
/** The compare page takes no more. */

const DIFF_MAX = 12;

/** @type {Set<string>} */
const picked = new Set();
let isAll = false;
/** What was taken out of all that match. @type {Set<string>} */
const excepted = new Set();
/** Of which table that is said. */
let exceptedOf = "";
/** @type {HTMLTableRowElement | null} */
let last = null;

const rows = () => /** @type {HTMLTableRowElement[]} */ ([...document.querySelectorAll(".runs tbody tr[data-run]:not(.baseline)")]);
const box = (/** @type {Element} */ row) => /** @type {HTMLInputElement | null} */ (row.querySelector('.check input'));

export function tendSelection() {
  document.addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (target.id === "check-page") {
      pickPage(/** @type {HTMLInputElement} */ (target).checked);
    } else if (target.matches(".runs tbody .check input")) {
      const row = /** @type {HTMLTableRowElement} */ (target.closest("tr"));
      pick(row, /** @type {HTMLInputElement} */ (target).checked, event.shiftKey);
    }
  });
  document.addEventListener("tablechange", onTableChange);
}

function onTableChange() {
  if (excepted.size && describeQuery() !== exceptedOf) {
    // How many of the exceptions match now is not known here: nothing is changed that nobody has seen.
    say("Nothing is selected any more: other runs match now");
    clearPicked();
  }
  paint();
}

function describeQuery() {
  const { filter, search, scope } = currentQuery();
  return JSON.stringify([filter, search, scope]);
}

/** @param {HTMLTableRowElement} row */
export function togglePicked(row) {
  pick(row, !isPicked(row), false);
}

export function clearPicked() {
  picked.clear();
  excepted.clear();
  isAll = false;
  last = null;
  paint();
}

export function hasPicked() {
  return countPicked() > 0;
}

/** @param {HTMLElement} row */
function isPicked(row) {
  const run = row.dataset.run ?? "";
  return isAll ? !excepted.has(run) : picked.has(run);
}

function countPicked() {
  return isAll ? Math.max(matches() - excepted.size, 0) : picked.size;
}

/** @param {HTMLElement[]} chosen @param {boolean} isIn */
function putAll(chosen, isIn) {
  const marked = isAll ? excepted : picked;
  for (const { dataset } of chosen) {
    if (isIn === isAll) marked.delete(dataset.run ?? "");
    else marked.add(dataset.run ?? "");
  }
  exceptedOf = describeQuery();
  if (excepted.size && !countPicked()) clearPicked(); // a run that comes later is not selected
}

/** @param {HTMLTableRowElement} row @param {boolean} isIn @param {boolean} isRange */
function pick(row, isIn, isRange) {
  const all = rows();
  const from = isRange && last ? all.indexOf(last) : -1;
  const to = all.indexOf(row);
  const chosen = from >= 0 && to >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [row];
  putAll(chosen, isIn);
  last = row;
  paint();
}

/** @param {boolean} isIn */
function pickPage(isIn) {
  putAll(rows(), isIn);
  paint();
}

function paint() {
  let count = 0;
  const all = rows();
  for (const row of document.querySelectorAll(".runs tbody tr[data-run]")) {
    const isIn = isPicked(/** @type {HTMLElement} */ (row));
    count += Number(isIn && !row.classList.contains("baseline"));
    row.classList.toggle("is-picked", isIn);
    const input = box(row);
    if (input) input.checked = isIn;
  }
  const head = /** @type {HTMLInputElement | null} */ (document.getElementById("check-page"));
  if (head) {
    head.checked = count > 0 && count === all.length;
    head.indeterminate = count > 0 && count < all.length;
    head.disabled = !all.length;
  }
  paintBar(count > 0 && count === all.length);
}

/** @param {boolean} isWholePage */
function paintBar(isWholePage) {
  const bar = /** @type {HTMLElement} */ (document.getElementById("selection"));
  const count = countPicked();
  bar.hidden = !count;
  if (!count) return;
  const focused = bar.contains(document.activeElement) ? document.activeElement?.textContent : null;
  const scope = currentPlace().scope ?? "active";
  const canPickAll = isAll ? excepted.size > 0 : isWholePage && matches() > picked.size;
  const reach = excepted.size ? `: all that match but ${excepted.size.toLocaleString("en")}` : ", all that match";
  const button = (/** @type {string} */ label, /** @type {() => unknown} */ work, more = {}) => make("button", { type: "button", class: "button", on: { click: work }, ...more }, label);
  const parts = [
    make("span", { role: "status" }, make("b", {}, count.toLocaleString("en")), ` selected${isAll ? reach : ""}`),
    canPickAll ? make("button", { type: "button", class: "link", on: { click: pickAll } }, `Select all ${matches().toLocaleString("en")} that match`) : null,
    make("button", { type: "button", class: "link", on: { click: clearPicked } }, "Clear"),
    make("span", { class: "divide" }),
    button("Compare", compare, { class: "button primary" }),
    count > 1 && count <= DIFF_MAX && !isAll ? button("Diff", diff) : null,
    count === 1 && !isAll ? button("Baseline", setBaseline) : null,
    make("span", { class: "divide" }),
    button("Tag\u2026", tag),
    button("Untag\u2026", untag),
    scope === "active" ? button("Archive", () => mark("archived", true)) : null,
    scope === "archived" ? button("Restore", () => mark("archived", false)) : null,
    scope === "deleted" ? button("Restore", () => mark("deleted", false)) : button("Delete", () => mark("deleted", true)),
  ];
  bar.replaceChildren(...parts.filter((one) => one !== null));
  if (focused) [...bar.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
}

function pickAll() {
  clearPicked();
  isAll = true;
  paint();
}

async function findIds() {
  return isAll ? (await findAllIds()).filter((id) => !excepted.has(id)) : [...picked];
}

/** Opens the charts of the selected runs. */
export async function compare() {
  const matching = new URL(facts().dataset.compare ?? "", location.href);
  if (!hasPicked()) return location.assign(matching);
  try {
    if (isAll && !excepted.size && (currentPlace().scope ?? "active") === "active") {
      // Who picks all wants all, and not the newest of them.
      matching.searchParams.set("limit", String(COMPARED_MAX));
      return location.assign(matching);
    }
    const runs = (await findIds()).slice(0, COMPARED_MAX);
    const named = runs.join(",");
    const chosen = named.length <= IN_ADDRESS_MAX ? { runs: named } : { selection: await keepSelection(runs) };
    return location.assign(address(["p", project(), "compare"], chosen));
  } catch (error) {
    return sayError(error);
  }
}

/** Has the server keep which runs are picked. @param {string[]} runs @returns {Promise<string>} its name in an address */
async function keepSelection(runs) {
  const url = apiAddress(["projects", project(), "saved", "selection"]);
  return (await sendJson("POST", url, { title: formatCount(runs.length, "run"), body: { runs } })).id;
}

function diff() {
  location.assign(address(["p", project(), "diff"], { runs: [...picked].join(",") }));
}

export function setBaseline(run = [...picked][0]) {
  const isSame = currentPlace().base === run;
  clearPicked();
  return go(addressWith({ base: isSame ? "" : run, page: currentPlace().page ?? "" }));
}

/** @param {"archived" | "deleted"} what @param {boolean} isMarked */
async function mark(what, isMarked) {
  try {
    const ids = await findIds();
    clearPicked();
    await markRuns(ids, what, isMarked);
  } catch (error) {
    sayError(error);
  }
}

async function tag() {
  try {
    const ids = await findIds();
    const chosen = await askText(`Tag ${formatCount(ids.length, "run")}`, { action: "Tag", options: knownTags() });
    if (chosen) await addTag(ids, chosen);
  } catch (error) {
    sayError(error);
  }
}

async function untag() {
  try {
    const ids = await findIds();
    const there = new Set([...(await findTags(ids)).values()].flat());
    if (!there.size) {
      say("None of them has a tag");
      return;
    }
    const chosen = await askText(`Take a tag off ${formatCount(ids.length, "run")}`, { action: "Untag", value: there.size === 1 ? [...there][0] : "", options: [...there].sort() });
    if (chosen) await removeTag(ids, chosen);
  } catch (error) {
    sayError(error);
  }
}

/** The tags that can be seen. */
export function knownTags() {
  const cells = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-tags]"));
  return [...new Set([...cells].flatMap((one) => JSON.parse(one.dataset.tags ?? "[]")))].sort();
}
