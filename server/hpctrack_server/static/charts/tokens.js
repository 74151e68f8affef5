// The style sheet's colours for what is drawn on a canvas, read again after a change of theme.

const SERIES = 10;

/** @typedef {{accent: string, muted: string, text: string, surface: string, line: string, series: string[]}} Tokens */

/** @type {Tokens | null} */
let tokens = null;
/** @type {Map<number, string>} */
let colours = new Map();

/** @returns {Tokens} */
export function readTokens() {
  if (!tokens) {
    const style = getComputedStyle(document.documentElement);
    const read = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    tokens = {
      accent: read("--accent"), muted: read("--muted"), text: read("--text"),
      surface: read("--surface"), line: read("--line-strong"),
      series: Array.from({ length: SERIES }, (_, i) => read(`--series-${i}`)),
    };
  }
  return tokens;
}

export function forgetTokens() {
  tokens = null;
  colours = new Map();
}

/**
 * The colour of the n-th run: ten that colour-blind people can tell apart, then the same ones
 * darker, lighter, and after thirty any hue, always the same for the same number.
 * @param {number} number
 */
export function colourOf(number) {
  const known = colours.get(number);
  if (known) return known;
  const { series, text, surface } = readTokens();
  const base = series[number % SERIES];
  const cycle = Math.floor(number / SERIES);
  let colour = base;
  if (cycle === 1) colour = mix(base, text, 0.45);
  else if (cycle === 2) colour = mix(base, surface, 0.42);
  else if (cycle > 2) colour = mix(base, series[(number * 7 + cycle) % SERIES], 0.15 + 0.07 * (cycle % 10));
  colours.set(number, colour);
  return colour;
}

/** @param {string} one @param {string} other both `#rrggbb` @param {number} part of the other */
export function mix(one, other, part) {
  const [a, b] = [parseHex(one), parseHex(other)];
  return `#${a.map((value, i) => Math.round(value + (b[i] - value) * part).toString(16).padStart(2, "0")).join("")}`;
}

/** @param {string} text */
function parseHex(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

addEventListener("themechange", forgetTokens);
