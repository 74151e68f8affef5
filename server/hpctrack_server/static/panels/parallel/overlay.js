// What is HTML of parallel coordinates: the names of axes, and the axes as one brushes them.
import { Columns } from "./columns.js";
import { Heads } from "./heads.js";

/** @typedef {import("./axis.js").Axis} Axis */
/** @typedef {import("./brush.js").Interval} Interval */

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
    this.owner = owner;
    this.columns = new Columns(plot, owner);
    this.heads = new Heads(heads, owner, (position) => this.columns.markTarget(position));
    this.keys = "";
  }

  /** Shows the axes as they are; elements are made anew only for other axes, so that none is taken out of a hand. */
  build() {
    const keys = JSON.stringify(this.owner.axes.map((axis) => axis.key));
    if (keys !== this.keys) {
      this.keys = keys;
      this.columns.build();
      this.heads.build();
    }
    this.place();
  }

  place() {
    this.columns.place();
    this.heads.place();
  }

  /** @param {Axis} axis whose intervals have changed */
  showBrushes(axis) {
    this.columns.show(axis);
    this.heads.show(axis);
  }
}
