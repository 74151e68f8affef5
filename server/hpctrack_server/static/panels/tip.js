// The box beside the pointer on panels: names and values, which are text, never HTML.
import { make } from "../base/dom.js";

const GAP_PX = 16;
const EDGE_PX = 8;
const ROWS_MAX = 14;

/** @type {HTMLElement | null} */
let box = null;

/**
 * @param {PointerEvent | MouseEvent} event @param {string} title @param {string} where
 * @param {{label: string, value: string, colour?: string, isNear?: boolean}[]} rows
 */
export function showTip(event, title, where, rows) {
  if (!box) {
    box = make("div", { class: "tip panel-tip" });
    document.body.append(box);
  }
  const table = make("table");
  for (const row of rows.slice(0, ROWS_MAX)) {
    const key = make("i");
    key.style.background = row.colour ?? "transparent";
    table.append(make("tr", { class: row.isNear ? "near" : null }, make("td", {}, key), make("td", {}, row.label), make("td", {}, row.value)));
  }
  const head = make("header", {}, make("b", {}, make("bdi", {}, title)), make("span", {}, where));
  const more = rows.length > ROWS_MAX ? make("footer", {}, `${rows.length - ROWS_MAX} more`) : null;
  box.replaceChildren(head, table, ...(more ? [more] : []));
  box.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = box;
  const isAtEdge = event.clientX + GAP_PX + width > innerWidth - EDGE_PX;
  const left = isAtEdge ? event.clientX - GAP_PX - width : event.clientX + GAP_PX;
  box.style.left = `${Math.max(left, 4)}px`;
  box.style.top = `${Math.max(Math.min(event.clientY + GAP_PX, innerHeight - height - EDGE_PX), 4)}px`;
}

export function hideTip() {
  if (box) box.hidden = true;
}
