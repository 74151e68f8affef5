// What is HTML of parallel coordinates: heads, tick labels and brushes, by pointer and keyboard.
import { make } from "../../base/dom.js";
import { shortName } from "../columns.js";

/** @typedef {import("./axis.js").Axis} Axis */
/** @typedef {import("./brush.js").Interval} Interval */

const CLICK_PX = 4;
const EDGE_PX = 7;
const KEY_STEP = 0.02;

/**
 * What the overlay asks of the panel.
 * @typedef {object} Owner
 * @property {Axis[]} axes
 * @property {() => {xs: number[], low: number, high: number, height: number, missing: number | null}} layout in pixels from above: `high` is the upper end
 * @property {(axis: Axis, intervals: Interval[], isDragging: boolean) => void} brush
 * @property {(from: number, to: number) => void} move
 * @property {(axis: Axis) => void} flip
 * @property {(axis: Axis) => void} switchLog
 * @property {(axis: Axis) => void} drop
 * @property {(axis: Axis) => void} colourBy
 */

export class Overlay {
  /** @param {HTMLElement} heads @param {HTMLElement} plot @param {Owner} owner */
  constructor(heads, plot, owner) {
    this.heads = heads;
    this.plot = plot;
    this.owner = owner;
    /** @type {HTMLElement[]} */
    this.columns = [];
  }

  /** Builds everything; the focus stays on the same axis. */
  build() {
    const held = /** @type {HTMLElement | null} */ (document.activeElement);
    const focus = held && this.heads.contains(held) ? held.dataset.key : null;
    this.heads.replaceChildren(...this.owner.axes.map((axis, i) => this.#makeHead(axis, i)));
    for (const column of this.columns) column.remove();
    this.columns = this.owner.axes.map((axis, i) => this.#makeColumn(axis, i));
    this.plot.append(...this.columns);
    this.place();
    if (focus !== null) this.#headOf(focus ?? "")?.focus();
  }

  /** @param {string} key */
  #headOf(key) {
    return /** @type {HTMLElement | undefined} */ ([...this.heads.children].find((one) => /** @type {HTMLElement} */ (one).dataset.key === key));
  }

  place() {
    const { xs } = this.owner.layout();
    const room = xs.length > 1 ? xs[1] - xs[0] : 220;
    this.owner.axes.forEach((axis, i) => {
      const head = /** @type {HTMLElement} */ (this.heads.children[i]);
      head.style.left = `${xs[i]}px`;
      head.style.maxWidth = `${Math.max(room - 8, 40)}px`;
      this.columns[i].style.left = `${xs[i]}px`;
      this.#placeTicks(axis, this.columns[i]);
      this.showBrushes(axis);
    });
  }

  /** @param {number} unit height on an axis @returns {number} pixels from above */
  #pixelOf(unit) {
    const { low, high } = this.owner.layout();
    return low + (high - low) * unit;
  }

  /** @param {number} pixel from above */
  #unitOf(pixel) {
    const { low, high } = this.owner.layout();
    return (pixel - low) / (high - low);
  }

