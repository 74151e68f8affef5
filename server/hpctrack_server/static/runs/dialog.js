// Dialogs: one at a time, closed by Escape, by its button, or by a click beside it.
import { make } from "../base/dom.js";

/**
 * @param {string} title
 * @param {{isAtSide?: boolean}} [how]
 * @returns {HTMLDialogElement} with a heading; add the rest, then call showModal
 */
export function makePanel(title, { isAtSide = false } = {}) {
  const panel = make("dialog", { class: isAtSide ? "panel side-panel" : "panel", "aria-label": title });
  const close = () => panel.close();
  panel.append(make("header", {}, make("h2", {}, title), make("button", { type: "button", class: "quiet", "aria-label": "Close", on: { click: close } }, "\u00d7")));
  panel.addEventListener("click", (event) => event.target === panel && close());
  panel.addEventListener("close", () => panel.remove());
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault(); // a search would only be emptied by it
    close();
  });
  document.body.append(panel);
  return panel;
}

/**
 * Asks for a line of text.
 * @param {string} question
 * @param {{value?: string, action: string, options?: string[]}} how
 * @returns {Promise<string | null>} null if nothing is to be done
 */
export function askText(question, { value = "", action, options = [] }) {
  return new Promise((resolve) => {
    const input = make("input", { type: "text", value, maxlength: 200, "aria-label": question, list: options.length ? "ask-options" : null, autocomplete: "off" });
    const dialog = make(
      "dialog",
      { "aria-label": question },
      make(
        "form",
        { method: "dialog", class: "ask" },
        make("h2", {}, question),
        input,
        options.length ? make("datalist", { id: "ask-options" }, ...options.map((one) => make("option", { value: one }))) : null,
        make("footer", {}, make("button", { type: "button", class: "button", on: { click: () => dialog.close("") } }, "Cancel"), make("button", { class: "button primary", value: "done" }, action)),
      ),
    );
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "done" && input.value.trim() ? input.value.trim() : null);
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

/** Menus close by Escape, by a click elsewhere, and when something in them was chosen. */
export function tendMenus() {
  const opened = () => /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll("details.menu[open]"));
  addEventListener("click", (event) => {
    const target = /** @type {Element} */ (event.target);
    for (const menu of opened()) {
      if (!menu.contains(target) || target.closest(".drop a, .drop .button")) menu.open = false;
    }
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of opened()) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  });
}
