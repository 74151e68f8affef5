// What the charts of a sweep show. Pure: details go in, marks come out.
import { formatCount } from "../base/format.js";
import { token } from "../base/tokens.js";
import { extent, noDots, noLines, stateColour } from "./plot.js";

/** @typedef {import("./details.js").Details} Details */
/** @typedef {import("./details.js").Trial} Trial */
/** @typedef {import("./plot.js").Drawing} Drawing */

const FEW_LINES = 40;
const FAR_SHARE = 0.98;
const CHOICES_NAMED = 8;
const NAME_MAX_CHARS = 14;
const SPREAD = 0.26;

/** The best value after each trial that has ended. @param {Details} details @returns {Drawing} */
export function drawHistory(details) {
  const ends = new Map(details.told.timeline.map((span) => [span.trial, span.end_wall_s]));
  const over = details.trials.filter((trial) => trial.value !== null && ends.get(trial.number));
  over.sort((a, b) => Number(ends.get(a.number)) - Number(ends.get(b.number)) || a.number - b.number);
  const dots = noDots();
  const best = { xs: /** @type {number[]} */ ([]), ys: /** @type {number[]} */ ([]) };
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  let reached = Infinity;
  over.forEach((trial, at) => {
    const value = /** @type {number} */ (trial.value);
    dots.x.push(at + 1);
    dots.y.push(value);
    dots.color.push(stateColour(trial.state));
    dots.alpha.push(trial.state === "finished" ? 0.85 : 0.45);
    points.push(details.pointOf(trial, at + 1, value));
    const isBetter = trial.state === "finished" && details.sign * value < reached;
    if (isBetter) {
      if (best.ys.length) {
        best.xs.push(at + 1);
        best.ys.push(best.ys[best.ys.length - 1]);
      }
      reached = details.sign * value;
      best.xs.push(at + 1);
      best.ys.push(value);
    }
  });
  if (best.xs.length) {
    best.xs.push(over.length);
    best.ys.push(best.ys[best.ys.length - 1]);
  }
  const lines = { xs: [best.xs], ys: [best.ys], color: [token("--accent")], width: [2], alpha: [1] };
  return {
    dots, lines, points, x: [1, Math.max(over.length, 2)], y: extent(dots.y),
    caption: over.length ? `all ${formatCount(over.length, "trial")} with a value, in the order in which they ended; the line: best finished` : "no trial has ended with a value yet",
  };
}

/** The metric over each trial, where it was pruned, and where trials are compared. @param {Details} details @returns {Drawing} */
export function drawCurves(details) {
  const { curves, rungs, ranking } = details.told;
  const lines = noLines();
  const crosses = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  /** @type {number[]} */
  const values = [];
  const isFew = curves.length <= FEW_LINES;
  const ordered = [...curves].sort((a, b) => Number(a.trial === ranking[0]) - Number(b.trial === ranking[0]));
  let end = 1;
  for (const curve of ordered) {
    const trial = details.byNumber.get(curve.trial);
    const isBest = curve.trial === ranking[0];
    const ys = curve.values.map((value) => value ?? NaN);
    lines.xs.push(curve.iterations);
    lines.ys.push(ys);
    lines.color.push(isBest ? token("--accent") : stateColour(curve.state));
    lines.width.push(isBest ? 2.5 : isFew ? 1.5 : 1);
    lines.alpha.push(isBest ? 1 : isFew ? 0.75 : 0.4);
    end = Math.max(end, curve.iterations[curve.iterations.length - 1] ?? 1);
    ys.forEach((value, at) => {
      if (!Number.isFinite(value)) return;
      values.push(value);
      if (trial) points.push({ ...details.pointOf(trial, curve.iterations[at], value), where: `iteration ${curve.iterations[at]}` });
    });
    const last = ys[ys.length - 1];
    if (curve.stopped_at !== null && Number.isFinite(last)) {
      crosses.x.push(curve.stopped_at);
      crosses.y.push(last);
      crosses.color.push(stateColour("pruned"));
    }
  }
  const [y, beyond] = cutFar(values, details.sign);
  const parts = [formatCount(curves.length, "curve")];
  if (crosses.x.length) parts.push(`\u00d7 pruned: ${crosses.x.length}`);
  if (rungs.length) parts.push(`dashed: compared at ${rungs.slice(0, 6).join(", ")}${rungs.length > 6 ? ", \u2026" : ""}`);
  if (beyond) parts.push(`${formatCount(beyond, "point")} beyond the axis`);
  return { lines, crosses, rules: { x: rungs }, points, x: [1, Math.max(end, 2)], y, caption: curves.length ? parts.join(" \u00b7 ") : "no trial has a curve yet" };
}

