// Cards in a grid: moved by their heading, resized by their corner, and both by the keyboard.
import { GAP_PX, columnsFor, resized, rowFor, sideOf, spanOf } from "./layout.js";

/** @typedef {import("../panels/host.js").PanelCard} PanelCard */

const DRAG_MIN_PX = 5;

/**
 * @typedef {object} GridWatch
 * @property {() => void} onChange something has another place or size
 * @property {(element: Element) => PanelCard | undefined} cardOf
 * @property {(text: string) => void} announce for screen readers
 */

/** Who is there already if a card is put on that side of a neighbour. @param {Element} element @param {"before" | "after"} side */
function sideNeighbour(element, side) {
  return side === "before" ? element.nextElementSibling : element.previousElementSibling;
}

export class Grid {
  /** @param {HTMLElement} element @param {GridWatch} watch */
  constructor(element, watch) {
    this.element = element;
    this.watch = watch;
    this.columns = 12;
    element.classList.add("panel-grid");
    element.style.setProperty("--gap", `${GAP_PX}px`);
    this.resizing = new ResizeObserver(() => this.measure());
    this.resizing.observe(element);
    this.measure();
    element.addEventListener("pointerdown", (event) => this.begin(event));
    element.addEventListener("keydown", (event) => this.press(event));
  }

  /** Cards in their order. */
  get cards() {
    return [...this.element.children].map((one) => this.watch.cardOf(one)).filter((one) => one !== undefined);
  }

  measure() {
    const columns = columnsFor(this.element.clientWidth || innerWidth);
    if (columns === this.columns && this.element.style.getPropertyValue("--columns")) return;
    this.columns = columns;
    this.element.style.setProperty("--columns", String(columns));
    this.element.style.setProperty("--row", `${rowFor(columns)}px`);
    for (const card of this.cards) this.place(card);
  }

  /** @param {PanelCard} card */
  place(card) {
    const { w, h } = spanOf(card.spec, this.columns);
    card.element.style.gridColumn = `span ${w}`;
    card.element.style.gridRow = `span ${h}`;
  }

  /** @param {PanelCard} card @param {Element | null} [before] */
  insert(card, before = null) {
    this.element.insertBefore(card.element, before);
    this.place(card);
  }

  // -- pointer ---------------------------------------------------------------------------------

  /** @param {PointerEvent} event */
  begin(event) {
    if (event.button !== 0) return;
    const target = /** @type {Element} */ (event.target);
    const element = target.closest(".panel");
    const card = element && this.watch.cardOf(element);
    if (!card) return;
    if (target.closest(".panel-corner")) this.resize(card, event);
    else if (target.closest("header") && !target.closest(".panel-menu")) this.drag(card, event);
  }

  /** @param {PanelCard} card @param {PointerEvent} start */
  resize(card, start) {
    start.preventDefault();
    const { w, h } = card.spec;
    const unit = { column: (this.element.clientWidth + GAP_PX) / this.columns, row: rowFor(this.columns) };
    const before = { w: Math.min(w, this.columns), h };
    this.follow(card.element, start, "resizing", (event) => {
      const size = resized(before, event.clientX - start.clientX, event.clientY - start.clientY, unit);
      if (size.w === card.spec.w && size.h === card.spec.h) return;
      Object.assign(card.spec, size);
      this.place(card);
    });
  }

  /** @param {PanelCard} card @param {PointerEvent} start */
  drag(card, start) {
    this.follow(card.element, start, "dragging", (event) => {
      const below = document.elementFromPoint(event.clientX, event.clientY);
      const other = below?.closest(".panel");
      const grid = below?.closest(".panel-grid");
      if (other && other !== card.element && other.closest(".panel-grid")) {
        const side = sideOf(other.getBoundingClientRect(), event.clientX, event.clientY);
        const next = side === "before" ? other : other.nextElementSibling;
        if (next !== card.element && other !== sideNeighbour(card.element, side)) other.parentElement?.insertBefore(card.element, next);
      } else if (grid && !other && grid !== card.element.parentElement) grid.append(card.element);
    });
  }

  /**
   * @param {HTMLElement} element @param {PointerEvent} start @param {string} mark
   * @param {(event: PointerEvent) => void} work
   */
  follow(element, start, mark, work) {
    let hasMoved = false;
    const move = (/** @type {PointerEvent} */ event) => {
      if (!hasMoved && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < DRAG_MIN_PX) return;
      hasMoved = true;
      element.classList.add(mark);
      document.body.classList.add("panel-busy");
      work(event);
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      element.classList.remove(mark);
      document.body.classList.remove("panel-busy");
      if (hasMoved) this.watch.onChange();
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  // -- keyboard --------------------------------------------------------------------------------

  /** @param {KeyboardEvent} event */
  press(event) {
    const target = /** @type {Element} */ (event.target);
    if (!target.closest(".panel-handle") || !event.key.startsWith("Arrow")) return;
    const element = target.closest(".panel");
    const card = element && this.watch.cardOf(element);
    if (!card) return;
    event.preventDefault();
    if (event.shiftKey) this.grow(card, event.key);
    else this.step(card, event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1);
    /** @type {HTMLElement} */ (target).focus();
  }

  /** @param {PanelCard} card @param {string} key */
  grow(card, key) {
    const dx = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
    const dy = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
    Object.assign(card.spec, resized(card.spec, dx, dy, { column: 1, row: 1 }));
    this.place(card);
    this.watch.onChange();
    this.watch.announce(`${card.title}: ${card.spec.w} columns, ${card.spec.h} rows`);
  }

  /** @param {PanelCard} card @param {number} by */
  step(card, by) {
    const { element } = card;
    const other = by < 0 ? element.previousElementSibling : element.nextElementSibling;
    if (!other) return;
    this.element.insertBefore(element, by < 0 ? other : other.nextElementSibling);
    element.scrollIntoView({ block: "nearest" });
    this.watch.onChange();
    const place = [...this.element.children].indexOf(element) + 1;
    this.watch.announce(`${card.title} is panel ${place} of ${this.element.children.length}`);
  }

  remove() {
    this.resizing.disconnect();
  }
}
