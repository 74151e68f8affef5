// Colours of values; all of them are in panels.css.
import { parseHex, token } from "../base/tokens.js";

const STOPS = 9;
export const PALETTES = [
  { value: "viridis", label: "Viridis" },
  { value: "viridis-r", label: "Viridis, small is bright" },
  { value: "plasma", label: "Plasma" },
  { value: "plasma-r", label: "Plasma, small is bright" },
  { value: "accent", label: "One colour" },
  { value: "diverging", label: "Blue to red" },
];

/** By theme and name: a heat map asks for every cell. @type {Map<string, number[][]>} */
const known = new Map();

/** The steps of a palette, each [red, green, blue]. @param {string} name @returns {number[][]} */
function stops(name) {
  const key = `${document.documentElement.dataset.theme} ${name}`;
  const before = known.get(key);
  if (before) return before;
  const plain = name.replace(/-r$/, "");
  let found = Array.from({ length: STOPS }, (_, i) => token(`--${plain}-${i}`)).filter(Boolean).map((one) => /** @type {number[]} */ (parseHex(one)));
  if (plain !== name) found.reverse();
  if (!found.length) found = [[120, 120, 120]];
  known.set(key, found);
  return found;
}

/** @param {string} name @param {number} part 0 to 1 @returns {number[]} red, green, blue */
export function mix(name, part) {
  const all = stops(name);
  const place = Math.min(Math.max(part, 0), 1) * (all.length - 1);
  const low = Math.min(Math.floor(place), Math.max(all.length - 2, 0));
  const high = all[Math.min(low + 1, all.length - 1)];
  return all[low].map((one, i) => Math.round(one + (high[i] - one) * (place - low)));
}

/** @param {string} name @param {number} part 0 to 1 */
export function ramp(name, part) {
  return `rgb(${mix(name, part).join(",")})`;
}

/** Black or white, whichever is read better on a colour. @param {number[]} rgb */
export function inkOn(rgb) {
  const [red, green, blue] = rgb.map((one) => (one / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.36 ? token("--ink-dark") : token("--ink-light");
}

/** For a background: a palette from left to right. @param {string} name */
export function gradient(name) {
  return `linear-gradient(to right, ${stops(name).map((one) => `rgb(${one.join(",")})`).join(", ")})`;
}

/** Of a loss or an error the small ones are what one looks for: they get the bright end. @param {string} key */
export function paletteFor(key) {
  return /loss|err|perplex|\bmae\b|\bmse\b|rmse/i.test(key) ? "viridis-r" : "viridis";
}