  /** @param {Axis} axis @param {HTMLElement} column */
  #placeTicks(axis, column) {
    const { low, high, missing } = this.owner.layout();
    const ticks = axis.ticks(low - high).map(({ at, label }) => {
      const unit = (at - axis.range[0]) / (axis.range[1] - axis.range[0]);
      const tick = make("span", { class: "tick" }, make("bdi", {}, label));
      tick.style.top = `${this.#pixelOf(axis.isFlipped ? 1 - unit : unit)}px`;
      return tick;
    });
    if (missing !== null && axis.hasMissing) {
      const tick = make("span", { class: "tick none" }, "no value");
      tick.style.top = `${missing}px`;
      ticks.push(tick);
    }
    const holder = /** @type {HTMLElement} */ (column.querySelector(".ticks"));
    holder.replaceChildren(...ticks);
  }

  // -- heads -----------------------------------------------------------------------------------

  /** @param {Axis} axis @param {number} position */
  #makeHead(axis, position) {
    const head = make("button", {
      type: "button", class: "axis-head", "data-key": axis.key, title: axis.key,
      "aria-label": axis.describe(position, this.owner.axes.length), "aria-haspopup": "menu",
      "aria-keyshortcuts": "ArrowLeft ArrowRight F L C Delete",
      on: {
        keydown: (/** @type {KeyboardEvent} */ event) => this.#onHeadKey(event, axis),
        pointerdown: (/** @type {PointerEvent} */ event) => this.#dragHead(event, axis, head),
        click: (/** @type {MouseEvent} */ event) => this.#openMenu(event, axis, head),
      },
    }, make("bdi", {}, shortName(axis.key)));
    head.classList.toggle("brushed", axis.intervals.length > 0);
    head.classList.toggle("flipped", axis.isFlipped);
    return head;
  }

  /** @param {KeyboardEvent} event @param {Axis} axis */
  #onHeadKey(event, axis) {
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
  #dragHead(event, axis, head) {
    if (event.button) return;
    const { clientX: start, pointerId } = event;
    let isDragged = false;
    head.setPointerCapture(pointerId);
    const move = (/** @type {PointerEvent} */ now) => {
      if (!isDragged && Math.abs(now.clientX - start) < CLICK_PX) return;
      isDragged = true;
      head.classList.add("dragged");
      const left = now.clientX - this.plot.getBoundingClientRect().left;
      head.style.left = `${left}px`;
      const { xs } = this.owner.layout();
      const at = this.owner.axes.indexOf(axis);
      const nearest = xs.reduce((best, x, i) => (Math.abs(x - left) < Math.abs(xs[best] - left) ? i : best), 0);
      head.dataset.target = String(nearest === at ? "" : nearest);
      this.columns.forEach((column, i) => column.classList.toggle("target", i === nearest && nearest !== at));
    };
    const end = () => {
      head.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) head.removeEventListener(name, end);
      if (!isDragged) return;
      head.classList.remove("dragged");
      this.wasDragged = true;
      setTimeout(() => {
        this.wasDragged = false;
      });
      const target = head.dataset.target;
      if (target) this.owner.move(this.owner.axes.indexOf(axis), Number(target));
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
    menu.style.left = `${Math.min(box.left, innerWidth - 190)}px`;
    menu.style.top = `${box.bottom + 4}px`;
    menu.showPopover();
    menu.addEventListener("toggle", (change) => {
      if (/** @type {ToggleEvent} */ (change).newState === "closed") menu.remove();
    });
    /** @type {HTMLElement | null} */ (menu.querySelector("button:not(:disabled)"))?.focus();
    this.menu = menu;
    return undefined;
  }

  // -- brushes ---------------------------------------------------------------------------------

  /** @param {Axis} axis @param {number} position */
  #makeColumn(axis, position) {
    return make("div", {
      class: "axis-column", tabindex: 0, role: "group", "data-key": axis.key,
      "aria-label": `${axis.describe(position, this.owner.axes.length)}. Enter adds a brush.`,
      on: {
        pointerdown: (/** @type {PointerEvent} */ event) => this.#drag(event, axis),
        keydown: (/** @type {KeyboardEvent} */ event) => this.#onColumnKey(event, axis),
      },
    }, make("div", { class: "ticks", "aria-hidden": "true" }), make("div", { class: "brushes" }));
  }

  /** @param {Axis} axis */
  showBrushes(axis) {
    const at = this.owner.axes.indexOf(axis);
    const column = this.columns[at];
    if (!column) return;
    const holder = /** @type {HTMLElement} */ (column.querySelector(".brushes"));
    while (holder.children.length > axis.intervals.length) holder.lastChild?.remove();
    axis.intervals.forEach((one, i) => {
      const brush = /** @type {HTMLElement} */ (holder.children[i] ?? holder.appendChild(this.#makeBrush(axis, i)));
      const [top, bottom] = this.#endsOf(axis, one);
      brush.style.top = `${top}px`;
      brush.style.height = `${Math.max(bottom - top, 3)}px`;
      brush.setAttribute("aria-valuetext", axis.describeInterval(one));
      brush.setAttribute("aria-valuenow", String(one.isMissing ? 0 : Math.round(50 * (axis.unitsOf(one)[0] + axis.unitsOf(one)[1]))));
    });
    const head = /** @type {HTMLElement} */ (this.heads.children[at]);
    head?.classList.toggle("brushed", axis.intervals.length > 0);
    head?.setAttribute("aria-label", axis.describe(at, this.owner.axes.length));
    column.setAttribute("aria-label", `${axis.describe(at, this.owner.axes.length)}. Enter adds a brush.`);
  }

  /** @param {Axis} axis @param {Interval} one @returns {[number, number]} pixels from above */
  #endsOf(axis, one) {
    const { missing } = this.owner.layout();
    if (one.isMissing) return [(missing ?? 0) - 8, (missing ?? 0) + 8];
    const [low, high] = axis.unitsOf(one);
    return [this.#pixelOf(high), this.#pixelOf(low)];
  }

  /** @param {Axis} axis @param {number} index */
  #makeBrush(axis, index) {
    return make("div", {
      class: "brush", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": `Brush ${index + 1} of ${axis.key}: arrows move it, with shift its upper and with control its lower end, delete removes it`,
      on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#onBrushKey(event, axis, index) },
    });
  }

  /** @param {KeyboardEvent} event @param {Axis} axis */
  #onColumnKey(event, axis) {
    if (event.target !== event.currentTarget) return;
    const column = /** @type {HTMLElement} */ (event.currentTarget);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const isFirst = !axis.intervals.length;
      const made = axis.intervalOf(isFirst ? 0.25 : 0, isFirst ? 0.75 : 0.1);
      if (made) this.owner.brush(axis, [...axis.intervals, made], false);
      /** @type {HTMLElement | null} */ (column.querySelector(".brush:last-child"))?.focus();
    } else if (event.key === "Escape" || event.key === "Delete") this.owner.brush(axis, [], false);
  }

  /** @param {KeyboardEvent} event @param {Axis} axis @param {number} index */
  #onBrushKey(event, axis, index) {
    const one = axis.intervals[index];
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.owner.brush(axis, axis.intervals.filter((_, i) => i !== index), false);
      this.columns[this.owner.axes.indexOf(axis)]?.focus();
      return;
    }
    const direction = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
    if (!direction || !one || one.isMissing) return;
    event.preventDefault();
    const step = (axis.scale.kind === "category" ? 1 / axis.scale.labels.length : KEY_STEP) * direction;
    let [low, high] = axis.unitsOf(one);
    if (!event.ctrlKey) high += step;
    if (!event.shiftKey) low += step;
    if (low < -1e-9 && !event.ctrlKey && !event.shiftKey) return;
    if (high > 1 + 1e-9 && !event.ctrlKey && !event.shiftKey) return;
    const made = axis.intervalOf(Math.max(low, 0), Math.min(high, 1));
    if (!made || high <= low) return;
    this.owner.brush(axis, axis.intervals.map((each, i) => (i === index ? made : each)), false);
  }

  /** A new brush, or one that is moved or made longer. @param {PointerEvent} event @param {Axis} axis */
  #drag(event, axis) {
    if (event.button) return;
    const column = this.columns[this.owner.axes.indexOf(axis)];
    const top = column.getBoundingClientRect().top;
    const start = event.clientY - top;
    const kept = [...axis.intervals];
    const index = kept.findIndex((one) => {
      const [from, to] = this.#endsOf(axis, one);
      return start >= from - EDGE_PX && start <= to + EDGE_PX;
    });
    const shape = this.#shapeOf(axis, kept[index], start);
    let last = start;
    let frame = 0;
    column.setPointerCapture(event.pointerId);
    column.classList.add("brushing");
    const step = (/** @type {boolean} */ isDragging) => {
      const made = shape(last);
      const others = kept.filter((_, i) => i !== index);
      this.owner.brush(axis, made ? [...others, made] : others, isDragging);
    };
    const move = (/** @type {PointerEvent} */ now) => {
      last = now.clientY - top;
      if (Math.abs(last - start) < CLICK_PX) return;
      // The place is read when the frame comes: an earlier one would lag behind the pointer.
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        step(true);
      });
    };
    const end = (/** @type {PointerEvent} */ now) => {
      column.removeEventListener("pointermove", move);
      for (const name of ["pointerup", "pointercancel"]) column.removeEventListener(name, /** @type {any} */ (end));
      cancelAnimationFrame(frame);
      column.classList.remove("brushing");
      last = now.clientY - top;
      if (Math.abs(last - start) >= CLICK_PX) step(false);
      else this.#click(axis, kept, index, start);
    };
    column.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) column.addEventListener(name, /** @type {any} */ (end));
  }

  /** A click beside brushes takes all of them away, one on "no value" chooses those runs. @param {Axis} axis @param {Interval[]} kept @param {number} index @param {number} at */
  #click(axis, kept, index, at) {
    const { missing } = this.owner.layout();
    if (index >= 0) return this.owner.brush(axis, kept, false);
    if (missing !== null && axis.hasMissing && Math.abs(at - missing) < 12) {
      return this.owner.brush(axis, [...kept, { low: NaN, high: NaN, isMissing: true }], false);
    }
    return this.owner.brush(axis, [], false);
  }

  /** What a drag makes of the place where the pointer is. @param {Axis} axis @param {Interval | undefined} one @param {number} start @returns {(pixel: number) => Interval | null} */
  #shapeOf(axis, one, start) {
    const clamp = (/** @type {number} */ unit) => Math.min(Math.max(unit, 0), 1);
    const made = (/** @type {number} */ a, /** @type {number} */ b) => axis.intervalOf(clamp(Math.min(a, b)), clamp(Math.max(a, b)));
    if (one?.isMissing) return () => one;
    if (!one) return (pixel) => made(this.#unitOf(start), this.#unitOf(pixel));
    const [top, bottom] = this.#endsOf(axis, one);
    const [low, high] = axis.unitsOf(one);
    if (Math.abs(start - top) <= EDGE_PX && bottom - top > EDGE_PX) return (pixel) => made(low, this.#unitOf(pixel));
    if (Math.abs(start - bottom) <= EDGE_PX) return (pixel) => made(high, this.#unitOf(pixel));
    return (pixel) => {
      const shift = Math.min(Math.max(this.#unitOf(pixel) - this.#unitOf(start), -low), 1 - high);
      return made(low + shift, high + shift);
    };
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
