// Histograms over the steps: as ridges, one behind the other, or as a heat map.
import { apiAddress, fetchArrays } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { formatNumber } from "../../base/format.js";
import { token } from "../../base/tokens.js";
import { mix } from "../../panels/palette.js";
import { Drawing } from "./drawing.js";

const RIDGES_MAX = 40;
const OVERLAP = 3;
const RIDGE_ALPHA = 0.85;

class HistogramView {
  /** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
  constructor(host, showing) {
    this.showing = showing;
    this.kind = "ridges";
    /** @type {Drawing | null} */
    this.drawing = null;
    /** @type {{head: any, step: Float64Array, edges: Float64Array, share: Float32Array, bins: number} | null} */
    this.found = null;
    const choose = (/** @type {string} */ kind, /** @type {string} */ label) => {
      const input = make("input", { type: "radio", name: `histogram-${showing.key}`, value: kind, checked: kind === this.kind, on: { change: () => this.show(kind) } });
      return make("label", {}, input, make("span", {}, label));
    };
    this.plot = make("div", { class: "media-plot", role: "img", "aria-label": `Histograms of ${showing.key} over the steps` });
    this.told = make("p", { class: "muted caption-in" });
    const kinds = make("fieldset", { class: "segments small" }, make("legend", { class: "sr" }, "Form"), choose("ridges", "Ridges"), choose("heat", "Heat map"));
    host.replaceChildren(kinds, this.plot, this.told);
  }

  async load() {
    const { place, key, rank } = this.showing;
    const { head, arrays } = await fetchArrays(apiAddress([...place, "histograms"], { key, rank }));
    const [step, edges, share] = arrays.map((one) => one.values);
    this.found = { head, step, edges, share, bins: edges.length - 1 };
    this.drawing ??= await Drawing.mount(this.plot);
    this.draw();
  }

  /** @param {string} kind */
  show(kind) {
    this.kind = kind;
    this.draw();
  }

  draw() {
    const { found, drawing } = this;
    if (!found || !drawing) return;
    if (this.kind === "heat") this.drawHeat(found, drawing);
    else this.drawRidges(found, drawing);
  }

  /** @param {any} found @param {Drawing} drawing */
  drawRidges(found, drawing) {
    const { head, step, edges, share, bins } = found;
    const count = step.length;
    const rows = Math.min(count, RIDGES_MAX);
    const chosen = Array.from({ length: rows }, (_, i) => (rows < 2 ? count - 1 : Math.round((i * (count - 1)) / (rows - 1))));
    let highest = 1e-12;
    for (const value of share) if (value > highest) highest = value;
    const middles = Array.from({ length: bins }, (_, i) => (edges[i] + edges[i + 1]) / 2);
    /** @type {{xs: number[][], ys: number[][], color: string[], alpha: number[]}} */
    const areas = { xs: [], ys: [], color: [], alpha: [] };
    // The oldest at the back, which is at the top: drawn first.
    chosen.forEach((row, order) => {
      const base = rows - 1 - order;
      const heights = middles.map((_, i) => base + (OVERLAP * share[row * bins + i]) / highest);
      areas.xs.push([edges[0], ...middles, edges[bins]]);
      areas.ys.push([base, ...heights, base]);
      const [r, g, b] = mix("viridis", rows < 2 ? 0.4 : 0.1 + (0.8 * order) / (rows - 1));
      areas.color.push(`rgb(${r},${g},${b})`);
      areas.alpha.push(RIDGE_ALPHA);
    });
    drawing.fill({ areas });
    const ticks = chosen.map((row) => step[row]);
    drawing.setAxes([edges[0], edges[bins]], [-0.3, rows - 1 + OVERLAP + 0.3], { yLabels: thinLabels(ticks.reverse()) });
    this.tell(head, rows, count);
  }

  /** @param {any} found @param {Drawing} drawing */
  drawHeat(found, drawing) {
    const { head, step, edges, share, bins } = found;
    const count = step.length;
    const image = new Uint32Array(count * bins);
    let highest = 1e-12;
    for (const value of share) if (value > highest) highest = value;
    for (let row = 0; row < count; row++) {
      for (let bin = 0; bin < bins; bin++) {
        // The root shows what is rare beside what is frequent.
        const [r, g, b] = mix("viridis", Math.sqrt(share[row * bins + bin] / highest));
        image[bin * count + row] = (255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r);
      }
    }
    drawing.fill({ image: { image: [makeImage(image, bins, count)], x: [-0.5], y: [edges[0]], dw: [count], dh: [edges[bins] - edges[0]] } });
    drawing.setAxes([-0.5, count - 0.5], [edges[0], edges[bins]], { xLabels: thinLabels([...step]) });
    this.tell(head, count, count);
  }

  /** @param {any} head @param {number} drawn @param {number} read */
  tell(head, drawn, read) {
    const parts = [`${drawn.toLocaleString("en")} of ${head.total.toLocaleString("en")} steps`, `shares of each step from ${formatNumber(this.found?.edges[0] ?? 0)} to ${formatNumber(this.found?.edges.at(-1) ?? 0)}`];
    if (read < head.total && drawn === read) parts[0] += ", evenly chosen";
    if (head.problems.length) parts.push(`${head.problems.length} cannot be read: ${head.problems[0]}`);
    this.told.textContent = parts.join(" · ");
    this.told.style.color = head.problems.length ? token("--bad") : "";
  }
}

/** At most a dozen labels; the others are empty. @param {number[]} values */
function thinLabels(values) {
  const every = Math.max(1, Math.ceil(values.length / 12));
  return values.map((value, at) => (at % every === 0 || at === values.length - 1 ? value.toLocaleString("en") : ""));
}

/** Pixels as Bokeh takes them. @param {Uint32Array} values @param {number} rows @param {number} columns */
function makeImage(values, rows, columns) {
  return Object.assign(values, { shape: [rows, columns], dtype: "uint32", dimension: 2 });
}

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing @param {any} card */
export async function show(host, showing, card) {
  const known = card.viewer instanceof HistogramView ? card.viewer : null;
  const view = known && host.contains(known.plot) ? known : new HistogramView(host, showing);
  view.showing = showing;
  await view.load();
  return view;
}

// What the card calls after a change of theme.
/** @type {any} */ (HistogramView.prototype).repaint = HistogramView.prototype.draw;
