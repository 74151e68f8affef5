// Panels of the compare page on a sweep's page: parallel coordinates and contour over its runs.
import { byId } from "../base/dom.js";
import { chooseAxes } from "./axes.js";
import { KINDS } from "../panels/registry.js";
import { colourOf, numberOfRun } from "../base/tokens.js";

/** @typedef {import("./details.js").Details} Details */
/** @typedef {import("../panels/panel.js").Panel} Panel */

const AXES_MAX = 10;

/** Trials that a surface is made of. */
const SURFACE_MIN = 3;

/** @param {() => Details} current @returns {import("../panels/panel.js").PanelContext} */
function makeContext(current) {
  // A sweep that goes on has more trials each time; this is made once for each look.
  const known = memoise(current, (details) => new Map(details.trials.map((trial) => [trial.run, `trial ${trial.number}`])));
  /** @type {((run: string | null) => void)[]} */
  const hovering = [];
  /** @type {((runs: string[] | null) => void)[]} */
  const selecting = [];
  return {
    project: current().told.sweep.project,
    selection: () => ({ ids: current().runIds }),
    colourOf: (run) => colourOf(numberOfRun(run)),
    nameOf: (run) => known().get(run) ?? run,
    highlight: (run) => hovering.forEach((work) => work(run)),
    onHighlight: (work) => void hovering.push(work),
    select: (runs) => selecting.forEach((work) => work(runs)),
    onSelect: (work) => void selecting.push(work),
    shared: /** @type {any} */ ({}),
    hoverX: () => {},
    zoomX: () => {},
    metrics: current().metrics.map((axis) => axis.name),
    columns: [],
  };
}

/** @template Made @param {() => Details} current @param {(details: Details) => Made} work @returns {() => Made} */
function memoise(current, work) {
  /** @type {Details | null} */
  let of = null;
  /** @type {any} */
  let made;
  return () => {
    const details = current();
    if (of !== details) [of, made] = [details, work(details)];
    return made;
  };
}

/** @param {Details} details */
const listNumbers = (details) => details.parameters.filter((axis) => axis.kind === "number").map((axis) => axis.name);

/** @param {Details} details @param {[string, string]} pair */
function makeContour(details, pair) {
  const axes = pair.map((name) => details.parameters.find((axis) => axis.name === name));
  const [x_scale, y_scale] = axes.map((axis) => (axis?.is_log ? "log" : "auto"));
  const [x, y] = pair.map((name) => `config.${name}`);
  return { x, y, color: `summary.${details.metric?.name}`, x_scale, y_scale };
}

/** @param {Details} details */
function listSpecs(details) {
  const metric = details.metric && `summary.${details.metric.name}`;
  if (!metric || !details.runIds.length) return [];
  const axes = [...details.parameters.slice(0, AXES_MAX), ...details.metrics].map((axis) => ({
    key: `${axis.role === "metric" ? "summary" : "config"}.${axis.name}`,
    ...(axis.is_log ? { scale: "log" } : {}),
  }));
  const specs = [{ id: "parallel", kind: "parallel", settings: { axes, color: metric } }];
  const finished = details.trials.filter((trial) => trial.value !== null).length;
  if (listNumbers(details).length > 1 && finished >= SURFACE_MIN) specs.push({ id: "contour", kind: "contour", settings: /** @type {any} */ ({}) });
  return specs;
}

/** @param {string} id @param {string} said */
function sayInCard(id, said) {
  const card = byId(id);
  card.hidden = false;
  /** @type {HTMLElement} */ (card.querySelector(".host")).hidden = true;
  /** @type {HTMLElement} */ (card.querySelector("[data-caption]")).textContent = said;
}

/** @param {Details} details why there is nothing to draw, if that is worth a word */
function sayAbsent({ runIds, told }) {
  if (runIds.length || !told.absent_runs) return;
  sayInCard("parallel", "is drawn from the runs of the trials, and none of them is in this store: hpctrack sync brings them");
}

/**
 * Shows what kinds of panels there are.
 * @param {() => Details} current
 * @param {Panel[]} [there] are shown already @returns {Promise<Panel[]>} the others
 */
export async function showPanels(current, there = []) {
  const context = makeContext(current);
  /** @type {Panel[]} */
  const shown = [];
  const specs = listSpecs(current());
  document.getElementById("parallel")?.toggleAttribute("hidden", !specs.length);
  sayAbsent(current());
  for (const { id, kind, settings } of specs) {
    if (!(kind in KINDS) || there.some((panel) => panel.spec.id === id)) continue;
    const card = byId(id);
    const host = /** @type {HTMLElement} */ (card.querySelector(".host"));
    card.hidden = false;
    try {
      const { default: Kind } = await KINDS[kind].load();
      const panel = new Kind(host, { id, kind, w: 12, h: 10, settings }, context);
      if (id === "contour") {
        const choice = chooseAxes(card, id, listNumbers(current()), () => {
          panel.spec.settings = makeContour(current(), choice());
          refreshPanels([panel]);
        });
        panel.spec.settings = makeContour(current(), choice());
      }
      await reload(panel, id);
      shown.push(panel);
      new ResizeObserver(() => panel.resize()).observe(host);
    } catch (error) {
      sayInCard(id, `it cannot be drawn: ${/** @type {Error} */ (error).message}`);
    }
  }
  return shown;
}

/** @param {Panel} panel @param {string} id of its card */
async function reload(panel, id) {
  await panel.load();
  /** @type {HTMLElement} */ (byId(id).querySelector("[data-caption]")).textContent = panel.describe();
}

/** There are more trials than there were. @param {Panel[]} panels */
export async function refreshPanels(panels) {
  await Promise.all(panels.map((panel) => reload(panel, panel.spec.id).catch((error) => sayInCard(panel.spec.id, `it cannot be drawn: ${error.message}`))));
}
