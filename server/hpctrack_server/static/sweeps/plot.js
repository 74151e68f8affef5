// A chart of the sweep's page: a clone of the figure "marks", what it is filled with, and its pointer.
import { make } from "../base/dom.js";
import { token } from "../base/tokens.js";
import { labelPlaces, plainLabel } from "../charts/axis.js";
import { Figure } from "../charts/figure.js";

const NEAR_PX = 26;
const PADDING = 0.05;
const GAP_PX = 16;
const AXIS_PX = 60;
const LABEL_MAX_CHARS = 48;

/** @typedef {{x: number, y: number, trial: import("./details.js").Trial, where?: string}} Point what the pointer finds */

/**
 * What a chart shows; the keys are the sources of hpctrack_server/components/figures/marks.py.
 * @typedef {object} Drawing
 * @property {{left: number[], right: number[], y: number[], color: string[]}} [bars]
 * @property {{x: number[]}} [rules]
 * @property {{xs: ArrayLike<number>[], ys: ArrayLike<number>[], color: string[], width: number[], alpha: number[]}} [lines]
 * @property {{x: number[], y: number[], color: string[], alpha: number[]}} [dots]
 * @property {{x: number[], y: number[], color: string[]}} [crosses]
 * @property {[number, number]} x the range, without padding
 * @property {[number, number]} y
 * @property {boolean} [isLog] of the horizontal axis
 * @property {[string, string]} [labels] of the axes, across and up
 * @property {string[]} [choices] what stands below instead of 0, 1, 2, ...
 * @property {Point[]} points
 * @property {string} caption
 */

/** @type {Required<Pick<Drawing, "bars" | "rules" | "lines" | "dots" | "crosses">>} */
const EMPTY = {
  bars: { left: [], right: [], y: [], color: [] },
  rules: { x: [] },
  lines: { xs: [], ys: [], color: [], width: [], alpha: [] },
  dots: { x: [], y: [], color: [], alpha: [] },
  crosses: { x: [], y: [], color: [] },
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

/** The least and the greatest. @param {Iterable<number | null>} values @param {[number, number]} [nothing] if there are none @returns {[number, number]} */
export function extent(values, nothing = [0, 1]) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : nothing;
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
  /**
   * @param {HTMLElement} host @param {HTMLElement | null} caption
   * @param {() => import("./details.js").Details} details as they are now
   * @param {(details: import("./details.js").Details) => Drawing} make
   */
  constructor(host, caption, details, make) {
    this.host = host;
    this.caption = caption;
    this.details = details;
    this.make = make;
    /** @type {Figure | null} */
    this.figure = null;
    /** @type {Drawing | null} */
    this.drawing = null;
  }

  /** @param {{heightPx?: number, frameHeightPx?: number, isExact?: boolean}} [how] exact: the ranges get no padding */
  async mount({ heightPx, frameHeightPx, isExact = false } = {}) {
    this.isExact = isExact;
    this.drawing = this.make(this.details());
    this.figure = await Figure.mount(this.drawing.isLog ? "marks-log" : "marks", this.host);
    if (frameHeightPx) {
      this.figure.model.setv({ min_border_top: 0, min_border_left: 8 });
      for (const axis of this.figure.model.left) axis.visible = false;
    }
    this.resize({ heightPx, frameHeightPx });
    this.draw();
    new ResizeObserver(() => this.labelChoices()).observe(this.host);
    this.host.addEventListener("pointermove", (event) => this.hover(event));
    this.host.addEventListener("pointerleave", () => this.leave());
    this.host.addEventListener("click", (event) => {
      const found = this.find(event);
      const href = found && this.details().hrefOf(found.trial);
      if (href) location.href = href;
    });
    this.host.dataset.ready = "true";
  }

  /** @param {{heightPx?: number, frameHeightPx?: number}} size */
  resize({ heightPx, frameHeightPx }) {
    if (heightPx) this.figure?.model.setv({ height: heightPx, ...(frameHeightPx ? { frame_height: frameHeightPx } : {}) });
  }

  labelChoices() {
    const { figure, drawing } = this;
    if (figure && drawing?.choices) labelPlaces(figure.model.below[0], drawing.choices, this.host.clientWidth - AXIS_PX);
  }

  draw() {
    if (!this.figure) return;
    const drawing = (this.drawing = this.make(this.details()));
    for (const name of /** @type {(keyof typeof EMPTY)[]} */ (Object.keys(EMPTY))) {
      this.figure.find(name).data = drawing[name] ?? structuredClone(EMPTY[name]);
    }
    const exact = this.isExact;
    this.figure.setRanges(exact ? drawing.x : pad(drawing.x, !!drawing.isLog), exact ? drawing.y : pad(drawing.y, false));
    this.labelChoices();
    [this.figure.model.below[0], this.figure.model.left[0]].forEach((axis, at) => (axis.axis_label = drawing.labels ? plainLabel(drawing.labels[at], LABEL_MAX_CHARS) : null));
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
    this.host.style.cursor = found && this.details().hrefOf(found.trial) ? "pointer" : "";
    if (found) showTip(event, found, this.details());
    else hideTip();
  }

  leave() {
    hideTip();
  }
}

/** @param {PointerEvent} event @param {Point} point @param {import("./details.js").Details} details */
function showTip(event, point, details) {
  const tip = document.getElementById("tip");
  if (!tip) return;
  const { trial, where = trial.state } = point;
  const rows = details.describe(trial).map(([label, value]) => make("tr", {}, make("td"), make("td", {}, make("bdi", {}, label)), make("td", {}, make("bdi", {}, value))));
  tip.replaceChildren(make("header", {}, make("b", {}, `trial ${trial.number}`), make("span", {}, where)), make("table", {}, ...rows));
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
