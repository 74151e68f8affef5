// @ts-nocheck until its next change
// The box beside the pointer: values in order. Names come from users, so they are text, never HTML.
import { formatNumber } from "./format.js";

const ROWS_MAX = 11;
const GAP_PX = 16;
const tip = document.getElementById("tip");

export function showTip(event, title, where, rows) {
  const head = make("header", "", make("b", title), make("span", where));
  const table = document.createElement("table");
  const near = Math.max(rows.findIndex((row) => row.isNear), 0);
  const first = Math.max(0, Math.min(near - Math.floor(ROWS_MAX / 2), rows.length - ROWS_MAX));
  for (const row of rows.slice(first, first + ROWS_MAX)) table.append(makeRow(row));
  tip.replaceChildren(head, table);
  const hidden = rows.length - table.rows.length;
  if (hidden > 0) tip.append(make("footer", `${hidden} more`));
  tip.hidden = false;
  place(event);
}

export function hideTip() {
  tip.hidden = true;
}

function makeRow(row) {
  const line = document.createElement("tr");
  const key = document.createElement("i");
  key.style.background = row.colour;
  line.className = row.isNear ? "near" : "";
  line.append(make("td", "", key), make("td", row.label), make("td", formatNumber(row.value)));
  return line;
}

function make(name, text, ...children) {
  const element = document.createElement(name);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function place(event) {
  const { offsetWidth: width, offsetHeight: height } = tip;
  const isAtEdge = event.clientX + GAP_PX + width > innerWidth - 8;
  const left = isAtEdge ? event.clientX - GAP_PX - width : event.clientX + GAP_PX;
  const top = Math.min(event.clientY + GAP_PX, innerHeight - height - 8);
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${Math.max(top, 4)}px`;
}
