// A line panel of one run: a colour for each rank, or their mean between the lowest and the highest.
import { fetchChart } from "../charts/series.js";
import { blend, colourOf, token } from "../base/tokens.js";
import { formatCount } from "../base/format.js";
import LinePanel from "../panels/line.js";
import { colourOfRank, joinBand } from "./rank_curves.js";

/** @typedef {import("../charts/series.js").Chart} Chart */
/** @typedef {import("../panels/line_columns.js").Curve} Curve */

const EDGES = /** @type {const} */ (["min", "max"]);
const EDGE_FADE = 0.62;
const LABELS = { min: "lowest rank", max: "highest rank", mean: "mean" };

export default class RunLinePanel extends LinePanel {
  get size() {
    return /** @type {any} */ (this.context.shared).size ?? 1;
  }

  get isBand() {
    return this.how.ranks === "band";
  }

  /**
   * @param {import("../charts/series.js").ChartQuery} request @param {AbortSignal} signal
   * @returns {Promise<Chart>}
   */
  async fetch(request, signal) {
    if (!this.isBand) return fetchChart(this.context.project, request, signal);
    const ask = (/** @type {"mean" | "min" | "max"} */ ranks, /** @type {any} */ smooth) => fetchChart(this.context.project, { ...request, ranks, smooth }, signal);
    // One after the other: the first one reads what all three are made of.
    const mean = await ask("mean", request.smooth);
    const [low, high] = await Promise.all(EDGES.map((one) => ask(one, null)));
    if (!mean.lines.length || mean.lines[0].rank !== null) return mean;
    const line = { ...mean.lines[0], label: LABELS.mean };
    const edges = [low, high].map((one, i) => ({ ...one.lines[0], label: LABELS[EDGES[i]] }));
    const band = joinBand(edges[0], edges[1]);
    const exact = mean.exact && low.exact && high.exact;
    return { ...mean, exact, lines: [{ ...line, ...band, label: "band", total: 0, drawn: 0, gaps: 0 }, ...edges, line] };
  }

  /** @param {Curve} curve @param {number} at */
  colourOfCurve(curve, at) {
    if (curve.label === LABELS.min || curve.label === LABELS.max) return blend(this.context.colourOf(""), token("--surface"), EDGE_FADE);
    if (this.how.ranks === "all" && curve.rank !== null) return colourOfRank(curve.rank, this.size);
    return this.how.ranks === "all" ? colourOf(at) : this.context.colourOf("");
  }

  /** What the pointer brings to the front: a rank, not the whole run. @param {Curve} curve */
  keyOf(curve) {
    if (this.isBand) return null;
    return this.how.ranks === "all" && curve.rank !== null ? `rank ${curve.rank}` : curve.label;
  }

  /** @param {Curve} curve */
  labelOf(curve) {
    if (this.isBand && curve.rank === null) return curve.label;
    return curve.rank !== null && this.size > 1 ? `rank ${curve.rank}` : this.spec.settings.y;
  }

  describe() {
    const { held } = this;
    const lines = held?.head.lines ?? [];
    if (!held || !lines.length) return this.isOneRank ? `rank ${this.how.ranks} has not logged this` : super.describe();
    if (!this.isBand || lines.length < 4) {
      const ranks = this.how.ranks === "all" && this.size > 1 ? `${formatCount(lines.length, "rank")} · ` : "";
      return ranks + super.describe();
    }
    const { total } = lines[3];
    const { drawn } = lines[3];
    const shown = drawn < total ? `${formatCount(drawn, "point")} of each drawn of ${formatCount(total, "step")}${held.head.exact ? ", extremes exact" : ""}` : `all ${formatCount(total, "step")} drawn`;
    return `mean, lowest and highest of ${formatCount(this.size, "rank")} · ${shown}`;
  }

  get isOneRank() {
    return /^\d+$/.test(this.how.ranks) && this.size > 1;
  }

  get total() {
    const lines = this.held?.head.lines ?? [];
    if (this.isBand && lines.length === 4) return lines[3].total;
    return (this.held?.curves ?? []).reduce((sum, one) => sum + one.total, 0);
  }
}
