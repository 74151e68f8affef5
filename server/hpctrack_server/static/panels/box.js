// Boxes and violins: how a column is spread in each group.
import { formatNumber } from "../base/format.js";
import { colourOf, token } from "../base/tokens.js";
import { shortName } from "./columns.js";
import { AnswerPanel } from "./plot.js";
import { padRange, Scale } from "./scale.js";

const HALF_BOX = 0.22;
const HALF_BOTH = 0.07;
const HALF_VIOLIN = 0.4;

export default class BoxPanel extends AnswerPanel {
  /** @param {import("./columns.js").Defaults} defaults */
  complete(defaults) {
    this.settings.y ||= defaults.metrics()[0] ?? "";
    if (this.settings.group === undefined) this.settings.group = defaults.group();
  }

  title() {
    const group = this.settings.group ? ` by ${shortName(this.settings.group)}` : "";
    return `${shortName(this.settings.y || "Distribution")}${group}`;
  }

  fields() {
    return [
      { name: "y", label: "Value", kind: /** @type {const} */ ("column") },
      { name: "group", label: "Group by", kind: /** @type {const} */ ("column"), hint: "empty: all runs together; @config-but-seed: runs that differ in their seed alone" },
      { name: "style", label: "Style", kind: /** @type {const} */ ("choice"), choices: [{ value: "both", label: "Box and violin" }, { value: "box", label: "Box" }, { value: "violin", label: "Violin" }] },
      scaleField("y_scale", "Axis"),
    ];
  }

  draw() {
    const { boxes, is_log: isLog } = this.answer;
    const x = new Scale("category", boxes.map((/** @type {any} */ one) => one.label || "all runs"));
    const y = new Scale(isLog ? "log" : "linear");
    const style = this.settings.style || "both";
    const ends = boxes.flatMap((/** @type {any} */ one) => [...one.whiskers, ...one.outliers.map((/** @type {number} */ _, /** @type {number} */ i) => one.values[i])]);
    const range = y.range(ends, 0.06);
    const half = style === "both" ? HALF_BOTH : HALF_BOX;
    const ink = token("--text");
    const place = (/** @type {number} */ value) => y.at(value);
    const sources = { ...(style === "box" ? {} : { areas: makeViolins(boxes, place) }) };
    if (style !== "violin") Object.assign(sources, makeBoxes(boxes, place, { half, ink }));
    if (style !== "violin") Object.assign(sources, { points: makeOutliers(boxes, place) });
    this.drawPlot({ x: { scale: x, range: x.range([]), label: this.settings.group || "" }, y: { scale: y, range: padRange(range[0], range[1], 0), label: this.settings.y } }, sources);
  }

  /** @param {number} x */
  #boxAt(x) {
    return this.answer.boxes[Math.round(x)] ?? null;
  }

  /** @param {number} x @param {number} y @param {MouseEvent} event */
  tipAt(x, y, event) {
    const one = this.#boxAt(x);
    if (!one) return null;
    const outlier = this.#outlierAt(one, Math.round(x), event);
    if (outlier !== null) {
      return { title: this.answer.names[one.outliers[outlier]], where: one.label, rows: [{ label: shortName(this.settings.y), value: formatNumber(one.values[outlier]), isNear: true }] };
    }
    const [first, middle, third] = one.quartiles;
    return {
      title: one.label || "all runs", where: `${one.n.toLocaleString("en")} runs`,
      rows: [
        ["upper whisker", one.whiskers[1]], ["upper quartile", third], ["median", middle], ["mean", one.mean], ["lower quartile", first], ["lower whisker", one.whiskers[0]], ["outliers", one.outliers.length],
      ].map(([label, value]) => ({ label, value: formatNumber(value), isNear: label === "median" })),
    };
  }

  /** @param {any} one @param {number} x @param {MouseEvent} event */
  #outlierAt(one, x, event) {
    if (!this.figure || !this.axes) return null;
    const { view } = this.figure;
    const box = view.canvas_view.el.getBoundingClientRect();
    const { x_scale: across, y_scale: up } = view.frame;
    for (let i = 0; i < one.outliers.length; i++) {
      const dx = across.compute(x) - (event.clientX - box.left);
      const dy = up.compute(this.axes.y.scale.at(one.values[i])) - (event.clientY - box.top);
      if (Math.hypot(dx, dy) < 7) return i;
    }
    return null;
  }

  /** @param {number} x @param {number} _y @param {MouseEvent} event */
  rowsAt(x, _y, event) {
    const one = this.#boxAt(x);
    if (!one) return [];
    const outlier = this.#outlierAt(one, Math.round(x), event);
    return outlier === null ? one.rows : [one.outliers[outlier]];
  }

  describe() {
    if (!this.answer) return "";
    const outliers = this.answer.boxes.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.outliers.length, 0);
    const tail = this.settings.style === "violin" ? "" : ` · ${outliers.toLocaleString("en")} outliers beyond 1.5 interquartile ranges`;
    return super.describe() + tail;
  }

  exportRows() {
    if (!this.answer) return null;
    return {
      columns: ["group", "runs", "lower whisker", "lower quartile", "median", "upper quartile", "upper whisker", "mean", "outliers"],
      rows: this.answer.boxes.map((/** @type {any} */ one) => [one.label, one.n, one.whiskers[0], ...one.quartiles, one.whiskers[1], one.mean, one.outliers.length]),
    };
  }
}

