// The overview: what was measured arrives later, tags and notes can be edited, and it stays current.
import "./copy.js";
import { apiAddress, getJson } from "../base/api.js";
import { byId, make } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { followRun } from "./follow.js";
import { showLocalLanes } from "./lanes.js";
import { watchWords } from "./words.js";

const PARTS = ["head", "notices", "state", "origin", "ranks", "losses", "tags", "summary", "family"];
const USAGE_REST_MS = 20_000;

const run = byId("run");
const parts = ["runs", run.dataset.project ?? "", run.dataset.run ?? ""];

/** @typedef {{label: string, text: string, source: string, frac: number | null, level: string}} Meter */

async function loadUsage() {
  const note = byId("usage-note");
  try {
    const { meters } = await getJson(apiAddress([...parts, "usage"]));
    byId("usage").replaceChildren(...meters.map(makeRow));
    note.textContent = meters.length || document.querySelector(".meters th") ? "" : "Nothing was measured on the nodes.";
  } catch (error) {
    note.textContent = error instanceof Error ? error.message : String(error);
  }
  note.hidden = !note.textContent;
  byId("efficiency").dataset.loading = "false";
}

/** @param {Meter} meter */
function makeRow({ label, text, source, frac, level }) {
  const bar = frac === null ? null : make("meter", { class: level, min: 0, max: 1, value: frac, "aria-label": label });
  return make("tr", {}, make("th", { scope: "row" }, label), make("td", { class: "meter-cell" }, bar), make("td", {}, text), make("td", { class: "muted" }, make("span", { class: "clip", title: source }, source)));
}

loadUsage();
watchWords();
showLocalLanes();

const remeasure = coalesce(loadUsage, USAGE_REST_MS);
followRun((change) => {
  if (change.live) remeasure();
  else loadUsage();
}, PARTS, { onFresh: showLocalLanes });
