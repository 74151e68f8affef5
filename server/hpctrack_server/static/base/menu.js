// A menu that a button opens: arrow keys, Escape, and a click elsewhere closes it.
import { make } from "./dom.js";

/**
 * @typedef {object} Item
 * @property {string} label
 * @property {() => void} act
 * @property {boolean} [isDangerous]
 * @property {boolean} [isDisabled]
 * @property {boolean} [isChosen] one of several is in use
 */

const GAP_PX = 4;
let serial = 0;

/** @param {HTMLElement} button @param {(Item | null)[]} items null is a line between them */
export function openMenu(button, items) {
  const menu = make("div", { class: "menu", role: "menu", popover: "auto", id: `menu-${++serial}` });
  for (const item of items) {
    if (!item) {
      menu.append(make("hr"));
      continue;
    }
    const choose = () => {
      menu.hidePopover();
      item.act();
    };
    menu.append(make("button", {
      type: "button", tabindex: "-1", disabled: item.isDisabled, class: item.isDangerous ? "dangerous" : "",
      role: item.isChosen === undefined ? "menuitem" : "menuitemradio", "aria-checked": item.isChosen === undefined ? null : String(item.isChosen),
      on: { click: choose },
    }, make("bdi", {}, item.label)));
  }
  menu.addEventListener("keydown", (event) => moveFocus(menu, event));
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== "closed") return;
    button.removeAttribute("aria-expanded");
    menu.remove();
  });
  // Inside a dialog, else what is modal would cover it.
  (button.closest("dialog, main") ?? document.body).append(menu);
  menu.showPopover();
  place(menu, button);
  button.setAttribute("aria-expanded", "true");
  /** @type {HTMLElement | null} */ (menu.querySelector("button:not(:disabled)"))?.focus();
}

/** @param {HTMLElement} menu @param {KeyboardEvent} event */
function moveFocus(menu, event) {
  const all = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button:not(:disabled)")]);
  const at = all.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
  if (event.key === "Tab") return menu.hidePopover();
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = steps[/** @type {keyof typeof steps} */ (event.key)];
  all[(next + all.length) % all.length]?.focus();
}

/** @param {HTMLElement} menu @param {HTMLElement} button */
function place(menu, button) {
  const box = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const left = Math.max(8, Math.min(box.left, innerWidth - width - 8));
  const below = box.bottom + GAP_PX;
  const top = below + height > innerHeight - 8 ? Math.max(8, box.top - GAP_PX - height) : below;
  menu.style.left = `${left}px`;
  menu.style.top = `${top}px`;
}
