// A figure of Bokeh for media: axes with plain numbers or names, filled by columns.
import { PanelFigure, loadStyle } from "../../panels/figure.js";
import { Scale } from "../../panels/scale.js";

export const EMPTY = {
  image: ["image", "x", "y", "dw", "dh"],
  cells: ["left", "right", "bottom", "top", "color", "alpha", "line"],
  areas: ["xs", "ys", "color", "alpha"],
  lines: ["xs", "ys", "color", "width", "alpha"],
  points: ["x", "y", "color", "size", "alpha"],
  texts: ["x", "y", "text", "color"],
};

export class Drawing {
  /** @param {PanelFigure} figure */
  constructor(figure) {
    this.figure = figure;
  }

  /** @param {HTMLElement} host */
  static async mount(host) {
    await loadStyle();
    return new Drawing(await PanelFigure.mount("panel", host));
  }

  /** @param {Partial<Record<keyof typeof EMPTY, Record<string, any>>>} columns what is not named becomes empty */
  fill(columns) {
    for (const [name, keys] of Object.entries(EMPTY)) {
      const given = columns[/** @type {keyof typeof EMPTY} */ (name)];
      this.figure.fill(name, given ?? Object.fromEntries(keys.map((key) => [key, []])));
    }
  }

  /**
   * @param {[number, number]} x @param {[number, number]} y
   * @param {{xLabels?: string[], yLabels?: string[], xLabel?: string, yLabel?: string}} [how] labels stand at 0, 1, 2, ...
   */
  setAxes(x, y, how = {}) {
    this.figure.setRanges(x, y);
    const { below, left } = this.figure.model;
    for (const [axis, range, labels, label] of /** @type {[any, [number, number], string[] | undefined, string | undefined][]} */ ([[below[0], x, how.xLabels, how.xLabel], [left[0], y, how.yLabels, how.yLabel]])) {
      const ticks = labels
        ? labels.map((text, at) => ({ at, label: String(text).slice(0, 18) }))
        : new Scale("linear").ticks(Math.min(...range), Math.max(...range));
      axis.ticker.ticks = ticks.map((one) => one.at);
      axis.major_label_overrides = new Map(ticks.map((one) => [one.at, one.label]));
      axis.axis_label = label || null;
    }
  }
}
