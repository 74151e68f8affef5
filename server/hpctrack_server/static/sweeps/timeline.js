// Who ran which trial when: a lane for each worker.
import { make } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { token } from "../base/tokens.js";
import { Plot, noLines, stateColour } from "./plot.js";

const ROW_PX = 30;
const AXIS_PX = 26;
const LANES_MAX = 80;
const HOUR_S = 3600;
const DAY_S = 86400;

/** @typedef {import("./details.js").Details} Details */
/** @typedef {import("./details.js").Span} Span */

/** @param {number} span_s @returns {[number, string]} seconds of a unit, and its name */
function chooseUnit(span_s) {
  if (span_s > 3 * DAY_S) return [DAY_S, "days"];
  if (span_s > 2 * HOUR_S) return [HOUR_S, "hours"];
  return span_s > 180 ? [60, "minutes"] : [1, "seconds"];
}

/** @param {Details} details @returns {[string, Span[]][]} who worked, and at what; the first of them */
function listLanes(details) {
  /** @type {Map<string, Span[]>} */
  const lanes = new Map();
  for (const span of details.told.timeline) {
    const lane = lanes.get(span.worker);
    if (lane) lane.push(span);
    else lanes.set(span.worker, [span]);
  }
  return [...lanes];
}

/** @param {Details} details @returns {import("./plot.js").Drawing} */
function drawTimeline(details) {
  const { timeline, submissions, wall_s } = details.told;
  const lanes = listLanes(details);
  const shown = lanes.slice(0, LANES_MAX);
  const zero = least([...submissions.map((one) => one.submitted_wall_s).filter((one) => one > 0), ...timeline.map((span) => span.start_wall_s)]);
  const last = -least(timeline.map((span) => -(span.end_wall_s ?? wall_s)));
  const [unit_s, unit] = chooseUnit(last - zero);
  const place = (/** @type {number} */ moment_s) => (moment_s - zero) / unit_s;
  const bars = { left: /** @type {number[]} */ ([]), right: /** @type {number[]} */ ([]), y: /** @type {number[]} */ ([]), color: /** @type {string[]} */ ([]) };
  const lines = noLines();
  /** @type {import("./plot.js").Point[]} */
  const points = [];
  shown.forEach(([, spans], row) => {
    const began_s = spans[0].start_wall_s;
    const asked = submissions.filter((one) => one.submitted_wall_s && one.submitted_wall_s <= began_s).pop();
    if (asked) {
      lines.xs.push([place(asked.submitted_wall_s), place(began_s)]);
      lines.ys.push([row, row]);
      lines.color.push(token("--muted"));
      lines.width.push(2);
      lines.alpha.push(0.55);
    }
    for (const span of spans) {
      const [left, right] = [place(span.start_wall_s), place(span.end_wall_s ?? Math.max(wall_s, span.start_wall_s))];
      // A hair of space between two trials, so that one bar is one trial.
      bars.left.push(left + (right - left) * 0.01);
      bars.right.push(right);
      bars.y.push(row);
      bars.color.push(stateColour(span.state));
      const trial = details.byNumber.get(span.trial);
      if (trial) points.push({ x: (left + right) / 2, y: row, trial, where: `${span.state}${span.attempt > 1 ? `, attempt ${span.attempt}` : ""}` });
    }
  });
  const hidden = lanes.length > shown.length ? `${shown.length} of ${formatCount(lanes.length, "worker")} \u00b7 ` : "";
  const span = (last - zero) / unit_s;
  return {
    bars, lines, points, x: [-span * 0.01, span * 1.01 || 1], y: [shown.length - 0.5, -0.5],
    caption: `${hidden}${unit} since the first was asked for \u00b7 thin line: in the queue \u00b7 of each trial its last attempt`,
  };
}

/** @param {number[]} values */
const least = (values) => values.reduce((low, value) => Math.min(low, value), Infinity);

export class Timeline extends Plot {
  /** @param {HTMLElement} card @param {() => Details} details */
  constructor(card, details) {
    super(/** @type {HTMLElement} */ (card.querySelector(".drawing")), card.querySelector(".caption"), details, drawTimeline);
    this.list = /** @type {HTMLElement} */ (card.querySelector("ol"));
  }

  async mount() {
    if (this.details().told.timeline.length) await super.mount({ ...this.arrange(), isExact: true });
    else if (this.caption) this.caption.textContent = "no trial has begun yet";
  }

  /** A lane for each worker: there may be more than there were. */
  arrange() {
    const shown = listLanes(this.details()).slice(0, LANES_MAX);
    this.list.replaceChildren(
      ...shown.map(([worker, spans]) => {
        const about = [spans[0].job && `job ${spans[0].job}`, spans[0].host].filter(Boolean).join(", ");
        return make("li", { title: about }, make("bdi", { class: "clip" }, worker), make("span", {}, formatCount(spans.length, "trial")));
      }),
    );
    const frameHeightPx = shown.length * ROW_PX;
    this.host.style.height = `${frameHeightPx + AXIS_PX}px`;
    return { heightPx: frameHeightPx + AXIS_PX, frameHeightPx };
  }

  async update() {
    if (!this.figure) return this.mount();
    this.resize(this.arrange());
    return this.draw();
  }
}
