// The table of runs: what is clicked is an address, and the address says everything.
import { coalesce, followProject } from "../base/live.js";
import { tendCells } from "./cells.js";
import { tendColumns } from "./columns.js";
import { tendMenus } from "./dialog.js";
import { tendFilter } from "./filter.js";
import { tendGroups } from "./groups.js";
import { tendKeys } from "./keys.js";
import { addressWith, currentPlace, facts, joinKeys, project, splitKeys } from "./place.js";
import { go, refresh } from "./refresh.js";
import { tendSelection } from "./selection.js";
import { tendSparks } from "./sparks.js";
import { tendViews } from "./views.js";

const REST_MS = 1500;
/** A live project changes twice a second; whoever reads a table does not. */

tendMenus();
tendFilter();
tendSelection();
tendCells();
tendColumns();
tendGroups();
tendViews();
tendSparks();
tendKeys();

addEventListener("click", (event) => {
  const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest('#runs a[href^="?"]'));
  if (!link || event.ctrlKey || event.metaKey || event.button) return;
  event.preventDefault();
  const head = /** @type {HTMLElement | null} */ (link.closest("th[data-key]"));
  if (event.shiftKey && head) go(addressWith({ sort: addSortKey(head) }));
  else go(link.getAttribute("href") ?? "?");
});

/**
 * The order with one more key; the other way round if it is there already.
 * @param {HTMLElement} head
 */
function addSortKey({ dataset: { key = "", kind = "" } }) {
  const before = splitKeys(currentPlace().sort || "-created");
  const at = before.findIndex((one) => one.replace(/^[+-]/, "") === key);
  if (at < 0) return joinKeys([...before, ["number", "time", "duration"].includes(kind) ? `-${key}` : key]);
  before[at] = before[at].startsWith("-") ? key : `-${key}`;
  return joinKeys(before);
}

document.addEventListener("change", (event) => {
  const target = /** @type {HTMLSelectElement} */ (event.target);
  if (target.id === "row-count") go(addressWith({ rows: target.value === "50" ? "" : target.value }));
});

addEventListener("popstate", () => go(location.href, { history: "none" }));

const grid = () => document.getElementById("grid");
document.addEventListener("scroll", () => grid()?.classList.toggle("is-moved", (grid()?.scrollLeft ?? 0) > 0), { capture: true, passive: true });

const keepCurrent = coalesce(refresh, REST_MS);
followProject(project(), (change) => {
  if (change.version !== facts().dataset.version) keepCurrent();
});
