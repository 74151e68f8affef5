// The page of one sweep: its charts, and how it stands while it runs.
import { apiAddress, getJson } from "../base/api.js";
import { byId, make } from "../base/dom.js";
import { coalesce, followProject } from "../base/live.js";
import { sayError } from "../base/message.js";
import { followButtons, refreshParts } from "./asking.js";
import { chooseAxes } from "./axes.js";
import { Details } from "./details.js";
import { drawCurves, drawFront, drawHistory, drawSlice } from "./drawings.js";
import { showImportance } from "./importance.js";
import { refreshPanels, showPanels } from "./panels.js";
import { Plot } from "./plot.js";
import { Timeline } from "./timeline.js";

/** Between two looks at a sweep whose runs report all the time. */
const REST_MS = 3000;
const POLL_MS = 20_000;
const SLICES_MAX = 12;
const SLICE_PX = 170;
const PLOT_PX = 240;

const root = byId("sweep");
const { project = "", sweep = "" } = root.dataset;
/** @type {Plot[]} */
const plots = [];
/** @type {import("../panels/panel.js").Panel[]} */
const panels = [];
/** @type {Timeline | null} */
let timeline = null;
/** @type {Details} */
let details;
const current = () => details;

async function askServer() {
  details = new Details(await getJson(apiAddress(["projects", project, "sweeps", sweep])));
}

/** It takes Optuna a while to load: the other charts do not wait for it. */
function askImportance() {
  getJson(apiAddress(["projects", project, "sweeps", sweep, "importance"]))
    .catch((error) => ({ error: error.message }))
    .then((found) => showImportance(byId("importance"), found));
}

/** @param {HTMLElement} card @returns {(details: Details) => import("./plot.js").Drawing} */
function chooseDrawing(card) {
  if (card.dataset.plot === "history") return drawHistory;
  if (card.dataset.plot === "curves") return drawCurves;
  const choice = chooseAxes(card, "front", details.metrics.map((one) => one.name), () => plots.forEach((one) => one.draw()));
  return (now) => drawFront(now, ...choice());
}

async function showPlots() {
  for (const card of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-plot]"))) {
    const plot = new Plot(/** @type {HTMLElement} */ (card.querySelector(".plot")), card.querySelector(".caption"), current, chooseDrawing(card));
    await plot.mount({ heightPx: PLOT_PX });
    plots.push(plot);
  }
}

/** @type {Set<string>} */
const sliced = new Set();

/** A parameter is worth a slice as soon as trials differ in it, which may be later. */
async function showSlices() {
  const box = byId("slices");
  const wanted = details.metric ? details.parameters : [];
  for (const { name } of wanted.filter((one) => !sliced.has(one.name)).slice(0, SLICES_MAX - sliced.size)) {
    sliced.add(name);
    const host = make("div", { class: "plot", role: "img" });
    box.append(make("div", { class: "slice" }, make("h3", { title: name }, make("bdi", {}, name)), host));
    const plot = new Plot(host, null, current, (now) => drawSlice(now, name));
    await plot.mount({ heightPx: SLICE_PX });
    plots.push(plot);
  }
  const more = wanted.length - sliced.size;
  byId("slices-caption").textContent = !sliced.size ? "nothing to compare yet" : more > 0 ? `${more.toLocaleString("en")} more parameters are not drawn` : "";
}

async function showAll() {
  if (!document.getElementById("slices")) return;
  await askServer();
  askImportance();
  await showPlots();
  await showSlices();
  timeline = new Timeline(byId("timeline"), current);
  await timeline.mount();
  panels.push(...(await showPanels(current)));
  root.dataset.ready = "true";
}

async function refresh() {
  const fresh = await refreshParts(root);
  // The first trial brings cards that this page does not have.
  if (fresh?.querySelector("#slices") && !document.getElementById("slices")) location.reload();
  if (!details) return;
  const before = details;
  await askServer();
  plots.forEach((one) => one.draw());
  await timeline?.update();
  await showSlices();
  // These look at every run: only when there is one more to see.
  if (before.told.over === details.told.over && before.runIds.length === details.runIds.length) return;
  askImportance();
  const there = [...panels];
  panels.push(...(await showPanels(current, there)));
  await refreshPanels(there);
}

followButtons(root, refresh);
addEventListener("themechange", () => [...plots, ...panels, timeline].forEach((one) => one?.repaint()));
showAll().catch(sayError);

const keepCurrent = coalesce(refresh, REST_MS);
/** @type {string | null} */
let version = null;
followProject(project, (change) => {
  if (version !== null && version !== change.version && root.dataset.ready) keepCurrent();
  version = change.version;
});
// Events are of runs. A trial that logs nothing, a trial that waits, a wish, and what a push from
// the sweep's cluster brings are files of the sweep, of which no event tells; they change seldom.
const RESTING = new Set(["finished", "stopped"]);
setInterval(() => {
  const isEnded = RESTING.has(root.dataset.state ?? "") && root.dataset.elsewhere !== "true";
  if (!isEnded && !document.hidden) keepCurrent();
}, POLL_MS);
