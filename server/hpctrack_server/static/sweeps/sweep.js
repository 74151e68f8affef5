// The page of one sweep: its charts, and how it stands while it runs.
import { apiAddress, getJson } from "../base/api.js";
import { byId, make } from "../base/dom.js";
import { sayError } from "../base/message.js";
import { followButtons, refreshParts } from "./asking.js";
import { Details } from "./details.js";
import { drawCurves, drawFront, drawHistory, drawSlice } from "./drawings.js";
import { showImportance } from "./importance.js";
import { showPanels } from "./panels.js";
import { Plot } from "./plot.js";
import { showTimeline } from "./timeline.js";

const REFRESH_MS = 5000;
const SLICES_MAX = 12;
const SLICE_PX = 170;
const PLOT_PX = 240;

const root = byId("sweep");
/** @type {(Plot | import("../panels/panel.js").Panel)[]} */
const drawn = [];
/** @type {Details} */
let details;

/** @type {Record<string, (details: Details) => import("./plot.js").Drawing>} */
const DRAWINGS = { history: drawHistory, curves: drawCurves, front: drawFront };

function askServer() {
  const { project = "", sweep = "" } = root.dataset;
  return getJson(apiAddress(["projects", project, "sweeps", sweep]));
}

/** It takes Optuna a while to load: the other charts do not wait for it. */
function askImportance() {
  const { project = "", sweep = "" } = root.dataset;
  getJson(apiAddress(["projects", project, "sweeps", sweep, "importance"]))
    .catch((error) => ({ error: error.message }))
    .then((found) => showImportance(byId("importance"), found));
}

async function showPlots() {
  for (const card of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-plot]"))) {
    const draw = DRAWINGS[card.dataset.plot ?? ""];
    const host = /** @type {HTMLElement} */ (card.querySelector(".plot"));
    const plot = new Plot(host, card.querySelector(".caption"), () => draw(details));
    await plot.mount({ heightPx: PLOT_PX });
    drawn.push(plot);
  }
}

async function showSlices() {
  const box = byId("slices");
  const shown = details.metric ? details.parameters.slice(0, SLICES_MAX) : [];
  for (const axis of shown) {
    const host = make("div", { class: "plot", role: "img" });
    box.append(make("div", { class: "slice" }, make("h3", { title: axis.name }, make("bdi", {}, axis.name)), host));
    const plot = new Plot(host, null, () => drawSlice(details, details.parameters.find((one) => one.name === axis.name) ?? axis));
    await plot.mount({ heightPx: SLICE_PX });
    drawn.push(plot);
  }
  if (!shown.length) box.append(make("p", { class: "muted none" }, "nothing to compare yet"));
  if (details.parameters.length > shown.length && shown.length) box.append(make("p", { class: "muted none" }, `${details.parameters.length - shown.length} more parameters are not drawn`));
}

async function showAll() {
  if (!document.getElementById("slices")) return;
  details = new Details(await askServer());
  askImportance();
  await showPlots();
  await showSlices();
  const timeline = await showTimeline(byId("timeline"), details);
  if (timeline) drawn.push(timeline);
  drawn.push(...(await showPanels(details)));
  root.dataset.ready = "true";
}

async function refresh() {
  const hadCharts = !!document.getElementById("slices");
  await refreshParts(root);
  if (!hadCharts || !details) return;
  details = new Details(await askServer());
  askImportance();
  for (const one of drawn) if (one instanceof Plot) one.draw();
}

followButtons(root, refresh);
addEventListener("themechange", () => drawn.forEach((one) => one.repaint()));
showAll().catch(sayError);

// A sweep changes when its trials do, and its page is looked at by few: it asks now and then.
const RESTING = new Set(["finished", "stopped"]);
setInterval(() => {
  if (!RESTING.has(root.dataset.state ?? "") && !document.hidden) refresh().catch(() => {});
}, REFRESH_MS);
