// The Statistics page: the form follows each choice, and the intervals are drawn.
import { byId } from "../base/dom.js";
import { formatNumber } from "../base/format.js";
import { Figure } from "../charts/figure.js";
import { token } from "../base/tokens.js";
import { ProfileChart } from "./profile.js";

const ROW_PX = 30;
const AXIS_PX = 26;
const PADDING = 0.04;
const JITTER = 0.22;

/** @typedef {{value: number | null, low: number | null, high: number | null}} Ends */
/** @typedef {{groups: {points: number[], center: Ends, isBaseline: boolean}[], axis: string}} Chart */

const EVERYTHING = "@config-but-seed";

/** A place across its row that is the same each time, so that dots do not hide each other. @param {number} at */
const spread = (at) => (((at * 0.618034) % 1) - 0.5) * 2 * JITTER;

class Intervals {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    this.host = /** @type {HTMLElement} */ (box.querySelector(".drawing"));
    /** @type {Chart} */
    this.chart = JSON.parse(box.dataset.chart ?? "{}");
  }

  async mount() {
    this.figure = await Figure.mount("intervals", this.host);
    const rows = this.chart.groups.length;
    this.host.style.height = `${rows * ROW_PX + AXIS_PX}px`;
    this.figure.model.setv({ height: rows * ROW_PX + AXIS_PX, frame_height: rows * ROW_PX });
    this.draw();
    this.box.dataset.ready = "true";
  }

  draw() {
    if (!this.figure) return;
    const [accent, muted] = [token("--accent"), token("--muted")];
    const points = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
    const bars = { xs: /** @type {number[][]} */ ([]), ys: /** @type {number[][]} */ ([]), color: /** @type {string[]} */ ([]) };
    const centers = { x: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
    let [low, high] = [Infinity, -Infinity];
    const take = (/** @type {number} */ value) => {
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    this.chart.groups.forEach((group, row) => {
      const colour = group.isBaseline ? muted : accent;
      group.points.forEach((value, at) => {
        points.x.push(value);
        points.y.push(row + spread(at));
        points.color.push(colour);
        take(value);
      });
      const { value, low: start, high: end } = group.center;
      if (start !== null && end !== null) {
        bars.xs.push([start, end]);
        bars.ys.push([row, row]);
        bars.color.push(colour);
        take(start);
        take(end);
      }
      if (value !== null) {
        centers.x.push(value);
        centers.y.push(row);
        centers.color.push(colour);
      }
    });
    this.figure.find("points").data = points;
    this.figure.find("bars").data = bars;
    this.figure.find("centers").data = centers;
    const baseline = this.chart.groups.find((group) => group.isBaseline);
    this.figure.find("baseline").location = baseline?.center.value ?? null;
    const pad = high > low ? (high - low) * PADDING : Math.abs(low) * 0.05 || 0.5;
    this.figure.setRanges([low - pad, high + pad], [this.chart.groups.length - 0.5, -0.5]);
    this.describe(points.x.length);
  }

  /** @param {number} drawn */
  describe(drawn) {
    const total = Number(this.box.dataset.runs ?? drawn);
    byId("intervals-caption").textContent =
      drawn < total
        ? `${drawn.toLocaleString("en")} of ${total.toLocaleString("en")} runs drawn as dots, extremes exact · dashed: the baseline`
        : `${drawn === 1 ? "1 run" : `all ${formatNumber(drawn)} runs`} drawn as dots · dashed: the baseline`;
  }

  repaint() {
    this.draw();
    this.figure?.repaint();
  }
}

/** @param {HTMLFormElement} form */
function followChoices(form) {
  const keys = /** @type {HTMLDetailsElement} */ (byId("keys"));
  const boxes = [...keys.querySelectorAll("input")];
  let isChanged = false;
  const submit = () => form.requestSubmit();
  form.addEventListener("change", (event) => {
    const target = /** @type {HTMLInputElement} */ (event.target);
    if (!boxes.includes(target)) return submit();
    // Several columns are ticked one after the other: the page follows when the list is closed.
    isChanged = true;
    const isEverything = target.value === EVERYTHING;
    if (target.checked) for (const box of boxes) if (isEverything !== (box.value === EVERYTHING)) box.checked = false;
    return undefined;
  });
  keys.addEventListener("toggle", () => {
    if (!keys.open && isChanged) submit();
  });
  keys.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !keys.open) return;
    keys.open = false;
    keys.querySelector("summary")?.focus();
  });
  addEventListener("click", (event) => {
    if (keys.open && !keys.contains(/** @type {Node} */ (event.target))) keys.open = false;
  });
  form.addEventListener("submit", () => {
    // The address says what was chosen and nothing that is empty.
    for (const control of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input, select"))) {
      if (!control.value) control.disabled = true;
    }
    setTimeout(() => form.querySelectorAll(":disabled").forEach((one) => one.removeAttribute("disabled")));
  });
}

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("choices"));
if (form) {
  followChoices(form);
  // Who goes back sees the page of that address; a browser would keep what was chosen on leaving it.
  addEventListener("pageshow", () => form.reset());
}
/** @param {string} id of a chart @param {new (box: HTMLElement) => {mount: () => Promise<void>, repaint: () => void}} Chart */
function show(id, Chart) {
  const box = document.getElementById(id);
  if (!box) return;
  const chart = new Chart(box);
  addEventListener("themechange", () => chart.repaint());
  chart.mount().catch((error) => {
    byId(`${id}-caption`).textContent = `the chart cannot be drawn: ${error.message}`;
  });
}
show("intervals", Intervals);
show("profile", ProfileChart);
