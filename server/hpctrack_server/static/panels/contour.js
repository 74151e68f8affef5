// A contour: a metric over two parameters, interpolated between the runs, which are drawn on it.
import { formatNumber } from "../base/format.js";
import { token } from "../base/tokens.js";
import { shortName } from "./columns.js";
import { scaleField } from "./box.js";
import { makeRamp } from "./colouring.js";
import { mix, paletteFor, PALETTES, ramp } from "./palette.js";
import { AnswerPanel, describeKnown } from "./plot.js";
import { Scale } from "./scale.js";

const MARGIN = 0.04;
const NEAR_PX = 9;

export default class ContourPanel extends AnswerPanel {
  static needs = ["x", "y", "color"];

  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    // A new panel is given a metric as y: here that is what is coloured.
    if (this.settings.y && !this.settings.x && this.settings.color === undefined) {
      this.settings.color = this.settings.y;
      delete this.settings.y;
    }
    const [first, second] = defaults.numbers();
    const [metric] = defaults.metrics();
    this.settings.x ||= first ?? "";
    this.settings.y ||= second ?? "";
    this.settings.color ||= metric ?? "";
  }

  title() {
    return `${shortName(this.settings.color || "Metric")} over ${shortName(this.settings.x || "x")} and ${shortName(this.settings.y || "y")}`;
  }

  fields() {
    return [
      { name: "x", label: "Across", kind: /** @type {const} */ ("column") },
      { name: "y", label: "Up", kind: /** @type {const} */ ("column") },
      { name: "color", label: "Metric", kind: /** @type {const} */ ("column") },
      { name: "palette", label: "Palette", kind: /** @type {const} */ ("choice"), choices: PALETTES },
      scaleField("x_scale", "Axis across"), scaleField("y_scale", "Axis up"),
    ];
  }

  draw() {
    const { heights, lines, points, x_axis: across, y_axis: up } = this.answer;
    const palette = this.settings.palette || paletteFor(this.settings.color);
    const [low, high] = [Math.min(...points.z), Math.max(...points.z)];
    const part = (/** @type {number} */ value) => (high > low ? (value - low) / (high - low) : 0.5);
    const ink = token("--text");
    this.drawPlot({ x: unitAxis(across), y: unitAxis(up) }, {
      image: heights ? makeImage(heights, (value) => mix(palette, part(value))) : undefined,
      lines: {
        xs: lines.map((/** @type {any} */ one) => one.points.map((/** @type {number[]} */ pair) => pair[0])),
        ys: lines.map((/** @type {any} */ one) => one.points.map((/** @type {number[]} */ pair) => pair[1])),
        color: lines.map(() => ink), width: lines.map(() => 1), alpha: lines.map(() => 0.35),
      },
      points: {
        x: points.x, y: points.y, color: points.z.map((/** @type {number} */ value) => (heights ? ink : ramp(palette, part(value)))),
        size: points.x.map(() => (points.x.length > 2000 ? 1.5 : points.x.length > 400 ? 2.5 : 5)), alpha: points.x.map(() => (points.x.length > 2000 ? 0.18 : points.x.length > 400 ? 0.35 : 0.75)),
      },
    });
    this.legend?.replaceChildren(makeRamp(shortName(this.settings.color), palette, formatNumber(low), formatNumber(high)));
  }

  /** @param {MouseEvent} event */
  #pointAt(event) {
    if (!this.figure) return -1;
    const { view } = this.figure;
    const box = view.canvas_view.el.getBoundingClientRect();
    const { points } = this.answer;
    let [best, distance] = [-1, NEAR_PX];
    for (let i = 0; i < points.x.length; i++) {
      const away = Math.hypot(view.frame.x_scale.compute(points.x[i]) - event.clientX + box.left, view.frame.y_scale.compute(points.y[i]) - event.clientY + box.top);
      if (away < distance) [best, distance] = [i, away];
    }
    return best;
  }

  /** @param {number} x @param {number} y @param {MouseEvent} event */
  tipAt(x, y, event) {
    const { points, names, heights, x_axis: across, y_axis: up } = this.answer;
    const at = this.#pointAt(event);
    const place = at < 0 ? [x, y] : [points.x[at], points.y[at]];
    const rows = [{ label: shortName(across.key), value: formatNumber(valueOf(across, place[0])) }, { label: shortName(up.key), value: formatNumber(valueOf(up, place[1])) }];
    if (at >= 0) return { title: names[points.rows[at]], rows: [...rows, { label: shortName(this.settings.color), value: formatNumber(points.z[at]), isNear: true }] };
    if (!heights) return null;
    const side = heights.length - 1;
    const height = heights[Math.round(y * side)]?.[Math.round(x * side)];
    if (height === null || height === undefined) return null;
    return { title: "between runs", rows: [...rows, { label: `${shortName(this.settings.color)}, interpolated`, value: formatNumber(height) }] };
  }

  /** @param {number} _x @param {number} _y @param {MouseEvent} event */
  rowsAt(_x, _y, event) {
    const at = this.#pointAt(event);
    return at < 0 ? [] : [this.answer.points.rows[at]];
  }

  describe() {
    if (!this.answer) return "";
    const { known, runs, infinite, heights } = this.answer;
    return `${describeKnown(known, runs, infinite)} · ${heights ? "linear between runs, nothing beyond them" : "the runs lie on one line, so there is no surface"}`;
  }

  exportRows() {
    if (!this.answer) return null;
    const { points, names, x_axis: across, y_axis: up } = this.answer;
    return {
      columns: ["run", across.key, up.key, this.settings.color],
      rows: points.x.map((/** @type {number} */ x, /** @type {number} */ i) => [names[points.rows[i]], valueOf(across, x), valueOf(up, points.y[i]), points.z[i]]),
    };
  }
}

/** The value at a place from 0 to 1. @param {any} axis @param {number} unit */
function valueOf(axis, unit) {
  if (!axis.is_log) return axis.low + unit * (axis.high - axis.low);
  return 10 ** (Math.log10(axis.low) + unit * Math.log10(axis.high / axis.low));
}

/** An axis from 0 to 1 that is labelled with values. @param {any} axis */
function unitAxis(axis) {
  const scale = new Scale(axis.is_log ? "log" : "linear");
  const [low, high] = [scale.at(axis.low), scale.at(axis.high)];
  const shown = new Scale("linear");
  shown.ticks = (/** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ most) => scale
    .ticks(low + from * (high - low), low + to * (high - low), most)
    .map(({ at, label }) => ({ at: (at - low) / (high - low), label }));
  return { scale: shown, range: /** @type {[number, number]} */ ([-MARGIN, 1 + MARGIN]), label: axis.key };
}

/** @param {(number | null)[][]} heights @param {(value: number) => number[]} colourOf */
function makeImage(heights, colourOf) {
  const side = heights.length;
  const pixels = new Uint8ClampedArray(side * side * 4);
  heights.forEach((row, j) => row.forEach((value, i) => {
    if (value === null) return;
    pixels.set([...colourOf(value), 215], (j * side + i) * 4);
  }));
  const half = 0.5 / (side - 1);
  // What Bokeh looks at in an image: its shape, and that it is a typed array.
  const shaped = Object.assign(new Uint32Array(pixels.buffer), { shape: [side, side], dtype: "uint32", dimension: 2 });
  return { image: [shaped], x: [-half], y: [-half], dw: [1 + 2 * half], dh: [1 + 2 * half] };
}
