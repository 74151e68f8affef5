// Editing in place: the name, the tags and the notes of a run.
import { make } from "../base/dom.js";
import { say, sayError } from "../base/message.js";
import { edit } from "./edits.js";
import { refresh } from "./refresh.js";
import { knownTags } from "./selection.js";

export function tendCells() {
  document.addEventListener("dblclick", (event) => {
    const cell = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest(".runs tbody td, .runs tbody th"));
    const row = cell?.closest("tr");
    if (!cell || !row?.dataset.run || cell.querySelector(".cell-input")) return;
    if (cell.classList.contains("named")) editName(row);
    else if (cell.classList.contains("tagged")) editTags(row);
    else if (cell.classList.contains("noted")) editNotes(row);
    else return;
    event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    const button = /** @type {Element} */ (event.target).closest('[data-do="tags"]');
    const row = button?.closest("tr");
    if (row) editTags(row);
  });
}

/** @param {HTMLTableRowElement} row */
export function editName(row) {
  const cell = /** @type {HTMLElement | null} */ (row.querySelector(".named"));
  const before = row.dataset.name ?? "";
  const input = make("input", { type: "text", class: "cell-input", value: before, "aria-label": "Name", maxlength: 1000 });
  editIn(cell, input, async () => {
    const name = input.value.trim();
    if (name && name !== before) await edit([row.dataset.run ?? ""], { name, was: { name: before } });
  });
}

/** @param {HTMLTableRowElement} row */
export function editNotes(row) {
  const cell = /** @type {HTMLElement | null} */ (row.querySelector(".noted"));
  if (!cell) say("Notes are edited in their column: show it by Columns");
  const before = cell?.dataset.notes ?? "";
  const input = make("textarea", { class: "cell-input", "aria-label": "Notes; Enter saves, Shift and Enter begin a line" });
  input.value = before;
  editIn(cell, input, async () => {
    if (input.value !== before) await edit([row.dataset.run ?? ""], { notes: input.value, was: { notes: before } });
  });
}

/** @param {HTMLTableRowElement} row */
export function editTags(row) {
  const cell = /** @type {HTMLElement | null} */ (row.querySelector(".tagged"));
  /** @type {string[]} */
  const all = JSON.parse(cell?.dataset.tags ?? "[]");
  const before = all.filter((one) => !one.includes(",")); // others stay as they are
  const value = before.length ? `${before.join(", ")}, ` : "";
  const input = make("input", { type: "text", class: "cell-input", value, "aria-label": "Tags, with commas between them", list: "known-tags", autocomplete: "off" });
  input.append();
  editIn(cell, input, async () => {
    const now = [...new Set(input.value.split(",").map((one) => one.trim()).filter(Boolean))];
    const added = now.filter((one) => !all.includes(one));
    const gone = before.filter((one) => !now.includes(one));
    if (!added.length && !gone.length) return;
    await edit([row.dataset.run ?? ""], { ...(added.length && { add_tags: added }), ...(gone.length && { remove_tags: gone }) });
  });
  input.setSelectionRange(value.length, value.length);
  input.after(make("datalist", { id: "known-tags" }, ...knownTags().filter((one) => !all.includes(one)).map((one) => make("option", { value: value + one }))));
}

/**
 * Puts a field where the cell's text was: Enter saves, Escape leaves it, and so does the focus.
 * @param {HTMLElement | null} cell
 * @param {HTMLInputElement | HTMLTextAreaElement} input
 * @param {() => Promise<void>} save
 */
function editIn(cell, input, save) {
  if (!cell || cell.querySelector(".cell-input")) return;
  const shown = [...cell.childNodes];
  const row = cell.closest("tr")?.dataset.run ?? "";
  let isDone = false;
  const end = async (/** @type {boolean} */ isSaved) => {
    if (isDone) return;
    isDone = true;
    const hadFocus = document.activeElement === input;
    try {
      if (isSaved) {
        input.readOnly = true;
        await save();
      }
    } catch (error) {
      sayError(error);
    }
    cell.replaceChildren(...shown);
    if (hadFocus) focusRow(row);
    if (isSaved) await refresh();
  };
  input.addEventListener("keydown", (event) => {
    const { key, shiftKey } = /** @type {KeyboardEvent} */ (event);
    if (key === "Escape" || (key === "Enter" && !shiftKey)) {
      event.preventDefault();
      end(key === "Enter");
    }
    event.stopPropagation();
  });
  input.addEventListener("blur", () => end(true));
  cell.replaceChildren(input);
  input.focus();
  if (input instanceof HTMLInputElement) input.select();
}

/** @param {string} run */
function focusRow(run) {
  const link = /** @type {HTMLElement | null} */ (document.querySelector(`.runs tr[data-run="${CSS.escape(run)}"] .named a`));
  link?.focus({ preventScroll: true });
}
