// The table by keyboard.
import { make } from "../base/dom.js";
import { editName, editNotes, editTags } from "./cells.js";
import { makePanel } from "./dialog.js";
import { clearPicked, compare, hasPicked, setBaseline, togglePicked } from "./selection.js";

const KEYS = [
  ["j, k", "next and previous run; so do the arrows"],
  ["Enter", "open the run, or the group"],
  ["x", "select the run"],
  ["Shift + click", "select all between; on a heading: sort by one more column"],
  ["e, F2", "edit its name; Enter saves, Escape does not"],
  ["t", "edit its tags"],
  ["n", "edit its notes, if they are shown"],
  ["b", "compare all with it, as the baseline; again: no more"],
  ["c", "compare the selected runs, or all that match"],
  ["/", "to the filter; Ctrl + Space completes"],
  ["Ctrl + K", "go to a project, a run or a page"],
  ["[, ]", "previous and next page"],
  ["Escape", "select nothing"],
  ["?", "these keys"],
];

const rows = () => /** @type {HTMLTableRowElement[]} */ ([...document.querySelectorAll(".runs tbody tr:is([data-run], [data-group])")]);
const atRow = () => /** @type {HTMLTableRowElement | null} */ (document.activeElement?.closest?.(".runs tbody tr") ?? document.querySelector(".runs tr.at"));

export function tendKeys() {
  addEventListener("keydown", onKey);
  for (const seen of ["focusin", "click"]) {
    document.addEventListener(seen, (event) => mark(/** @type {Element} */ (event.target).closest(".runs tbody tr")));
  }
}

/** @param {Element | null} row */
function mark(row) {
  if (!row) return;
  for (const one of document.querySelectorAll(".runs tr.at")) one.classList.remove("at");
  row.classList.add("at");
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.matches("input:not([type=checkbox]), textarea, select")) return;
  if (event.key === " " && target.matches("a[role=button]")) {
    event.preventDefault();
    target.click();
    return;
  }
  const work = ACTIONS[event.key];
  if (!work) return;
  const isInMenu = target.closest(".drop, summary, .pager, .top, .side");
  if (isInMenu && event.key.startsWith("Arrow")) return;
  if (work(atRow()) !== false) event.preventDefault();
}

/** @param {number} step */
function move(step) {
  const all = rows();
  const at = atRow();
  const place = at ? all.indexOf(at) : -1;
  const next = all[place < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(place + step, 0), all.length - 1)];
  if (!next) return;
  mark(next);
  next.querySelector("a")?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** @type {Record<string, (row: HTMLTableRowElement | null) => unknown>} a false answer leaves the key to the browser */
const ACTIONS = {
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
  x: (row) => row?.dataset.run && togglePicked(row),
  e: (row) => row?.dataset.run && editName(row),
  F2: (row) => row?.dataset.run && editName(row),
  t: (row) => row?.dataset.run && editTags(row),
  n: (row) => row?.dataset.run && editNotes(row),
  b: (row) => row?.dataset.run && setBaseline(row.dataset.run),
  c: () => compare(),
  "[": () => /** @type {HTMLElement | null} */ (document.querySelector(".pager [rel=prev]"))?.click(),
  "]": () => /** @type {HTMLElement | null} */ (document.querySelector(".pager [rel=next]"))?.click(),
  Escape: () => (hasPicked() ? clearPicked() : false),
  "?": () => showKeys(),
};

function showKeys() {
  const panel = makePanel("Keys");
  panel.append(make("dl", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)])));
  panel.showModal();
}
