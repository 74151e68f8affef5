// Arithmetic of the grid: how many columns, how wide, what moves where. Pure.

/** @typedef {import("../panels/panel.js").PanelSpec} PanelSpec */

/** Panels are laid out in their order; a width is in twelfths of a screen of ordinary size. */
const ROW_PX = 40;
const WIDE_ROW_PX = 52;
export const GAP_PX = 12;
const W_MIN = 2;
const W_MAX = 12;
const H_MIN = 3;
const H_MAX = 30;

/**
 * Columns of a grid: 12, and more where a half would be wider than anybody draws a curve.
 * @param {number} widthPx
 */
export function columnsFor(widthPx) {
  if (widthPx < 640) return 6;
  if (widthPx < 1500) return 12;
  if (widthPx < 2400) return 18;
  return 24;
}

/** Higher on a wide screen, whose panels are wider too. @param {number} columns */
export function rowFor(columns) {
  return columns > 18 ? WIDE_ROW_PX : ROW_PX;
}

/** @param {PanelSpec} spec @param {number} columns */
export function spanOf(spec, columns) {
  const { w, h } = clampSize(spec.w, spec.h);
  return { w: Math.min(w, columns), h };
}

/** @param {number} w @param {number} h */
export function clampSize(w, h) {
  const whole = (/** @type {number} */ value, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ otherwise) => (Number.isFinite(value) ? Math.max(low, Math.min(high, Math.round(value))) : otherwise);
  return { w: whole(w, W_MIN, W_MAX, 6), h: whole(h, H_MIN, H_MAX, 7) };
}

/**
 * The size after a drag of the corner.
 * @param {{w: number, h: number}} size before
 * @param {number} dx @param {number} dy pixels
 * @param {{column: number, row: number}} unit width of a column with its gap, and height of a row
 */
export function resized(size, dx, dy, unit) {
  return clampSize(size.w + dx / unit.column, size.h + dy / unit.row);
}

/**
 * A list with one entry at another place.
 * @template Entry @param {Entry[]} list @param {number} from @param {number} to
 */
export function moved(list, from, to) {
  const rest = list.filter((_, i) => i !== from);
  const place = Math.max(0, Math.min(rest.length, to));
  return [...rest.slice(0, place), list[from], ...rest.slice(place)];
}

/**
 * Where a dragged card goes: before or behind the card that the pointer is over.
 * @param {{left: number, right: number, top: number, bottom: number}} box of that card
 * @param {number} x @param {number} y
 * @returns {"before" | "after"}
 */
export function sideOf(box, x, y) {
  // Beside it counts within a row; above or below it, at its edges.
  const [fx, fy] = [(x - box.left) / (box.right - box.left), (y - box.top) / (box.bottom - box.top)];
  if (fy < 0.2) return "before";
  if (fy > 0.8) return "after";
  return fx < 0.5 ? "before" : "after";
}
