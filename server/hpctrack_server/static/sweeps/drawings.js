// What the charts of a sweep show. Pure: details go in, marks come out.
import { formatCount } from "../base/format.js";
import { token } from "../base/tokens.js";
import { extent, noDots, noLines, stateColour } from "./plot.js";

/** @typedef {import("./details.js").Details} Details */
/** @typedef {import("./details.js").Trial} Trial */
/** @typedef {import("./plot.js").Drawing} Drawing */

const FEW_LINES = 40;
const FAR_SHARE = 0.98;
const SPREAD = 0.26;
const NAME_MAX_CHARS = 26;

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
    points.push({ x: at + 1, y: value, trial });
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
      if (trial) points.push({ x: curve.iterations[at], y: value, trial, where: `iteration ${curve.iterations[at]}` });
    });
    const last = ys[ys.length - 1];
    if (curve.stopped_at !== null && Number.isFinite(last)) {
      crosses.x.push(curve.stopped_at);
      crosses.y.push(last);
      crosses.color.push(stateColour("pruned"));
    }
  }
  const [y, beyond] = cutFar(values, details.sign);
  const { curves_left_out: rest, absent_runs: absent } = details.told;
  const parts = [formatCount(curves.length, "curve")];
  if (rest) parts.push(`the best and an even choice; ${formatCount(rest, "trial")} not drawn`);
  if (curves.some((one) => one.is_thinned)) parts.push("thinned, extremes exact");
  if (absent) parts.push(`${formatCount(absent, "run")} not in this store`);
  if (crosses.x.length) parts.push(`\u00d7 pruned: ${crosses.x.length}`);
  if (rungs.length) parts.push(`dashed: compared at ${rungs.slice(0, 6).join(", ")}${rungs.length > 6 ? ", \u2026" : ""}`);
  if (beyond) parts.push(`${formatCount(beyond, "point")} beyond the axis`);
  return { lines, crosses, rules: { x: rungs }, points, x: [1, Math.max(end, 2)], y, caption: curves.length ? parts.join(" \u00b7 ") : sayNoCurves(details) };
}

/** @param {Details} details */
function sayNoCurves({ told: { absent_runs: absent, trials } }) {
  if (!absent) return "no trial has a curve yet";
  return `curves are read from the runs of trials, and ${absent === trials.number.length ? "none of them is" : `${formatCount(absent, "run")} of ${formatCount(trials.number.length, "trial")} are not`} in this store: hpctrack sync brings them`;
}

/**
 * Two metrics against each other, and which trials no other beats in all of the metrics.
 * @param {Details} details @param {string} [across] name of a metric @param {string} [up] @returns {Drawing}
 */
export function drawFront(details, across, up) {
  const [first, second] = [across, up].map((name, at) => details.metrics.find((one) => one.name === name) ?? details.metrics[at]);
  const winners = new Set(details.told.best.flatMap((one) => one.finished));
  const dots = noDots();
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  /** @type {[number, number][]} */
  const front = [];
  // Who is on the front is drawn last, on top of the others.
  for (const trial of [...details.trials].sort((a, b) => Number(winners.has(a.number)) - Number(winners.has(b.number)))) {
    const [x, y] = [first.values[trial.at] ?? null, second.values[trial.at] ?? null];
    if (x === null || y === null) continue;
    const isFront = winners.has(trial.number);
    dots.x.push(x);
    dots.y.push(y);
    dots.color.push(isFront ? token("--accent") : stateColour(trial.state));
    dots.alpha.push(isFront ? 1 : 0.5);
    points.push({ x, y, trial, where: isFront ? "on the front" : trial.state });
    if (isFront) front.push([x, y]);
  }
  const isPair = details.metrics.length === 2;
  const line = isPair ? makeStairs(front, first.goal !== "maximize", second.goal !== "maximize") : [];
  const lines = { xs: [line.map((one) => one[0])], ys: [line.map((one) => one[1])], color: [token("--accent")], width: [1.5], alpha: [0.7] };
  const without = details.trials.length - points.length;
  const parts = [`${front.length} of ${formatCount(points.length, "trial")} on the front`];
  if (!isPair) parts.push(`the front is that of all ${details.metrics.length} metrics`);
  if (without) parts.push(`${formatCount(without, "trial")} without both values`);
  const labels = /** @type {[string, string]} */ ([first, second].map(({ name, goal }) => `${shorten(name)} \u00b7 ${goal === "maximize" ? "more" : "less"} is better`));
  return { dots, lines, points, labels, x: extent(dots.x), y: extent(dots.y), caption: points.length ? parts.join(" \u00b7 ") : "no trial has both values yet" };
}

/** @param {string} text */
function shorten(text) {
  return text.length > NAME_MAX_CHARS ? `${text.slice(0, NAME_MAX_CHARS - 1)}\u2026` : text;
}

/**
 * The edge of what the front beats: between two trials nothing better has been found than their
 * common corner, so a straight line would promise too much.
 * @param {[number, number][]} front @param {boolean} isLessX whether less is better @param {boolean} isLessY
 * @returns {[number, number][]}
 */
function makeStairs(front, isLessX, isLessY) {
  const ordered = [...front].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const worse = isLessY ? Math.max : Math.min;
  return ordered.flatMap(([x, y], at) => {
    if (!at) return [[x, y]];
    const [lastX, lastY] = ordered[at - 1];
    // The corner that both beat or reach: the worse of either in each metric.
    const corner = /** @type {[number, number]} */ ([isLessX ? x : lastX, worse(y, lastY)]);
    return [corner, /** @type {[number, number]} */ ([x, y])];
  });
}

/** One parameter against the metric. @param {Details} details @param {string} name @returns {Drawing} */
export function drawSlice(details, name) {
  const dots = noDots();
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  const axis = details.parameters.find((one) => one.name === name);
  const isChoice = axis?.kind === "choice";
  const isLog = !!axis?.is_log && !isChoice;
  let without = 0;
  for (const trial of details.trials) {
    const value = axis?.values[trial.at] ?? null;
    if (value === null || (isLog && value <= 0)) without++;
    if (value === null || trial.value === null || (isLog && value <= 0)) continue;
    const x = isChoice ? value + ((trial.number * 0.618034) % 1 - 0.5) * SPREAD : value;
    dots.x.push(x);
    dots.y.push(trial.value);
    dots.color.push(stateColour(trial.state));
    dots.alpha.push(trial.state === "finished" ? 0.8 : 0.4);
    points.push({ x, y: trial.value, trial });
  }
  const choices = isChoice ? (axis?.choices ?? []) : undefined;
  const x = choices ? /** @type {[number, number]} */ ([-0.5, choices.length - 0.5]) : extent(dots.x, isLog ? [0.1, 1] : undefined);
  const lack = without ? `; ${formatCount(without, "trial")} without it` : "";
  return { dots, points, x, y: extent(dots.y), choices, isLog, caption: `${name} against ${details.metric?.name ?? ""}: ${formatCount(points.length, "trial")}${lack}` };
}

/**
 * The range that most values are in: a loss that begins at 1e6 hides all that matters.
 * @param {number[]} values @param {number} sign 1 if less is better @returns {[[number, number], number]} and how many lie beyond
 */
function cutFar(values, sign) {
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
