// The layout that appears by itself, from nothing but the names of the metrics. Pure.

/** @typedef {import("../panels/panel.js").PanelSpec} PanelSpec */

/**
 * @typedef {object} Section
 * @property {string} title
 * @property {boolean} isOpen
 * @property {PanelSpec[]} panels
 */

const FIRST = ["train", "training", "val", "valid", "validation", "eval", "test"];
const LAST = ["system", "sys", "gpu", "cpu", "mem", "net", "disk", "power"];
const WATCHED = [/loss$/i, /loss|perplexity|ppl$/i, /(acc|accuracy|f1|auc|bleu|score|reward|return)$/i];
const UNNAMED = "metrics";
const FEW_PANELS = 24;
const OPEN_PANELS_MAX = 72;

/**
 * Sections by what is before the first "/": metrics without it first, then training, validation,
 * all others by name, and the machine last. In each losses come first, then scores.
 * @param {string[]} metrics
 * @param {{w: number, h: number}} [size] of each panel
 * @returns {Section[]}
 */
export function makeSections(metrics, size = { w: 6, h: 7 }) {
  /** @type {Map<string, string[]>} */
  const byPrefix = new Map();
  for (const name of [...metrics].sort(compareMetrics)) {
    const prefix = prefixOf(name);
    byPrefix.set(prefix, [...(byPrefix.get(prefix) ?? []), name]);
  }
  const prefixes = [...byPrefix.keys()].sort((a, b) => placeOf(a) - placeOf(b) || compareNames(a, b));
  let shown = 0;
  return prefixes.map((prefix) => {
    const names = byPrefix.get(prefix) ?? [];
    const isMachine = LAST.includes(prefix.toLowerCase()) && metrics.length > FEW_PANELS;
    const isOpen = shown === 0 || (shown + names.length <= OPEN_PANELS_MAX && !isMachine);
    shown += isOpen ? names.length : 0;
    return { title: prefix, isOpen, panels: names.map((name) => makeLinePanel(name, size)) };
  });
}

/** @param {string} metric @param {{w: number, h: number}} size @returns {PanelSpec} */
function makeLinePanel(metric, size = { w: 6, h: 7 }) {
  return { id: `line:${metric}`, kind: "line", ...size, settings: { y: metric } };
}

/** @param {string} name */
function prefixOf(name) {
  const at = name.indexOf("/");
  return at > 0 ? name.slice(0, at) : UNNAMED;
}

/** @param {string} prefix */
function placeOf(prefix) {
  if (prefix === UNNAMED) return 0;
  const first = FIRST.indexOf(prefix.toLowerCase());
  if (first >= 0) return 1 + first;
  return LAST.includes(prefix.toLowerCase()) ? 1000 : 100;
}

/** What a training is watched by comes first: losses, then how good it is. @param {string} name */
function weightOf(name) {
  const at = WATCHED.findIndex((one) => one.test(name));
  return at < 0 ? WATCHED.length : at;
}

/** @param {string} a @param {string} b */
function compareMetrics(a, b) {
  return weightOf(a) - weightOf(b) || compareNames(a, b);
}

/** layer2 before layer10. @param {string} a @param {string} b */
function compareNames(a, b) {
  return a.localeCompare(b, "en", { numeric: true });
}
