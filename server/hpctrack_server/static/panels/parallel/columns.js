// The axes as one brushes them: tick labels and brushes, by pointer and keyboard.
import { make } from "../../base/dom.js";

/** @typedef {import("./axis.js").Axis} Axis */
/** @typedef {import("./brush.js").Interval} Interval */

const CLICK_PX = 4;
const EDGE_PX = 7;
const KEY_STEP = 0.02;

export class Columns {
  /** @param {HTMLElement} plot @param {import("./overlay.js").Owner} owner */
  constructor(plot, owner) {
    this.plot = plot;
    this.owner = owner;
    /** @type {HTMLElement[]} */
    this.columns = [];
  }

  build() {
    for (const column of this.columns) column.remove();
    this.columns = this.owner.axes.map((axis) => this.#make(axis.key));
    this.plot.append(...this.columns);
  }

  place() {
    const { xs } = this.owner.layout();
    this.owner.axes.forEach((axis, i) => {
      this.columns[i].style.left = `${xs[i]}px`;
      this.#placeTicks(axis, this.columns[i]);
      this.show(axis);
    });
  }

  /** Where an axis that is dragged would go. @param {number} position */
  markTarget(position) {
    this.columns.forEach((column, i) => column.classList.toggle("target", i === position));
  }

  /** @param {string} key @returns {Axis} */
  #axis(key) {
    return /** @type {Axis} */ (this.owner.axes.find((one) => one.key === key));
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

  /** @param {string} key @returns {HTMLElement} */
  #make(key) {
    return make("div", {
      class: "axis-column", tabindex: 0, role: "group", "data-key": key,
      on: {
        pointerdown: (/** @type {PointerEvent} */ event) => this.#drag(event, this.#axis(key)),
        keydown: (/** @type {KeyboardEvent} */ event) => this.#onColumnKey(event, this.#axis(key)),
      },
    }, make("div", { class: "ticks", "aria-hidden": "true" }), make("div", { class: "brushes" }));
  }

  /** @param {Axis} axis */
  show(axis) {
    const at = this.owner.axes.indexOf(axis);
    const column = this.columns[at];
    if (!column) return;
    const holder = /** @type {HTMLElement} */ (column.querySelector(".brushes"));
    while (holder.children.length > axis.intervals.length) holder.lastChild?.remove();
    axis.intervals.forEach((one, i) => {
      const brush = /** @type {HTMLElement} */ (holder.children[i] ?? holder.appendChild(this.#makeBrush(axis.key, i)));
      const [top, bottom] = this.#endsOf(axis, one);
      brush.style.top = `${top}px`;
      brush.style.height = `${Math.max(bottom - top, 3)}px`;
      brush.setAttribute("aria-valuetext", axis.describeInterval(one));
      brush.setAttribute("aria-valuenow", String(one.isMissing ? 0 : Math.round(50 * (axis.unitsOf(one)[0] + axis.unitsOf(one)[1]))));
    });
    column.setAttribute("aria-label", `${axis.describe(at, this.owner.axes.length)}. Enter adds a brush.`);
  }

  /** @param {Axis} axis @param {Interval} one @returns {[number, number]} pixels from above */
  #endsOf(axis, one) {
    const { missing } = this.owner.layout();
    if (one.isMissing) return [(missing ?? 0) - 8, (missing ?? 0) + 8];
    const [low, high] = axis.unitsOf(one);
    return [this.#pixelOf(high), this.#pixelOf(low)];
  }

  /** @param {string} key @param {number} index */
  #makeBrush(key, index) {
    return make("div", {
      class: "brush", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": 100,
      "aria-label": `Brush ${index + 1} of ${key}: arrows move it, with shift its upper and with control its lower end, delete removes it`,
      on: { keydown: (/** @type {KeyboardEvent} */ event) => this.#onBrushKey(event, this.#axis(key), index) },
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
      if (made) this.owner.brush(this.#axis(axis.key), [...axis.intervals, made], false);
      /** @type {HTMLElement | null} */ (column.querySelector(".brush:last-child"))?.focus();
    } else if (event.key === "Escape" || event.key === "Delete") this.owner.brush(this.#axis(axis.key), [], false);
  }

  /** @param {KeyboardEvent} event @param {Axis} axis @param {number} index */
  #onBrushKey(event, axis, index) {
    const one = axis.intervals[index];
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.owner.brush(this.#axis(axis.key), axis.intervals.filter((_, i) => i !== index), false);
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
    this.owner.brush(this.#axis(axis.key), axis.intervals.map((each, i) => (i === index ? made : each)), false);
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
      this.owner.brush(this.#axis(axis.key), made ? [...others, made] : others, isDragging);
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
    if (index >= 0) return this.owner.brush(this.#axis(axis.key), kept, false);
    if (missing !== null && axis.hasMissing && Math.abs(at - missing) < 12) {
      return this.owner.brush(this.#axis(axis.key), [...kept, { low: NaN, high: NaN, isMissing: true }], false);
    }
    return this.owner.brush(this.#axis(axis.key), [], false);
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
