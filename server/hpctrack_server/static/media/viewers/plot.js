// Plots of hpctrack.plot: curves, bars, histograms, confusion matrices.
import { apiAddress, getJson } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { formatNumber } from "../../base/format.js";
import { colourOf, token } from "../../base/tokens.js";
import { mix } from "../../panels/palette.js";
import { Drawing } from "./drawing.js";

const BAR_SHARE = 0.36;
const TEXTS_MAX = 400;

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export async function show(host, showing) {
  const item = showing.items[0];
  if (!item) return null;
  const plot = await getJson(apiAddress([...showing.place, item.digest]));
  const box = make("div", { class: "media-plot", role: "img", "aria-label": `${plot.kind ?? "plot"} ${plot.title ?? showing.key}` });
  const legend = make("div", { class: "media-legend" });
  host.replaceChildren(make("p", { class: "plot-title" }, String(plot.title ?? "")), legend, box);
  const drawing = await Drawing.mount(box);
  const draw = () => {
    const work = KINDS[plot.kind];
    if (!work) throw new Error(`plots of kind ${String(plot.kind).slice(0, 40)} are not drawn here`);
    legend.replaceChildren(...work(drawing, plot));
  };
  draw();
  return { repaint: draw };
}

/** @type {Record<string, (drawing: Drawing, plot: any) => HTMLElement[]>} */
const KINDS = {
  line: (drawing, plot) => drawSeries(drawing, plot, true),
  roc: (drawing, plot) => drawSeries(drawing, plot, true),
  pr: (drawing, plot) => drawSeries(drawing, plot, true),
  scatter: (drawing, plot) => drawSeries(drawing, plot, false),
  bar: drawBars,
  histogram: drawHistogram,
  confusion_matrix: drawConfusion,
};

/** @param {any} values @returns {number[]} */
function numbers(values) {
  return (Array.isArray(values) ? values : []).map((one) => (typeof one === "number" ? one : Number(one)));
}

/** @param {number[]} values @returns {[number, number]} */
function extent(values) {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  const pad = (high - low) * 0.05 || Math.abs(low) * 0.05 || 0.5;
  return [low - pad, high + pad];
}

/** @param {Drawing} drawing @param {any} plot @param {boolean} isLine */
function drawSeries(drawing, plot, isLine) {
  const series = (plot.series ?? []).map((/** @type {any} */ one) => ({ ...one, x: numbers(one.x), y: numbers(one.y) }));
  /** @type {any} */
  const lines = { xs: [], ys: [], color: [], width: [], alpha: [] };
  /** @type {any} */
  const points = { x: [], y: [], color: [], size: [], alpha: [] };
  series.forEach((/** @type {any} */ one, /** @type {number} */ at) => {
    const colour = colourOf(at);
    if (isLine) {
      lines.xs.push(one.x);
      lines.ys.push(one.y);
      lines.color.push(colour);
      lines.width.push(1.5);
      lines.alpha.push(1);
    } else {
      points.x.push(...one.x);
      points.y.push(...one.y);
      for (const column of [["color", colour], ["size", 5], ["alpha", 0.7]]) points[column[0]].push(...one.x.map(() => column[1]));
    }
  });
  drawing.fill(isLine ? { lines } : { points });
  const all = (/** @type {"x" | "y"} */ axis) => series.flatMap((/** @type {any} */ one) => one[axis]);
  drawing.setAxes(extent(all("x")), extent(all("y")), { xLabel: plot.labels?.x, yLabel: plot.labels?.y });
  return series.map((/** @type {any} */ one, /** @type {number} */ at) => {
    const score = one.auc ?? one.average_precision;
    const text = [one.name ?? `series ${at + 1}`, score === undefined || score === null ? "" : `${one.auc === undefined ? "AP" : "AUC"} ${formatNumber(Number(score))}`].filter(Boolean).join(" · ");
    return makeEntry(at, text);
  });
}

/** @param {number} at @param {string} text */
function makeEntry(at, text) {
  const dot = make("i", { class: "media-dot" });
  dot.style.background = `var(--series-${at % 10})`;
  return make("span", {}, dot, make("bdi", {}, text));
}

/** @param {Drawing} drawing @param {any} plot */
function drawBars(drawing, plot) {
  const values = numbers(plot.values);
  const names = (plot.names ?? []).map(String);
  drawing.fill({
    cells: {
      left: values.map((_, at) => at - BAR_SHARE), right: values.map((_, at) => at + BAR_SHARE),
      bottom: values.map(() => 0), top: values, color: values.map(() => token("--accent")),
      alpha: values.map(() => 0.85), line: values.map(() => token("--accent")),
    },
  });
  drawing.setAxes([-0.6, values.length - 0.4], extent([0, ...values]), { xLabels: names, xLabel: plot.labels?.x, yLabel: plot.labels?.y });
  return [];
}

/** @param {Drawing} drawing @param {any} plot */
function drawHistogram(drawing, plot) {
  const counts = numbers(plot.counts);
  const edges = numbers(plot.edges);
  drawing.fill({
    cells: {
      left: edges.slice(0, -1), right: edges.slice(1), bottom: counts.map(() => 0), top: counts,
      color: counts.map(() => token("--accent")), alpha: counts.map(() => 0.8), line: counts.map(() => token("--surface")),
    },
  });
  drawing.setAxes(extent(edges), [0, extent(counts)[1]], { xLabel: plot.labels?.x, yLabel: plot.labels?.y });
  return [];
}

/** @param {Drawing} drawing @param {any} plot */
function drawConfusion(drawing, plot) {
  const names = (plot.classes ?? []).map(String);
  const counts = (plot.counts ?? []).map(numbers);
  const highest = Math.max(1, ...counts.flat());
  /** @type {any} */
  const cells = { left: [], right: [], bottom: [], top: [], color: [], alpha: [], line: [] };
  /** @type {any} */
  const texts = { x: [], y: [], text: [], color: [] };
  counts.forEach((/** @type {number[]} */ row, /** @type {number} */ actual) => row.forEach((count, predicted) => {
    const y = names.length - 1 - actual;
    const [r, g, b] = mix("accent", count / highest);
    cells.left.push(predicted - 0.5);
    cells.right.push(predicted + 0.5);
    cells.bottom.push(y - 0.5);
    cells.top.push(y + 0.5);
    cells.color.push(`rgb(${r},${g},${b})`);
    cells.alpha.push(1);
    cells.line.push(token("--surface"));
    if (counts.length ** 2 > TEXTS_MAX) return;
    texts.x.push(predicted);
    texts.y.push(y);
    texts.text.push(count.toLocaleString("en"));
    const isDark = (0.3 * r + 0.59 * g + 0.11 * b) < 140;
    texts.color.push(isDark ? "#ffffff" : "#161a22");
  }));
  drawing.fill({ cells, texts });
  const side = names.length;
  drawing.setAxes([-0.5, side - 0.5], [-0.5, side - 0.5], { xLabels: names, yLabels: [...names].reverse(), xLabel: "predicted", yLabel: "actual" });
  return [];
}
