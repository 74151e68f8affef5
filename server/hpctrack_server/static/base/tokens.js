// The style sheet's colours for what is drawn on a canvas: the one place that reads them.

export const SERIES = 10;

/** @type {Map<string, string>} */
const known = new Map();
/** Of which `known` is: who listens for a change of theme first is nobody's to say. */
let theme = "";

/** What is worked out once for each theme. @param {string} key @param {() => string} make @returns {string} */
function keep(key, make) {
  const now = document.documentElement.dataset.theme ?? "";
  if (now !== theme) known.clear();
  theme = now;
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = make()));
  return found;
}

/** @param {string} name of a variable of the style sheet @returns {string} */
export function token(name) {
  return keep(name, () => getComputedStyle(document.documentElement).getPropertyValue(name).trim());
}

/** @typedef {[number, number, number]} Rgb red, green, blue, 0 to 255 */

/** @param {string} text of the form #rrggbb @returns {Rgb} */
export function parseHex(text) {
  return /** @type {Rgb} */ ([1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16) || 0));
}

/** @param {string} one @param {string} other both `#rrggbb` @param {number} part of the other */
export function blend(one, other, part) {
  const [a, b] = [parseHex(one), parseHex(other)];
  return `#${a.map((value, i) => Math.round(value + (b[i] - value) * part).toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The colour of the n-th run, group or curve: ten that colour-blind people can tell apart, then the
 * same ones darker, lighter, and after thirty any hue, always the same for the same number.
 * @param {number} number
 */
export function colourOf(number) {
  return keep(`colour ${number}`, () => {
    const base = token(`--series-${number % SERIES}`);
    const cycle = Math.floor(number / SERIES);
    if (cycle === 0) return base;
    if (cycle === 1) return blend(base, token("--series-darker"), 0.35);
    if (cycle === 2) return blend(base, token("--series-lighter"), 0.4);
    return blend(base, token(`--series-${(number * 7 + cycle) % SERIES}`), 0.15 + 0.07 * (cycle % 10));
  });
}

/** The number of the colour that a run has wherever it is alone, or where no other has it. @param {string} id */
export function numberOfRun(id) {
  let hash = 0x811c9dc5; // FNV-1a
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % SERIES;
}
