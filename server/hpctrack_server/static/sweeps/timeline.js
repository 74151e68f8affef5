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

/** @param {HTMLElement} card @param {Details} details */
export async function showTimeline(card, details) {
  const { timeline, submissions, wall_s } = details.told;
  /** @type {Map<string, Span[]>} */
  const lanes = new Map();
  for (const span of timeline) lanes.set(span.worker, [...(lanes.get(span.worker) ?? []), span]);
  const shown = [...lanes].slice(0, LANES_MAX);
  const host = /** @type {HTMLElement} */ (card.querySelector(".drawing"));
  const list = /** @type {HTMLElement} */ (card.querySelector("ol"));
  const caption = /** @type {HTMLElement} */ (card.querySelector(".caption"));
  if (!shown.length) {
    caption.textContent = "no trial has begun yet";
    return null;
  }
  list.replaceChildren(
    ...shown.map(([worker, spans]) => {
      const about = [spans[0].job && `job ${spans[0].job}`, spans[0].host].filter(Boolean).join(", ");
      return make("li", { title: about }, make("bdi", { class: "clip" }, worker), make("span", {}, formatCount(spans.length, "trial")));
    }),
  );
  const zero = Math.min(...submissions.map((one) => one.submitted_wall_s).filter((one) => one > 0), ...timeline.map((span) => span.start_wall_s));
  const last = Math.max(...timeline.map((span) => span.end_wall_s ?? wall_s));
  const [unit_s, unit] = chooseUnit(last - zero);
  const place = (/** @type {number} */ moment_s) => (moment_s - zero) / unit_s;

  const draw = () => {
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
        if (trial) {
          const point = details.pointOf(trial, (left + right) / 2, row);
          const tries = span.attempt > 1 ? `, attempt ${span.attempt}` : "";
          points.push({ ...point, where: `${span.state}${tries}` });
        }
      }
    });
    const hidden = lanes.size > shown.length ? `${shown.length} of ${formatCount(lanes.size, "worker")} \u00b7 ` : "";
    const span = (last - zero) / unit_s;
    return {
      bars, lines, points, x: /** @type {[number, number]} */ ([-span * 0.01, span * 1.01 || 1]), y: /** @type {[number, number]} */ ([shown.length - 0.5, -0.5]),
      caption: `${hidden}${unit} since the first was asked for \u00b7 thin line: in the queue \u00b7 of each trial its last attempt`,
    };
  };
  const plot = new Plot(host, caption, draw);
  host.style.height = `${shown.length * ROW_PX + AXIS_PX}px`;
  await plot.mount({ heightPx: shown.length * ROW_PX + AXIS_PX, frameHeightPx: shown.length * ROW_PX, isExact: true });
  return plot;
}