/** @param {string} name @param {string} label */
export function scaleField(name, label) {
  return {
    name, label, kind: /** @type {const} */ ("choice"),
    choices: [{ value: "auto", label: "Automatic" }, { value: "linear", label: "Linear" }, { value: "log", label: "Logarithmic" }],
  };
}

/** @param {any[]} boxes @param {(value: number) => number} place */
function makeViolins(boxes, place) {
  const shown = boxes.flatMap((one, i) => (one.density[0]?.length ? [{ one, i }] : []));
  return {
    xs: shown.map(({ one, i }) => [...one.density[1].map((/** @type {number} */ height) => i - height * HALF_VIOLIN), ...one.density[1].map((/** @type {number} */ height) => i + height * HALF_VIOLIN).reverse()]),
    ys: shown.map(({ one }) => {
      const side = one.density[0].map(place);
      return [...side, ...[...side].reverse()];
    }),
    color: shown.map(({ i }) => colourOf(i)), alpha: shown.map(() => 0.28),
  };
}

/** @param {any[]} boxes @param {(value: number) => number} place @param {{half: number, ink: string}} style */
function makeBoxes(boxes, place, { half, ink }) {
  const lines = { xs: /** @type {number[][]} */ ([]), ys: /** @type {number[][]} */ ([]), color: /** @type {string[]} */ ([]), width: /** @type {number[]} */ ([]), alpha: /** @type {number[]} */ ([]) };
  const add = (/** @type {number[]} */ xs, /** @type {number[]} */ ys, /** @type {string} */ colour, /** @type {number} */ width) => {
    lines.xs.push(xs);
    lines.ys.push(ys);
    lines.color.push(colour);
    lines.width.push(width);
    lines.alpha.push(1);
  };
  boxes.forEach((one, i) => {
    const [low, first, middle, third, high] = [one.whiskers[0], ...one.quartiles, one.whiskers[1]].map(place);
    add([i, i, NaN, i, i], [low, first, NaN, third, high], colourOf(i), 1.5);
    add([i - half / 2, i + half / 2, NaN, i - half / 2, i + half / 2], [low, low, NaN, high, high], colourOf(i), 1.5);
    add([i - half, i + half], [middle, middle], ink, 2);
  });
  return {
    lines,
    cells: {
      left: boxes.map((_, i) => i - half), right: boxes.map((_, i) => i + half), bottom: boxes.map((one) => place(one.quartiles[0])), top: boxes.map((one) => place(one.quartiles[2])),
      color: boxes.map((_, i) => colourOf(i)), alpha: boxes.map(() => 0.45), line: boxes.map((_, i) => colourOf(i)),
    },
  };
}

/** @param {any[]} boxes @param {(value: number) => number} place */
function makeOutliers(boxes, place) {
  const found = boxes.flatMap((one, i) => one.values.map((/** @type {number} */ value) => ({ x: i, y: place(value), color: colourOf(i) })));
  return { x: found.map((one) => one.x), y: found.map((one) => one.y), color: found.map((one) => one.color), size: found.map(() => 5), alpha: found.map(() => 0.6) };
}
