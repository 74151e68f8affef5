// What a panel shows as a file.
import { say } from "../base/message.js";
import { make } from "../base/dom.js";

/** @typedef {import("../panels/host.js").PanelCard} PanelCard */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** @param {PanelCard} card @param {"png" | "svg"} type */
export async function savePicture(card, type) {
  const picture = await card.panel?.exportPicture(type);
  if (picture) saveFile(picture, `${fileName(card.title)}.${type}`);
  else say("This kind of panel has no picture to save.");
}

/** @param {PanelCard} card */
export function saveTable(card) {
  const table = card.panel?.exportRows();
  if (!table) return say("This kind of panel has no table to save.");
  const text = [table.columns, ...table.rows].map((row) => row.map(quote).join(",")).join("\n");
  saveFile(new Blob([text, "\n"], { type: "text/csv" }), `${fileName(card.title)}.csv`);
}

/** @param {Blob} blob @param {string} name */
function saveFile(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {string} title */
function fileName(title) {
  return title.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+/, "").slice(0, 80) || "panel";
}

/** A spreadsheet takes text that begins like a formula for one; as hpctrack_server/language/csv_text.py. @param {string | number | null} value */
function quote(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