/** Two metrics against each other, and which trials no other beats. @param {Details} details @returns {Drawing} */
export function drawFront(details) {
  const [first, second] = details.metrics;
  const winners = new Set(details.told.best.flatMap((one) => one.finished));
  const dots = noDots();
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  /** @type {[number, number][]} */
  const front = [];
  for (const trial of details.trials) {
    const [x, y] = [first.values[trial.at], second.values[trial.at]];
    if (x === null || y === null) continue;
    const isFront = winners.has(trial.number);
    dots.x.push(x);
    dots.y.push(y);
    dots.color.push(isFront ? token("--accent") : stateColour(trial.state));
    dots.alpha.push(isFront ? 1 : 0.35);
    points.push(details.pointOf(trial, x, y));
    if (isFront) front.push([x, y]);
  }
  front.sort((a, b) => a[0] - b[0]);
  const lines = { xs: [front.map((one) => one[0])], ys: [front.map((one) => one[1])], color: [token("--accent")], width: [1.5], alpha: [0.7] };
  const more = details.metrics.length > 2 ? `; ${details.metrics.length - 2} more metrics count, too` : "";
  return {
    dots, lines, points, x: extent(dots.x), y: extent(dots.y),
    caption: `across: ${first.name} (${first.goal}), up: ${second.name} (${second.goal}) \u00b7 ${front.length} of ${formatCount(points.length, "trial")} on the front${more}`,
  };
}

/** One parameter against the metric. @param {Details} details @param {import("./details.js").ParallelAxis} axis @returns {Drawing} */
export function drawSlice(details, axis) {
  const dots = noDots();
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  const isChoice = axis.kind === "choice";
  for (const trial of details.trials) {
    const value = axis.values[trial.at];
    if (value === null || trial.value === null) continue;
    const x = isChoice ? value + ((trial.number * 0.618034) % 1 - 0.5) * SPREAD : value;
    dots.x.push(x);
    dots.y.push(trial.value);
    dots.color.push(stateColour(trial.state));
    dots.alpha.push(trial.state === "finished" ? 0.8 : 0.4);
    points.push(details.pointOf(trial, x, trial.value));
  }
  const y = extent(dots.y);
  const choices = axis.choices ?? [];
  /** @type {Drawing} */
  const drawing = { dots, points, x: isChoice ? [-0.5, choices.length - 0.5] : extent(dots.x), y, hidesX: isChoice, isLog: !isChoice && !!axis.is_log && dots.x.every((one) => one > 0), caption: `${axis.name} against ${details.metric?.name ?? ""}: ${formatCount(points.length, "trial")}` };
  if (isChoice && choices.length <= CHOICES_NAMED) {
    const low = y[0] - (y[1] - y[0] || 1) * 0.16;
    drawing.y = [low, y[1]];
    drawing.names = { x: choices.map((_, at) => at), y: choices.map(() => low), text: choices.map(shorten) };
  }
  return drawing;
}

/** @param {string} text */
function shorten(text) {
  return text.length > NAME_MAX_CHARS ? `${text.slice(0, NAME_MAX_CHARS - 1)}\u2026` : text;
}

/**
 * The range that most values are in: a loss that begins at 1e6 hides all that matters.
 * @param {number[]} values @param {number} sign 1 if less is better @returns {[[number, number], number]} and how many lie beyond
 */
export function cutFar(values, sign) {
  const whole = extent(values);
  if (values.length < 20) return [whole, 0];
  const ordered = Float64Array.from(values).sort();
  const last = ordered.length - 1;
  const [low, high] = [ordered[Math.round(last * (1 - FAR_SHARE))], ordered[Math.round(last * FAR_SHARE)]];
  const span = high - low;
  if (sign > 0 && span > 0 && whole[1] - high > 2 * span) return [[whole[0], high], values.filter((one) => one > high).length];
  if (sign < 0 && span > 0 && low - whole[0] > 2 * span) return [[low, whole[1]], values.filter((one) => one < low).length];
  return [whole, 0];
}
