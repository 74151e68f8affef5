// The box beside the pointer: values in order. Names come from users, so they are text, never HTML.
import { make } from "./dom.js";
import { formatNumber } from "./format.js";

const ROWS_MAX = 13;
const GAP_PX = 16;
const LABEL_MAX_CHARS = 60;

/**
 * @typedef {object} TipRow
 * @property {string} label
 * @property {number} value
 * @property {string} colour
 * @property {boolean} [isNear] the pointer is nearest to it
 * @property {number} [raw] the value before smoothing
 * @property {number} [low] of a group
 * @property {number} [high]
 */

const box = () => document.getElementById("tip");

/**
 * @param {{clientX: number, clientY: number}} event
 * @param {string} title
 * @param {string} where
 * @param {TipRow[]} rows in order; those around the nearest are shown
 */
export function showTip(event, title, where, rows) {
  const tip = box();
  if (!tip) return;
  const table = make("table");
  const near = Math.max(rows.findIndex((row) => row.isNear), 0);
  const first = Math.max(0, Math.min(near - Math.floor(ROWS_MAX / 2), rows.length - ROWS_MAX));
  table.append(...rows.slice(first, first + ROWS_MAX).map(makeRow));
  tip.replaceChildren(make("header", {}, make("b", {}, make("bdi", {}, title)), make("span", {}, where)), table);
  const hidden = rows.length - table.rows.length;
  if (hidden > 0) tip.append(make("footer", {}, `${hidden} more`));
  tip.hidden = false;
  place(tip, event);
}

export function hideTip() {
  const tip = box();
  if (tip) tip.hidden = true;
}

/** @param {TipRow} row */
function makeRow(row) {
  const key = make("i");
  key.style.background = row.colour;
  const beside = row.raw !== undefined
    ? formatNumber(row.raw)
    : row.low !== undefined && row.high !== undefined ? `${formatNumber(row.low)} – ${formatNumber(row.high)}` : "";
  return make("tr", { class: row.isNear ? "near" : "" },
    make("td", {}, key),
    make("td", {}, make("bdi", {}, row.label.slice(0, LABEL_MAX_CHARS))),
    beside ? make("td", { class: "beside" }, beside) : null,
    make("td", {}, formatNumber(row.value)));
}

/** @param {HTMLElement} tip @param {{clientX: number, clientY: number}} event */
function place(tip, event) {
  const { offsetWidth: width, offsetHeight: height } = tip;
  const isAtEdge = event.clientX + GAP_PX + width > innerWidth - 8;
  const left = isAtEdge ? event.clientX - GAP_PX - width : event.clientX + GAP_PX;
  const top = Math.min(event.clientY + GAP_PX, innerHeight - height - 8);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${Math.max(top, 4)}px`;
}
