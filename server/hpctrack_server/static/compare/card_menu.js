// What the menus of a card and of a section offer.
import { make } from "../base/dom.js";
import { openMenu } from "../base/menu.js";
import { ask, askText, editPanel } from "./dialogs.js";
import { savePicture, saveTable } from "./export.js";
import { newId } from "./workspaces.js";

/** @typedef {import("../panels/host.js").PanelCard} PanelCard */
/** @typedef {import("./compare_page.js").ComparePage} ComparePage */
/** @typedef {import("../base/menu.js").Item} Item */

/** @param {PanelCard} card @param {ComparePage} page @returns {Item[]} */
export function itemsOfCard(card, page) {
  const grid = page.board?.grids.find((one) => one.element === card.element.parentElement);
  const isFull = Boolean(card.element.closest("dialog"));
  if (isFull || !grid) return [...exports(card), { label: "Close full screen", act: () => card.element.closest("dialog")?.close() }];
  const items = [
    { label: "Settings…", act: () => edit(card, page) },
    { label: "Full screen", act: () => showFull(card) },
    { label: "Duplicate", act: () => duplicate(card, page) },
    ...exports(card),
    { label: "Move earlier", isDisabled: !card.element.previousElementSibling, act: () => grid.step(card, -1) },
    { label: "Move later", isDisabled: !card.element.nextElementSibling, act: () => grid.step(card, 1) },
    { label: "Remove", isDangerous: true, act: () => remove(card, page) },
  ];
  return items;
}

/** @param {PanelCard} card @returns {Item[]} */
function exports(card) {
  return [
    { label: "Save as PNG", act: () => savePicture(card, "png") },
    { label: "Save as SVG", act: () => savePicture(card, "svg") },
    { label: "Save points as CSV", act: () => saveTable(card) },
  ];
}

/** @param {PanelCard} card @param {ComparePage} page */
async function edit(card, page) {
  const columns = await page.columnKeys();
  if (!(await editPanel(card, { metrics: page.facts.metrics, columns }))) return;
  card.showTitle();
  card.spoil();
  page.edited();
}

/** @param {PanelCard} card @param {ComparePage} page */
function duplicate(card, page) {
  const grid = page.board?.grids.find((one) => one.element === card.element.parentElement);
  if (!grid) return;
  const spec = { ...structuredClone(card.spec), id: newId() };
  page.board?.addCard(spec, grid, card.element.nextElementSibling);
  page.board?.changed();
}

/** @param {PanelCard} card @param {ComparePage} page */
function remove(card, page) {
  page.board?.dropCard(card);
  page.board?.changed();
}

/** The card itself moves into a dialog, so it stays as it is drawn and zoomed. @param {PanelCard} card */
function showFull(card) {
  const placeholder = make("div", { class: "panel", "aria-hidden": "true" });
  placeholder.style.gridColumn = card.element.style.gridColumn;
  placeholder.style.gridRow = card.element.style.gridRow;
  const dialog = make("dialog", { class: "full", "aria-label": card.title });
  const close = make("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Close");
  dialog.append(close);
  card.element.before(placeholder);
  document.body.append(dialog);
  dialog.append(card.element);
  // What floats beside the pointer must be in the dialog too, else it would be behind it.
  const tip = document.getElementById("tip");
  if (tip) dialog.append(tip);
  dialog.addEventListener("close", () => {
    placeholder.replaceWith(card.element);
    if (tip) document.body.append(tip);
    dialog.remove();
    card.menu.focus();
  });
  dialog.showModal();
  card.isVisible = true;
  card.spoil(); // a large picture has room for more points
}

/** @param {HTMLElement} box @param {ComparePage} page */
export function openSectionMenu(box, page) {
  const frame = /** @type {HTMLElement} */ (box.parentElement);
  const button = /** @type {HTMLElement} */ (frame.querySelector(":scope > .panel-menu"));
  const changed = () => page.board?.changed();
  openMenu(button, [
    { label: "Rename…", act: async () => {
      const title = await askText("Rename this section", "Title", box.dataset.title ?? "", "Rename");
      if (!title) return;
      box.dataset.title = title;
      const heading = /** @type {HTMLElement} */ (box.querySelector("h2 bdi"));
      heading.textContent = heading.title = title;
      changed();
    } },
    { label: "Move up", isDisabled: !frame.previousElementSibling, act: () => page.board?.moveSection(box, -1) },
    { label: "Move down", isDisabled: !frame.nextElementSibling, act: () => page.board?.moveSection(box, 1) },
    { label: "Remove section", isDangerous: true, act: async () => {
      if (await ask(`Remove the section “${(box.dataset.title ?? "").slice(0, 80)}” and its panels?`, [], "Remove")) page.board?.removeSection(box);
    } },
  ]);
}
