// What is drawn of parallel coordinates: three figures over each other, in pixels.
// The runs in grey are drawn once; those that are chosen at each step of a brush; axes and the
// run under the pointer, which change most often, cost nothing.
import { token } from "../../base/tokens.js";
import { PanelFigure } from "../figure.js";

const FEW_RUNS = 60;
const GREY_ALPHA_MIN = 0.05;

/** How transparent a line is, so that many do not become a block. @param {number} count */
function alphaFor(count) {
  if (count <= FEW_RUNS) return 0.9;
  return Math.max(0.1, Math.min(0.8, 18 / Math.sqrt(count)));
}

/** An order that is not that of the runs, the same each time: its beginning is a fair sample. @param {number} count */
export function shuffle(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  let seed = 0x9e3779b9;
  for (let i = count - 1; i > 0; i--) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((seed / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

const EMPTY = { xs: [], ys: [], color: [], width: [], alpha: [] };

export class Layers {
  /** @param {HTMLElement} host */
  constructor(host) {
    this.hosts = ["back", "front", "top"].map((name) => {
      const layer = document.createElement("div");
      layer.className = `layer layer-${name}`;
      layer.setAttribute("aria-hidden", "true");
      host.append(layer);
      return layer;
    });
    this.hosts[0].hidden = true;
    /** @type {PanelFigure | null} */
    this.back = null;
    /** @type {PanelFigure | null} */
    this.front = null;
    /** @type {PanelFigure | null} */
    this.top = null;
    this.isGreyStale = true;
  }

  async mount() {
    [this.front, this.top] = await Promise.all([PanelFigure.mount("layer", this.hosts[1]), PanelFigure.mount("layer", this.hosts[2])]);
  }

  /** @param {{width: number, height: number}} size */
  resize({ width, height }) {
    for (const figure of [this.back, this.front, this.top]) figure?.setRanges([0, width], [0, height]);
    this.size = { width, height };
  }

  /**
   * @param {ArrayLike<number>} runs in the order of drawing
   * @param {{xs: ArrayLike<number>, heights: Float32Array[]}} axes heights in pixels by axis
   * @param {(run: number) => string} colourOf
   */
  drawChosen(runs, axes, colourOf) {
    const alpha = alphaFor(runs.length);
    const colours = Array.from(runs, colourOf);
    this.front?.fill("lines", makeLines(runs, axes, colours, { width: runs.length <= FEW_RUNS ? 1.5 : 1, alpha }));
  }

  /** All runs in grey, drawn when first needed. @param {ArrayLike<number>} runs @param {{xs: ArrayLike<number>, heights: Float32Array[]}} axes */
  async showGrey(runs, axes) {
    this.hosts[0].hidden = false;
    if (!this.isGreyStale) return;
    this.isGreyStale = false;
    if (!this.back) {
      this.back = await PanelFigure.mount("layer", this.hosts[0]);
      if (this.size) this.resize(this.size);
    }
    const grey = token("--muted");
    const alpha = Math.max(GREY_ALPHA_MIN, alphaFor(runs.length) / 5);
    this.back.fill("lines", makeLines(runs, axes, Array(runs.length).fill(grey), { width: 1, alpha }));
  }

  hideGrey() {
    this.hosts[0].hidden = true;
  }

  /** Axes with their ticks, and one run on top. @param {{xs: number[][], ys: number[][]}} strokes @param {{x: ArrayLike<number>, y: ArrayLike<number>, colour: string} | null} run */
  drawTop(strokes, run) {
    const count = strokes.xs.length;
    const columns = {
      xs: [...strokes.xs], ys: [...strokes.ys], color: Array(count).fill(token("--line-strong")), width: Array(count).fill(1), alpha: Array(count).fill(1),
    };
    if (run) {
      for (const [colour, width] of /** @type {[string, number][]} */ ([[token("--surface"), 5], [run.colour, 2.5]])) {
        columns.xs.push(/** @type {number[]} */ (run.x));
        columns.ys.push(/** @type {number[]} */ (run.y));
        columns.color.push(colour);
        columns.width.push(width);
        columns.alpha.push(1);
      }
    }
    this.top?.fill("lines", columns);
  }

  /** Waits until what was given is on the screen. */
  async painted() {
    const figures = [this.front, this.top];
    while (figures.some((one) => one?.model.document && !one.model.document.is_idle)) await nextFrame();
    await nextFrame();
  }

  clear() {
    this.front?.fill("lines", EMPTY);
  }

  remove() {
    for (const figure of [this.back, this.front, this.top]) figure?.remove();
  }
}

/**
 * @param {ArrayLike<number>} runs @param {{xs: ArrayLike<number>, heights: Float32Array[]}} axes
 * @param {string[]} colours @param {{width: number, alpha: number}} style
 */
function makeLines(runs, { xs, heights }, colours, { width, alpha }) {
  const ys = new Array(runs.length);
  for (let k = 0; k < runs.length; k++) {
    const run = runs[k];
    const y = new Float32Array(heights.length);
    for (let axis = 0; axis < heights.length; axis++) y[axis] = heights[axis][run];
    ys[k] = y;
  }
  return {
    xs: Array(runs.length).fill(xs), ys, color: colours, width: Array(runs.length).fill(width), alpha: Array(runs.length).fill(alpha),
  };
}

/** A frame, or a moment on a page that is not shown and has none. */
function nextFrame() {
  return new Promise((resolve) => {
    requestAnimationFrame(resolve);
    setTimeout(resolve, 100);
  });
}
