// The System tab: sensors in groups, each a panel; time, zoom and crosshair are shared.
import { apiAddress, getJson } from "../base/api.js";
import { byId, make } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { followRun } from "../run/follow.js";
import { showEnergy } from "./energy.js";
import { SensorPanel } from "./sensor.js";
import { Tip } from "./tip.js";

const REFRESH_REST_MS = 3000;
const AHEAD = "300px";
const ENERGY_AFTER_MS = 800;
const MARKS_SHOWN = 40;

const page = byId("run");
const tab = byId("system-tab");
const run = [page.dataset.project ?? "", page.dataset.run ?? ""];
const hostField = /** @type {HTMLSelectElement} */ (byId("host"));
const deviceField = /** @type {HTMLSelectElement} */ (byId("device"));
const resetButton = /** @type {HTMLButtonElement} */ (byId("reset"));
const groupsBox = byId("groups");
const marksBox = byId("marks");

/** @type {Map<string, SensorPanel>} */
const panels = new Map();
const tip = new Tip();
/** @type {any} */
let about = { devices: [], hosts: [], groups: [], marks: [] };

/** @type {import("./sensor.js").SystemView} */
const view = {
  run, host: "", device: "", how: "mean", isWall: false, zoom: null, zeroMs: 0, marks: [],
  onZoom: (zoom) => {
    writePlace(zoom ? { x0: Math.round(zoom[0] * 10) / 10, x1: Math.round(zoom[1] * 10) / 10 } : { x0: null, x1: null }, { isStep: true });
    readView();
    reload();
  },
  onHover: (at) => {
    for (const panel of panels.values()) panel.point(at);
  },
};

function readView() {
  const place = readPlace();
  const [x0, x1] = [Number(place.get("x0")), Number(place.get("x1"))];
  view.zoom = place.has("x0") && place.has("x1") && x1 > x0 ? [x0, x1] : null;
  view.host = place.get("host") ?? "";
  view.device = place.get("device") ?? "";
  view.how = place.get("how") ?? "mean";
  view.isWall = place.get("x") === "wall";
  resetButton.disabled = !view.zoom;
  hostField.value = view.host;
  fillDevices();
  for (const [name, value] of [["how", view.how], ["x", view.isWall ? "wall" : "relative"]]) {
    const input = document.querySelector(`input[name="${name}"][value="${CSS.escape(value)}"]`);
    if (input) /** @type {HTMLInputElement} */ (input).checked = true;
  }
}

function fillDevices() {
  const known = about.devices.filter((/** @type {any} */ one) => one.host === view.host);
  deviceField.replaceChildren(make("option", { value: "" }, "all of its devices"), ...known.map((/** @type {any} */ one) =>
    make("option", { value: one.key }, `${one.kind} ${one.name ? `${one.name} ` : ""}${one.key}`.slice(0, 80))));
  deviceField.value = view.device;
  byId("device-field").hidden = !view.host || !known.length;
}

function reload() {
  for (const panel of panels.values()) panel.load();
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const panel = panels.get(/** @type {HTMLElement} */ (entry.target).dataset.sensor ?? "");
    if (!panel) continue;
    if (entry.isIntersecting && !panel.isVisible) panel.show();
  }
}, { rootMargin: AHEAD });

function drawGroups() {
  for (const group of about.groups) {
    let section = document.getElementById(`group-${group.key}`);
    if (!section) {
      section = make("section", { class: "system-group", id: `group-${group.key}`, "aria-label": group.title },
        make("h2", {}, group.title, make("span", { class: "muted" }, String(group.sensors.length))), make("div", { class: "sensors" }));
      groupsBox.append(section);
      byId("jump").append(make("a", { class: "button", href: `#group-${group.key}` }, group.title));
    }
    section.classList.toggle("single", group.sensors.length === 1);
    for (const sensor of group.sensors) if (!panels.has(sensor.name)) addPanel(/** @type {HTMLElement} */ (section.querySelector(".sensors")), sensor);
  }
}

