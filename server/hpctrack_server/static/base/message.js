// Short messages at the foot of the page, with an undo where there is one.
import { explain, make } from "./dom.js";

const SHOWN_MS = 8000;

/** @type {HTMLElement | null} */
let box = null;

/**
 * @param {string | (Node | string)[]} text
 * @param {{kind?: "info" | "bad", action?: string, onAction?: () => void, isLasting?: boolean}} [options]
 * @returns {() => void} takes it back
 */
export function say(text, { kind = "info", action = "", onAction, isLasting = false } = {}) {
  if (!box) {
    box = make("div", { class: "messages", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  const line = make("p", { class: `message ${kind}` }, make("span", {}, ...[text].flat()));
  const remove = () => line.remove();
  if (action) {
    const act = () => {
      remove();
      onAction?.();
    };
    line.append(make("button", { type: "button", class: "link", on: { click: act } }, action));
  }
  line.append(make("button", { type: "button", class: "link", "aria-label": "Close", on: { click: remove } }, "\u00d7"));
  box.append(line);
  if (!isLasting) setTimeout(remove, SHOWN_MS);
  return remove;
}

/** Tells what went wrong. @param {any} error */
export function sayError(error) {
  if (error?.name === "AbortError") return;
  say(explain(error), { kind: "bad" });
}
