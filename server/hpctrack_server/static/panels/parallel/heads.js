// The names of axes: dragged and moved by arrows, with a menu of what can be done to an axis.
import { make } from "../../base/dom.js";
import { shortName } from "../columns.js";

/** @typedef {import("./axis.js").Axis} Axis */

const CLICK_PX = 4;
const MENU_PX = 190;

export class Heads {
  /**
   * @param {HTMLElement} host @param {import("./overlay.js").Owner} owner
   * @param {(position: number) => void} onTarget where a head that is dragged would go; -1 is nowhere
   */
  constructor(host, owner, onTarget) {
    this.host = host;
    this.owner = owner;
    this.onTarget = onTarget;
    this.wasDragged = false;
    /** @type {HTMLElement | null} */
    this.menu = null;
  }

  /** Makes the heads; the focus stays on the same axis. */
  build() {
    const held = /** @type {HTMLElement | null} */ (document.activeElement);
    const focus = held && this.host.contains(held) ? held.dataset.key : undefined;
    this.host.replaceChildren(...this.owner.axes.map((axis) => this.#make(axis.key)));
    if (focus !== undefined) this.#headOf(focus)?.focus();
  }

  place() {
    const { xs } = this.owner.layout();
    const room = xs.length > 1 ? xs[1] - xs[0] : 220;
    const heads = /** @type {HTMLElement[]} */ ([...this.host.children]);
    for (const head of heads) head.style.maxWidth = `${Math.max(room - 8, 40)}px`;
    // A long name at either end stays within the card.
    const halves = heads.map((head) => head.offsetWidth / 2);
    const width = this.host.clientWidth;
    this.owner.axes.forEach((axis, i) => {
      heads[i].style.left = `${Math.max(Math.min(xs[i], width - halves[i]), halves[i])}px`;
      this.show(axis);
    });
  }

  /** Says how an axis is now. @param {Axis} axis */
  show(axis) {
    const at = this.owner.axes.indexOf(axis);
    const head = /** @type {HTMLElement | undefined} */ (this.host.children[at]);
    head?.classList.toggle("brushed", axis.intervals.length > 0);
    head?.classList.toggle("flipped", axis.isFlipped);
    head?.setAttribute("aria-label", axis.describe(at, this.owner.axes.length));
  }

  /** @param {string} key */
  #headOf(key) {
    return /** @type {HTMLElement | undefined} */ ([...this.host.children].find((one) => /** @type {HTMLElement} */ (one).dataset.key === key));
  }

  /** @param {string} key @returns {Axis} */
  #axis(key) {
    return /** @type {Axis} */ (this.owner.axes.find((one) => one.key === key));
  }

