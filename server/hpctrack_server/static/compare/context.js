// What the page gives its panels: runs, colours, and what one panel tells the others.

/** @typedef {import("../panels/panel.js").PanelContext} PanelContext */
/** @typedef {import("../panels/panel.js").Panel} Panel */

/**
 * @param {object} given
 * @param {string} given.project
 * @param {import("./runs.js").RunSet} given.runs
 * @param {import("../panels/panel.js").Shared} given.shared the one that changes, never replaced
 * @param {string[]} given.metrics
 * @param {(x: number | null, from: Panel) => void} given.hoverX
 * @param {(range: [number, number] | null, from: Panel) => void} given.zoomX
 * @returns {PanelContext}
 */
export function makeContext({ project, runs, shared, metrics, hoverX, zoomX }) {
  const [highlight, onHighlight] = makeSignal(/** @type {string | null} */ (null));
  const [select, onSelect] = makeSignal(/** @type {string[] | null} */ (null));
  return {
    project, shared, metrics, hoverX, zoomX, highlight, onHighlight, select, onSelect,
    columns: [],
    selection: () => ({ ids: runs.shown }),
    colourOf: (run) => runs.colourOf(run),
    nameOf: (run) => runs.nameOf(run),
  };
}

/**
 * @template Value @param {Value} start
 * @returns {[(value: Value) => void, (work: (value: Value) => void) => void]}
 */
function makeSignal(start) {
  let held = start;
  const works = /** @type {((value: Value) => void)[]} */ ([]);
  const tell = (/** @type {Value} */ value) => {
    if (value === held) return;
    held = value;
    for (const work of works) work(value);
  };
  return [tell, (work) => works.push(work)];
}
