// Panels of the compare page on a sweep's page: parallel coordinates and contour over its runs.
import { byId } from "../base/dom.js";
import { KINDS } from "../panels/registry.js";
import { colourOf, numberOfRun } from "../base/tokens.js";

/** @typedef {import("./details.js").Details} Details */
/** @typedef {import("../panels/panel.js").Panel} Panel */

const AXES_MAX = 10;

/** @param {Details} details @returns {import("../panels/panel.js").PanelContext} */
function makeContext(details) {
  const names = new Map(details.trials.map((trial) => [trial.run, `trial ${trial.number}`]));
  /** @type {((run: string | null) => void)[]} */
  const hovering = [];
  /** @type {((runs: string[] | null) => void)[]} */
  const selecting = [];
  return {
    project: details.told.sweep.project,
    selection: () => ({ ids: details.runIds }),
    colourOf: (run) => colourOf(numberOfRun(run)),
    nameOf: (run) => names.get(run) ?? run,
    highlight: (run) => hovering.forEach((work) => work(run)),
    onHighlight: (work) => void hovering.push(work),
    select: (runs) => selecting.forEach((work) => work(runs)),
    onSelect: (work) => void selecting.push(work),
    shared: /** @type {any} */ ({}),
    hoverX: () => {},
    zoomX: () => {},
    metrics: details.metrics.map((axis) => axis.name),
    columns: [],
  };
}

/** @param {Details} details */
function listSpecs(details) {
  const numbers = details.parameters.filter((axis) => axis.kind === "number");
  const metric = details.metric && `summary.${details.metric.name}`;
  if (!metric || !details.runIds.length) return [];
  const axes = [...details.parameters.slice(0, AXES_MAX), ...details.metrics].map((axis) => ({
    key: `${axis.role === "metric" ? "summary" : "config"}.${axis.name}`,
    ...(axis.is_log ? { scale: "log" } : {}),
  }));
  const specs = [{ id: "parallel", kind: "parallel", settings: { axes, color: metric } }];
  if (numbers.length > 1) {
    const [x, y] = numbers.map((axis) => `config.${axis.name}`);
    const scales = { log_x: !!numbers[0].is_log, log_y: !!numbers[1].is_log };
    specs.push({ id: "contour", kind: "contour", settings: /** @type {any} */ ({ x, y, z: metric, ...scales }) });
  }
  return specs;
}

/** Shows what kinds of panels there are. @param {Details} details @returns {Promise<Panel[]>} */
export async function showPanels(details) {
  const context = makeContext(details);
  /** @type {Panel[]} */
  const shown = [];
  for (const { id, kind, settings } of listSpecs(details)) {
    if (!(kind in KINDS)) continue;
    const card = byId(id);
    const host = /** @type {HTMLElement} */ (card.querySelector(".host"));
    const caption = /** @type {HTMLElement} */ (card.querySelector("[data-caption]"));
    card.hidden = false;
    try {
      const { default: Kind } = await KINDS[kind].load();
      const panel = new Kind(host, { id, kind, w: 12, h: 10, settings }, context);
      await panel.load();
      caption.textContent = panel.describe();
      shown.push(panel);
      new ResizeObserver(() => panel.resize()).observe(host);
    } catch (error) {
      host.hidden = true;
      caption.textContent = `it cannot be drawn: ${/** @type {Error} */ (error).message}`;
    }
  }
  return shown;
}
