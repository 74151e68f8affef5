// Small drawings of metrics in the table: asked for in one go, for the rows that can be seen.
import { apiAddress, sendJson } from "../base/api.js";
import { later } from "../base/dom.js";
import { numberOfRun } from "../base/tokens.js";
import { project } from "./place.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 96;
const HEIGHT = 22;
const TOGETHER_MS = 30;

/** @type {Map<string, Set<HTMLElement>>} cells to be drawn, by metric */
const wanted = new Map();

/** Values by run, metric and version of the run's row. @type {Map<string, (number | null)[]>} */
const drawn = new Map();

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      const cell = /** @type {HTMLElement} */ (target);
      const metric = cell.dataset.metric ?? "";
      wanted.set(metric, (wanted.get(metric) ?? new Set()).add(cell));
    }
    if (wanted.size) load();
  },
  { rootMargin: "100px" },
);

export function tendSparks() {
  const observe = () => {
    for (const cell of document.querySelectorAll(".runs td.spark:empty")) observer.observe(cell);
  };
  observe();
  document.addEventListener("tablechange", observe);
}

const load = later(async () => {
  const asked = [...wanted];
  wanted.clear();
  await Promise.all(asked.map(([metric, cells]) => loadMetric(metric, [...cells])));
}, TOGETHER_MS);

/** @param {string} metric @param {HTMLElement[]} cells */
async function loadMetric(metric, cells) {
  /** A baseline has two rows. @type {[string, HTMLElement][]} */
  const byRun = cells.map((cell) => [cell.closest("tr")?.dataset.run ?? "", cell]);
  for (const [run, cell] of byRun) {
    const known = drawn.get(`${run}\n${metric}`);
    if (known) draw(cell, known); // stays while it is asked for again
  }
  try {
    const url = apiAddress(["projects", project(), "sparklines"]);
    const { lines, left = [] } = await sendJson("POST", url, { metric, ids: [...new Set(byRun.map(([run]) => run))], width: WIDTH });
    const late = new Set(left); // the server had no time for them
    const again = cells.filter((cell) => late.has(cell.closest("tr")?.dataset.run));
    if (again.length && again.length < cells.length) loadMetric(metric, again);
    for (const [run, cell] of byRun) {
      if (late.has(run)) continue;
      const values = lines[run] ?? [];
      drawn.set(`${run}\n${metric}`, values);
      draw(cell, values);
    }
  } catch (error) {
    for (const cell of cells) {
      cell.textContent = "\u2013";
      cell.title = error instanceof Error ? error.message : "";
    }
  }
}

/** @param {HTMLElement} cell @param {(number | null)[]} values */
export function draw(cell, values) {
  const path = makePath(values);
  if (!path) {
    cell.textContent = "\u2013";
    return;
  }
  const finite = /** @type {number[]} */ (values.filter((one) => one !== null));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.style.stroke = `var(--series-${numberOfRun(cell.closest("tr")?.dataset.run ?? "")})`;
  const [low, high] = [Math.min(...finite), Math.max(...finite)].map((one) => Number(one.toPrecision(4)));
  svg.setAttribute("aria-label", `${cell.dataset.metric}: from ${low} to ${high}`);
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  cell.title = `min ${low}, max ${high}`;
  cell.replaceChildren(svg);
}

/**
 * A line through values at even distances; what is null parts it. Pure.
 * @param {(number | null)[]} values
 */
function makePath(values) {
  const finite = /** @type {number[]} */ (values.filter((one) => one !== null && Number.isFinite(one)));
  if (!finite.length) return "";
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low || 1;
  const step = WIDTH / Math.max(values.length - 1, 1);
  let path = "";
  let isDown = false;
  values.forEach((value, i) => {
    if (value === null || !Number.isFinite(value)) {
      isDown = false;
      return;
    }
    const y = HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4);
    path += `${isDown ? "L" : "M"}${(i * step).toFixed(1)} ${y.toFixed(1)}`;
    isDown = true;
  });
  return values.length === 1 ? `${path}h${WIDTH}` : path;
}
