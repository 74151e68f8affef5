// A run that cannot be read: what of its files is whole.
import "./copy.js";
import { apiAddress, getJson } from "../base/api.js";
import { byId, explain } from "../base/dom.js";
import { formatCount } from "../base/format.js";

const SHOWN = 4;
const root = byId("broken");

/** @typedef {{file: string, what: string, severity: string}} Finding */

async function check() {
  const state = byId("check-state");
  state.textContent = "looking …";
  try {
    const found = await getJson(apiAddress(["runs", root.dataset.project ?? "", root.dataset.run ?? "", "check"]));
    show(found.findings);
    state.textContent = found.points ? `${formatCount(found.points, "point")} can be read` : "";
  } catch (error) {
    state.textContent = "";
    byId("check-note").replaceChildren(...explain(error));
  }
}

/** @param {Finding[]} findings */
function show(findings) {
  for (const row of document.querySelectorAll("tr[data-file]")) {
    const mine = findings.filter((one) => one.file === /** @type {HTMLElement} */ (row).dataset.file);
    const cell = row.querySelector(".found");
    if (!cell) continue;
    const isBad = mine.some((one) => one.severity === "error");
    cell.textContent = mine.length ? mine.slice(0, SHOWN).map((one) => one.what).join("; ") : "whole";
    if (mine.length > SHOWN) cell.append(` and ${mine.length - SHOWN} more`);
    cell.className = `found ${isBad ? "drop" : "muted"}`;
  }
  byId("check-note").textContent = findings.filter((one) => !one.file).map((one) => one.what).join("; ");
}

check();
