// The pointer over a line panel: crosshair in all panels, values in order, the nearest line in front.
import { formatNumber, formatX } from "../base/format.js";
import { hideTip, showTip } from "../base/tip.js";
import { nearest } from "../charts/numbers.js";

/** @typedef {import("./line_columns.js").Curve} Curve */

const REACH = 0.02;
const KEY_STEP = 0.02;

export class LineHover {
  /** @param {import("./line.js").default} panel */
  constructor(panel) {
    this.panel = panel;
    /** @type {PointerEvent | null} */
    this.event = null;
    /** Where the keys have moved to. @type {number | null} */
    this.keyX = null;
    const { host } = panel;
    host.tabIndex = 0;
    host.addEventListener("pointermove", (event) => this.move(event));
    host.addEventListener("pointerleave", () => this.leave());
    host.addEventListener("pointerdown", () => hideTip());
    host.addEventListener("keydown", (event) => this.press(event));
    host.addEventListener("blur", () => this.keyX !== null && this.leave());
  }

  /** At most once per frame. @param {PointerEvent} event */
  move(event) {
    if (!this.event) requestAnimationFrame(() => this.follow());
    this.event = event;
  }

  follow() {
    const { event, panel } = this;
    this.event = null;
    if (!event || !panel.figure || !panel.held) return;
    if (event.buttons) return hideTip();
    const place = panel.figure.locate(event);
    if (!place) return this.leave();
    this.show(panel.fromAxis(place.x), place.sy, event);
  }

  /**
   * @param {number} x @param {number} sy pixels from the top, to find the nearest line
   * @param {{clientX: number, clientY: number}} point where the box of values goes
   */
  show(x, sy, point) {
    const { panel } = this;
    const rows = this.rows(x, sy);
    const near = rows.find((one) => one.isNear);
    if (!near) return this.leave();
    panel.context.hoverX(near.x, panel);
    panel.context.highlight(near.key);
    showTip(point, panel.title(), formatX(near.x, panel.how.x), rows);
    return near;
  }

  /** Arrow keys read the chart, plus and minus zoom it. @param {KeyboardEvent} event */
  press(event) {
    const { panel } = this;
    const { figure, drawnX } = panel;
    if (event.target !== panel.host || !figure || !drawnX || event.ctrlKey || event.metaKey || event.altKey) return;
    const [from, to] = drawnX;
    const x = this.keyX ?? (from + to) / 2;
    const half = (to - from) / 2;
    const isZoom = ["+", "=", "-"].includes(event.key);
    if (isZoom) {
      const reach = event.key === "-" ? half * 2 : half / 2;
      panel.zoomTo([x - reach, x + reach]);
    } else if (event.key === "0") panel.zoomTo(null);
    else if (event.key === "Escape") return this.leave();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.step(x + (event.key === "ArrowLeft" ? -1 : 1) * (to - from) * KEY_STEP);
    else return;
    event.preventDefault();
  }

  /** @param {number} wanted */
  step(wanted) {
    const { panel } = this;
    const { figure, drawnX } = panel;
    if (!figure || !drawnX) return;
    const x = Math.max(drawnX[0], Math.min(drawnX[1], wanted));
    this.keyX = x;
    const box = panel.host.getBoundingClientRect();
    const { top, bottom } = figure.frame;
    const point = { clientX: box.left + figure.pixelOf(panel.toAxis(x)), clientY: box.top + (top + bottom) / 2 };
    const near = this.show(x, (top + bottom) / 2, point);
    this.keyX = x;
    const said = document.getElementById("announce");
    if (near && said) said.textContent = `${formatX(near.x, panel.how.x)}: ${near.label} ${formatNumber(near.value)}`;
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
    this.keyX = null;
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