  /** An element finds its axis by the key: axes are made anew more often than elements. @param {string} key @returns {HTMLElement} */
  #make(key) {
    const axisOf = () => this.#axis(key);
    const head = make("button", {
      type: "button", class: "axis-head", "data-key": key, title: key, "aria-haspopup": "menu",
      "aria-keyshortcuts": "ArrowLeft ArrowRight F L C Delete",
      on: {
        keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event, axisOf()),
        pointerdown: (/** @type {PointerEvent} */ event) => this.#drag(event, axisOf(), head),
        click: (/** @type {MouseEvent} */ event) => this.#openMenu(event, axisOf(), head),
      },
    }, make("bdi", {}, shortName(key)));
    return head;
  }

  /** @param {KeyboardEvent} event @param {Axis} axis */
  #onKey(event, axis) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.owner.axes.indexOf(axis);
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.owner.move(at, at - 1),
      ArrowRight: () => this.owner.move(at, at + 1),
      f: () => this.owner.flip(axis),
      l: () => this.owner.switchLog(axis),
      c: () => this.owner.colourBy(axis),
      Delete: () => this.owner.drop(axis),
    };
    const work = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!work) return;
    event.preventDefault();
    work();
  }

  /** @param {PointerEvent} event @param {Axis} axis @param {HTMLElement} head */
  #drag(event, axis, head) {
    if (event.button) return;
    const { clientX: start, pointerId } = event;
    let isDragged = false;
    head.setPointerCapture(pointerId);
    const move = (/** @type {PointerEvent} */ now) => {
      if (!isDragged && Math.abs(now.clientX - start) < CLICK_PX) return;
      isDragged = true;
      head.classList.add("dragged");
      const left = now.clientX - this.host.getBoundingClientRect().left;
      head.style.left = `${left}px`;
      const { xs } = this.owner.layout();
      const at = this.owner.axes.indexOf(axis);
      const nearest = xs.reduce((best, x, i) => (Math.abs(x - left) < Math.abs(xs[best] - left) ? i : best), 0);
      head.dataset.target = String(nearest === at ? "" : nearest);
      this.onTarget(nearest === at ? -1 : nearest);
    };
    const end = () => {
      head.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) head.removeEventListener(name, end);
      if (!isDragged) return;
      head.classList.remove("dragged");
      this.onTarget(-1);
      this.wasDragged = true;
      setTimeout(() => {
        this.wasDragged = false;
      });
      const target = head.dataset.target;
      if (target) this.owner.move(this.owner.axes.indexOf(this.#axis(axis.key)), Number(target));
      else this.place();
    };
    head.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) head.addEventListener(name, end);
  }

  /** @param {MouseEvent} event @param {Axis} axis @param {HTMLElement} head */
  #openMenu(event, axis, head) {
    if (this.wasDragged) return event.preventDefault();
    this.menu?.remove();
    const at = this.owner.axes.indexOf(axis);
    const isNumber = axis.column.kind === "number";
    /** @type {[string, (() => void) | null][]} */
    const entries = [
      ["Move left", at > 0 ? () => this.owner.move(at, at - 1) : null],
      ["Move right", at < this.owner.axes.length - 1 ? () => this.owner.move(at, at + 1) : null],
      [axis.isFlipped ? "Unflip" : "Flip", () => this.owner.flip(axis)],
      [axis.scale.kind === "log" ? "Linear axis" : "Logarithmic axis", isNumber ? () => this.owner.switchLog(axis) : null],
      ["Colour by this", () => this.owner.colourBy(axis)],
      ["Clear its brushes", axis.intervals.length ? () => this.owner.brush(axis, [], false) : null],
      ["Remove axis", this.owner.axes.length > 2 ? () => this.owner.drop(axis) : null],
    ];
    const menu = make("div", { class: "axis-menu", role: "menu", popover: "auto", "aria-label": axis.key });
    const close = () => {
      menu.hidePopover();
      menu.remove();
    };
    for (const [text, work] of entries) {
      const choose = () => {
        close();
        this.#headOf(axis.key)?.focus();
        work?.();
      };
      menu.append(make("button", { type: "button", role: "menuitem", disabled: !work, on: { click: choose } }, text));
    }
    menu.addEventListener("keydown", (key) => stepInMenu(key, menu));
    document.body.append(menu);
    const box = head.getBoundingClientRect();
    menu.style.left = `${Math.min(box.left, innerWidth - MENU_PX)}px`;
    menu.style.top = `${box.bottom + 4}px`;
    menu.showPopover();
    menu.addEventListener("toggle", (change) => {
      if (/** @type {ToggleEvent} */ (change).newState === "closed") menu.remove();
    });
    /** @type {HTMLElement | null} */ (menu.querySelector("button:not(:disabled)"))?.focus();
    this.menu = menu;
    return undefined;
  }
}

/** @param {KeyboardEvent} event @param {HTMLElement} menu */
function stepInMenu(event, menu) {
  const direction = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!direction) return;
  event.preventDefault();
  const entries = /** @type {HTMLElement[]} */ ([...menu.querySelectorAll("button:not(:disabled)")]);
  const at = entries.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  entries[(at + direction + entries.length) % entries.length]?.focus();
}
