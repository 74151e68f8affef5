// A chart of the sweep's page: a clone of the figure "marks", what it is filled with, and its pointer.
import { make } from "../base/dom.js";
import { token } from "../base/tokens.js";
import { Figure } from "../charts/figure.js";

const NEAR_PX = 26;
const PADDING = 0.05;
const GAP_PX = 16;

/**
 * @typedef {object} Point what the pointer finds
 * @property {number} x
 * @property {number} y
 * @property {string} title
 * @property {string} where
 * @property {[string, string][]} rows
 * @property {string | null} href
 */

/**
 * What a chart shows; the keys are the sources of hpctrack_server/components/figures/marks.py.
 * @typedef {object} Drawing
 * @property {{left: number[], right: number[], y: number[], color: string[]}} [bars]
 * @property {{x: number[]}} [rules]
 * @property {{xs: ArrayLike<number>[], ys: ArrayLike<number>[], color: string[], width: number[], alpha: number[]}} [lines]
 * @property {{x: number[], y: number[], color: string[], alpha: number[]}} [dots]
 * @property {{x: number[], y: number[], color: string[]}} [crosses]
 * @property {{x: number[], y: number[], text: string[]}} [names]
 * @property {[number, number]} x the range, without padding
 * @property {[number, number]} y
 * @property {boolean} [isLog] of the horizontal axis
 * @property {boolean} [hidesX] its labels, where names stand for numbers
 * @property {Point[]} points
 * @property {string} caption
 */

/** @type {Required<Pick<Drawing, "bars" | "rules" | "lines" | "dots" | "crosses" | "names">>} */
const EMPTY = {
  bars: { left: [], right: [], y: [], color: [] },
  rules: { x: [] },
  lines: { xs: [], ys: [], color: [], width: [], alpha: [] },
  dots: { x: [], y: [], color: [], alpha: [] },
  crosses: { x: [], y: [], color: [] },
  names: { x: [], y: [], text: [] },
};

/** The colour of how a trial stands. @param {string} state */
export function stateColour(state) {
  /** @type {Record<string, string>} */
  const names = {
    finished: "--cell-finished", running: "--cell-running", pruned: "--cell-lost",
    failed: "--cell-failed", crashed: "--cell-failed", stopped: "--series-8",
  };
  return token(names[state] ?? "--line-strong");
}

/** @returns {NonNullable<Drawing["lines"]>} */
export const noLines = () => structuredClone(EMPTY.lines);
/** @returns {NonNullable<Drawing["dots"]>} */
export const noDots = () => structuredClone(EMPTY.dots);

/** The least and the greatest; of nothing 0 and 1. @param {Iterable<number | null>} values @returns {[number, number]} */
export function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** @param {[number, number]} range @param {boolean} isLog @returns {[number, number]} */
function pad([low, high], isLog) {
  if (isLog) {
    const factor = low > 0 && high > low ? (high / low) ** PADDING : 1.5;
    return [low / factor, high * factor];
  }
  const span = high - low;
  const more = span > 0 ? span * PADDING : Math.abs(low) * 0.1 || 0.5;
  return [low - more, high + more];
}

export class Plot {
  /** @param {HTMLElement} host @param {HTMLElement | null} caption @param {() => Drawing} make */
  constructor(host, caption, make) {
    this.host = host;
    this.caption = caption;
    this.make = make;
    /** @type {Figure | null} */
    this.figure = null;
    /** @type {Drawing | null} */
    this.drawing = null;
  }

  /** @param {{heightPx?: number, frameHeightPx?: number, isExact?: boolean}} [how] exact: the ranges get no padding */
  async mount({ heightPx, frameHeightPx, isExact = false } = {}) {
    this.isExact = isExact;
    this.drawing = this.make();
    this.figure = await Figure.mount(this.drawing.isLog ? "marks-log" : "marks", this.host);
    if (heightPx) this.figure.model.height = heightPx;
    if (frameHeightPx) {
      this.figure.model.frame_height = frameHeightPx;
      this.figure.model.setv({ min_border_top: 0, min_border_left: 8 });
      for (const axis of this.figure.model.left) axis.visible = false;
    }
    if (this.drawing.hidesX) for (const axis of this.figure.model.below) axis.major_label_text_alpha = 0;
    this.draw();
    this.host.addEventListener("pointermove", (event) => this.hover(event));
    this.host.addEventListener("pointerleave", () => this.leave());
    this.host.addEventListener("click", (event) => {
      const found = this.find(event);
      if (found?.href) location.href = found.href;
    });
    this.host.dataset.ready = "true";
  }

  draw() {
    if (!this.figure) return;
    const drawing = (this.drawing = this.make());
    for (const name of /** @type {(keyof typeof EMPTY)[]} */ (Object.keys(EMPTY))) {
      this.figure.find(name).data = drawing[name] ?? structuredClone(EMPTY[name]);
    }
    const exact = this.isExact;
    this.figure.setRanges(exact ? drawing.x : pad(drawing.x, !!drawing.isLog), exact ? drawing.y : pad(drawing.y, false));
    if (this.caption) this.caption.textContent = drawing.caption || "\u00a0";
    this.host.setAttribute("aria-label", drawing.caption);
  }

  repaint() {
    this.draw();
    this.figure?.repaint();
  }

  /** @param {MouseEvent} event */
  find(event) {
    if (!this.figure || !this.drawing) return null;
    const box = this.figure.view.canvas_view.el.getBoundingClientRect();
    const { x_scale, y_scale } = this.figure.view.frame;
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let nearest = NEAR_PX * NEAR_PX;
    for (const point of this.drawing.points) {
      const away = (x_scale.compute(point.x) - sx) ** 2 + (y_scale.compute(point.y) - sy) ** 2;
      if (away < nearest) [best, nearest] = [point, away];
    }
    return best;
  }

  /** @param {PointerEvent} event */
  hover(event) {
    const found = this.find(event);
    this.host.style.cursor = found?.href ? "pointer" : "";
    if (found) showTip(event, found);
    else hideTip();
  }

  leave() {
    hideTip();
  }
}

/** @param {PointerEvent} event @param {Point} point */
function showTip(event, point) {
  const tip = document.getElementById("tip");
  if (!tip) return;
  const table = make("table", {}, ...point.rows.map(([label, value]) => make("tr", {}, make("td"), make("td", {}, label), make("td", {}, value))));
  tip.replaceChildren(make("header", {}, make("b", {}, make("bdi", {}, point.title)), make("span", {}, point.where)), table);
  tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tip;
  const isAtEdge = event.clientX + GAP_PX + width > innerWidth - 8;
  tip.style.left = `${Math.max(isAtEdge ? event.clientX - GAP_PX - width : event.clientX + GAP_PX, 4)}px`;
  tip.style.top = `${Math.max(Math.min(event.clientY + GAP_PX, innerHeight - height - 8), 4)}px`;
}

function hideTip() {
  const tip = document.getElementById("tip");
  if (tip) tip.hidden = true;
}
