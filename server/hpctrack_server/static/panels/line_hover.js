// The pointer over a line panel: crosshair in all panels, values in order, the nearest line in front.
import { formatX } from "../base/format.js";
import { hideTip, showTip } from "../base/tip.js";
import { nearest } from "../charts/numbers.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

const REACH = 0.02;

export class LineHover {
  /** @param {import("./line.js").default} panel */
  constructor(panel) {
    this.panel = panel;
    /** @type {PointerEvent | null} */
    this.event = null;
    panel.host.addEventListener("pointermove", (event) => this.move(event));
    panel.host.addEventListener("pointerleave", () => this.leave());
    panel.host.addEventListener("pointerdown", () => hideTip());
  }

  /** At most once per frame. @param {PointerEvent} event */
  move(event) {
    if (!this.event) requestAnimationFrame(() => this.show());
    this.event = event;
  }

  show() {
    const { event, panel } = this;
    this.event = null;
    if (!event || !panel.figure || !panel.held) return;
    if (event.buttons) return hideTip();
    const place = panel.figure.locate(event);
    if (!place) return this.leave();
    const x = panel.fromAxis(place.x);
    const rows = this.rows(x, place.sy);
    if (!rows.length) return this.leave();
    const near = rows.find((one) => one.isNear);
    panel.context.hoverX(near?.x ?? x, panel);
    panel.context.highlight(near?.key ?? null);
    showTip(event, panel.title(), formatX(near?.x ?? x, panel.how.x), rows);
  }

  /** @param {number} x @param {number} sy pixels from the top */
  rows(x, sy) {
    const { panel } = this;
    const [from, to] = panel.drawnX ?? [x, x];
    const reach = Math.abs(to - from) * REACH;
    const { y_scale: scale } = panel.figure?.view.frame ?? {};
    const rows = [];
    for (const curve of panel.shown) {
      const found = readAt(curve, x, reach);
      if (!found) continue;
      rows.push({
        key: panel.keyOf(curve), label: panel.labelOf(curve), colour: curve.color, ...found,
        distance: Math.abs(scale.compute(found.value) - sy), isNear: false,
      });
    }
    rows.sort((a, b) => b.value - a.value);
    if (rows.length) rows.reduce((a, b) => (b.distance < a.distance ? b : a)).isNear = true;
    return rows;
  }

  leave() {
    this.event = null;
    hideTip();
    this.panel.context.hoverX(null, this.panel);
    this.panel.context.highlight(null);
  }
}

/**
 * What a curve is at x: the smoothed value where there is one, with the true one beside it.
 * @param {Curve} curve @param {number} x @param {number} reach how far beyond its ends it still counts
 */
function readAt(curve, x, reach) {
  const isSmooth = Boolean(curve.sx && curve.sy);
  const xs = /** @type {ArrayLike<number>} */ (isSmooth ? curve.sx : curve.x);
  const ys = /** @type {ArrayLike<number>} */ (isSmooth ? curve.sy : curve.y);
  const at = nearest(xs, x);
  if (at < 0 || Number.isNaN(ys[at])) return null;
  if (x < xs[0] - reach || x > xs[xs.length - 1] + reach) return null;
  const found = { x: xs[at], value: ys[at], raw: /** @type {number | undefined} */ (undefined), low: curve.low?.[at], high: curve.high?.[at] };
  if (isSmooth) found.raw = curve.y[nearest(curve.x, xs[at])];
  return found;
}