/** @param {HTMLElement} box @param {{name: string, unit: string}} sensor */
function addPanel(box, sensor) {
  const card = make("article", { class: "card sensor", "data-sensor": sensor.name, "aria-label": sensor.name },
    make("header", {}, make("h3", {}, sensor.name)),
    make("div", { class: "plot", role: "img", "aria-label": sensor.name }),
    make("div", { class: "legend" }), make("p", { class: "caption" }, "\u00a0"));
  box.append(card);
  panels.set(sensor.name, new SensorPanel(card, sensor, view, tip));
  watcher.observe(card);
}

function drawMarks() {
  const colours = { bad: "var(--bad)", warn: "var(--warn)", attempt: "var(--accent)", limit: "var(--bad)" };
  const lines = about.marks.slice(0, MARKS_SHOWN).map((/** @type {any} */ one) => {
    const dot = make("i", {});
    dot.style.background = colours[/** @type {"bad"} */ (one.kind)] ?? "var(--muted)";
    return make("li", {}, dot, `${Math.round(one.at).toLocaleString("en")} s: `, make("bdi", {}, one.text));
  });
  marksBox.hidden = !lines.length;
  byId("mark-count").textContent = about.marks.length === 1 ? "1 event is marked in the charts" : `${about.marks.length} events are marked in the charts`;
  byId("mark-list").replaceChildren(...lines);
  if (about.marks.length > MARKS_SHOWN) byId("mark-list").append(make("li", { class: "muted" }, `and ${about.marks.length - MARKS_SHOWN} more`));
}

async function begin() {
  try {
    about = await getJson(apiAddress(["runs", ...run, "system"]));
  } catch (error) {
    const { message, hint } = /** @type {any} */ (error);
    groupsBox.replaceChildren(make("section", { class: "card empty" }, make("h2", {}, "This cannot be read"), make("p", {}, [message, hint].filter(Boolean).join(" \u2014 "))));
    tab.dataset.ready = "failed";
    return;
  }
  view.zeroMs = about.created * 1000 - new Date(about.created * 1000).getTimezoneOffset() * 60000;
  view.marks = about.marks;
  hostField.replaceChildren(make("option", { value: "" }, about.hosts.length > 1 ? `all ${about.hosts.length.toLocaleString("en")} hosts` : "the host"), ...about.hosts.map((/** @type {string} */ one) => make("option", { value: one }, one)));
  readView();
  drawGroups();
  drawMarks();
  byId("nothing").hidden = about.groups.length > 0;
  byId("energy").hidden = !about.groups.length;
  byId("energy").classList.toggle("metered", about.groups.some((/** @type {any} */ one) => one.key === "power"));
  tab.dataset.ready = "true";
  // All samples of all meters: the charts that are seen come first.
  if (about.groups.length) setTimeout(() => showEnergy(byId("energy"), run), ENERGY_AFTER_MS);
}

// -- controls ------------------------------------------------------------------------------------

hostField.addEventListener("change", () => {
  writePlace({ host: hostField.value, device: null }, { isStep: true });
  readView();
  reload();
});
deviceField.addEventListener("change", () => {
  writePlace({ device: deviceField.value }, { isStep: true });
  readView();
  reload();
});
for (const input of document.querySelectorAll('input[name="how"], input[name="x"]')) {
  const { name, value } = /** @type {HTMLInputElement} */ (input);
  input.addEventListener("change", () => {
    writePlace({ [name]: value }, { isStep: true });
    readView();
    reload();
  });
}
resetButton.addEventListener("click", () => view.onZoom(null));
onPlaceChange(() => {
  readView();
  reload();
});
addEventListener("themechange", () => {
  for (const panel of panels.values()) panel.repaint();
});

begin();

followRun(
  coalesce(async () => {
    const fresh = await getJson(apiAddress(["runs", ...run, "system"]));
    about = fresh;
    view.marks = fresh.marks;
    drawGroups();
    drawMarks();
    byId("nothing").hidden = about.groups.length > 0;
    if (!view.zoom) reload();
  }, REFRESH_REST_MS),
);
