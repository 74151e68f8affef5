// @ts-nocheck until its next change
// The page of a run: its controls, its charts, and what changes while it runs.
import { Chart, forgetColours } from "./chart.js";
import { apiAddress } from "../base/api.js";
import { coalesce, listen, refreshParts } from "../base/live.js";

const root = document.getElementById("run");
const grid = document.getElementById("charts");
const reset = document.getElementById("reset");
const rankField = document.getElementById("rank-field");
const rankInput = document.getElementById("rank");
const PARTS = ["head", "notices", "ranks", "summary", "config", "facts", "no-metrics"];
const REFRESH_REST_MS = 900;
const size = Number(root.dataset.size);
const address = new URLSearchParams(location.search);
const path = apiAddress(["runs", root.dataset.project, root.dataset.run]);
const charts = new Map();

const state = {
  view: size > 1 ? oneOf(address.get("view"), ["rank", "all", "band"], "band") : "rank",
  rank: Math.min(Math.max(parseInt(address.get("rank"), 10) || 0, 0), size - 1),
  x: oneOf(address.get("x"), ["step", "time"], "step"),
  zoom: null,
};

const page = {
  path, size, state, onZoom, onHover,
  figure: fetch(document.getElementById("run-charts").dataset.figure).then((answer) => answer.text()),
};

function oneOf(value, known, fallback) {
  return known.includes(value) ? value : fallback;
}

// -- charts --------------------------------------------------------------------------------------

const mounting = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const chart = charts.get(target);
    chart.isVisible = isIntersecting;
    if (isIntersecting) show(chart);
  }
}, { rootMargin: "300px" });

async function show(chart) {
  chart.mounted ??= chart.mount();
  await chart.mounted;
  if (chart.isStale) await chart.load();
}

function addCharts() {
  for (const card of grid.querySelectorAll(".chart")) {
    if (charts.has(card)) continue;
    charts.set(card, new Chart(card, page));
    mounting.observe(card);
  }
}

// What can be seen is loaded now, the rest when it is scrolled to.
function reload(changed = null) {
  for (const chart of charts.values()) {
    if (changed && !changed.has(chart.metric)) continue;
    chart.isStale = true;
    if (chart.isVisible) show(chart);
  }
}

function onZoom(zoom) {
  if (!zoom && !state.zoom) return;
  state.zoom = zoom;
  reset.disabled = !zoom;
  for (const chart of charts.values()) {
    if (zoom && chart.isMounted) chart.model.x_range.setv({ start: zoom[0], end: zoom[1] });
  }
  reload();
}

function onHover(x) {
  for (const chart of charts.values()) {
    if (chart.isMounted && chart.isVisible) chart.crosshair.location = x;
  }
}

// -- controls ------------------------------------------------------------------------------------

function showState() {
  for (const name of ["view", "x"]) {
    const input = document.querySelector(`input[name="${name}"][value="${state[name]}"]`);
    if (input) input.checked = true;
  }
  if (rankInput) {
    rankInput.value = state.rank;
    rankField.hidden = state.view !== "rank";
  }
  const url = new URL(location);
  const defaults = { view: size > 1 ? "band" : "rank", rank: 0, x: "step" };
  for (const [name, value] of Object.entries(defaults)) {
    const isShown = state[name] !== value && (name !== "rank" || state.view === "rank");
    if (isShown) url.searchParams.set(name, state[name]);
    else url.searchParams.delete(name);
  }
  history.replaceState(null, "", url);
}

document.addEventListener("change", ({ target }) => {
  if (target.name === "view") state.view = target.value;
  else if (target.name === "x") {
    state.x = target.value;
    state.zoom = null; // steps mean nothing on a time axis
    reset.disabled = true;
  } else if (target === rankInput) state.rank = Math.min(Math.max(Number(target.value) || 0, 0), size - 1);
  else return;
  showState();
  reload();
});
reset.addEventListener("click", () => onZoom(null));
addEventListener("themechange", () => {
  forgetColours();
  for (const chart of charts.values()) chart.repaint();
});

// -- live ----------------------------------------------------------------------------------------

const refreshPage = coalesce(async () => {
  const fresh = await refreshParts(PARTS);
  if (!fresh) return;
  const known = new Set([...charts.values()].map((chart) => chart.metric));
  for (const card of fresh.querySelectorAll("#charts .chart")) {
    if (!known.has(card.dataset.metric)) grid.append(document.importNode(card, true));
  }
  addCharts();
}, REFRESH_REST_MS);

let changedMetrics = new Set();
const refreshCharts = coalesce(async () => {
  const changed = changedMetrics;
  changedMetrics = new Set();
  const seen = [...charts.values()].filter((chart) => changed.has(chart.metric));
  for (const chart of seen) chart.isStale = true;
  await Promise.all(seen.filter((chart) => chart.isVisible).map(show));
}, 100);

showState();
addCharts();

if (root.dataset.live === "true") {
  let isFirst = true;
  const stop = listen(`${path}/events`, (change) => {
    // The first event says how things stand: what changed before it is not known.
    const isBehind = isFirst && String(change.version) !== root.dataset.version;
    isFirst = false;
    if (isBehind || !change.live) reload();
    for (const metric of change.changed) changedMetrics.add(metric);
    if (changedMetrics.size) refreshCharts();
    refreshPage();
    root.dataset.live = String(change.live);
    if (!change.live) stop();
  });
}
