// The page of parallel coordinates: its address, colours, and the table of what is chosen.
import { address } from "../../base/api.js";
import { byId, later, make } from "../../base/dom.js";
import { formatCount } from "../../base/format.js";
import { coalesce, followProject } from "../../base/live.js";
import { sayError } from "../../base/message.js";
import { onPlaceChange, readPlace, writePlace } from "../../base/place.js";
import { colourOf, numberOfRun } from "../../base/tokens.js";
import { Defaults } from "../columns.js";
import { PALETTES } from "../palette.js";
import ParallelPanel from "../parallel.js";
import { escapePart, unescapePart } from "./brush.js";
import { RunTable } from "./table.js";

/** Addresses longer than this are cut by some proxies. */
const IDS_MAX = 200;
/** Thousands of runs are fetched anew: not for each point that one of them logs. */
const REFRESH_REST_MS = 10_000;
const page = byId("parallel");
const project = page.dataset.project ?? "";
/** @type {import("../panel.js").ColumnFacts[]} */
const columns = JSON.parse(page.dataset.columns ?? "[]");

/** A control of whatever sort. @param {string} name @returns {any} */
const control = (name) => byId(`parallel-${name}`);

// -- the address -------------------------------------------------------------------------------

/** @param {URLSearchParams} place @returns {import("../parallel.js").ParallelSettings} */
function readSettings(place) {
  const axes = (place.get("axes") ?? "").split(",").filter(Boolean).map((text) => {
    const [key, ...marks] = text.split("!");
    const scale = marks.find((one) => one === "log" || one === "linear") ?? "auto";
    return { key: unescapePart(key), flip: marks.includes("flip"), scale };
  });
  const brushes = (place.get("brush") ?? "").split(",").filter((one) => one.includes(":")).map((text) => {
    const at = text.indexOf(":");
    return [unescapePart(text.slice(0, at)), text.slice(at + 1)];
  });
  const number = (/** @type {string} */ name) => (place.get(name) && Number.isFinite(Number(place.get(name))) ? Number(place.get(name)) : null);
  return {
    axes, brushes: Object.fromEntries(brushes), color: place.get("color") ?? "", palette: place.get("palette") ?? "",
    low: number("low"), high: number("high"),
  };
}

/** @param {import("../parallel.js").ParallelSettings} settings @param {boolean} isStep */
function keepSettings(settings, isStep) {
  const axes = (settings.axes ?? []).map(({ key, flip, scale }) => {
    const marks = [flip ? "flip" : "", scale && scale !== "auto" ? scale : ""].filter(Boolean);
    return [escapePart(key), ...marks].join("!");
  });
  const brushes = Object.entries(settings.brushes ?? {}).map(([key, text]) => `${escapePart(key)}:${text}`);
  writePlace({
    axes: axes.join(","), brush: brushes.join(","), color: settings.color || null, palette: settings.palette || null,
    low: settings.low ?? null, high: settings.high ?? null,
  }, { isStep });
}

/** Which runs the page is about. @returns {import("../panel.js").Selection} */
function readSelection() {
  const place = readPlace();
  const runs = place.get("runs");
  if (runs) return { ids: runs.split(",") };
  const limit = Number(place.get("limit")) || 0;
  return { query: { filter: place.get("filter") ?? "", search: place.get("search") ?? "", sort: place.get("sort") ?? "", ...(limit ? { limit } : {}) } };
}

// -- the panel ---------------------------------------------------------------------------------

/** @type {((run: string | null) => void)[]} */
const highlights = [];
/** @type {import("../panel.js").PanelContext} */
const context = {
  project,
  selection: readSelection,
  colourOf: (run) => colourOf(numberOfRun(run)),
  nameOf: (run) => run,
  highlight: (run) => highlights.forEach((work) => work(run)),
  onHighlight: (work) => highlights.push(work),
  select: () => {},
  onSelect: () => {},
  // Parallel coordinates follow nothing that charts over steps share.
  shared: /** @type {any} */ ({}),
  hoverX: () => {},
  zoomX: () => {},
  metrics: [],
  columns,
};
const host = byId("parallel-panel");
const panel = new ParallelPanel(host, { id: "page", kind: "parallel", w: 12, h: 12, settings: readSettings(readPlace()) }, context);
const table = new RunTable(byId("parallel-table"), project, panel, (run) => context.highlight(run));
highlights.push((run) => table.highlight(run));

async function load() {
  const error = byId("parallel-error");
  try {
    await panel.load();
    error.hidden = true;
  } catch (problem) {
    if (/** @type {any} */ (problem).name === "AbortError") return;
    const { message, hint } = /** @type {any} */ (problem);
    error.hidden = false;
    error.replaceChildren(make("h2", {}, "These runs cannot be shown"), make("p", {}, [message, hint].filter(Boolean).join(" — ")));
    return;
  }
  show(false);
}

/** @param {boolean} isDragging */
function show(isDragging) {
  const total = panel.table?.ids.length ?? 0;
  const chosen = panel.chosen?.length ?? 0;
  byId("parallel-count").textContent = !panel.axes.length ? "" : chosen === total ? formatCount(total, "run") : `${chosen.toLocaleString("en")} of ${formatCount(total, "run")}`;
  if (isDragging) return;
  byId("parallel-caption").textContent = panel.describe();
  showControls(chosen, total);
  showLegend();
  byId("parallel-table").hidden = !panel.axes.length;
  if (panel.axes.length) table.show();
}

/** @param {number} chosen @param {number} total */
function showControls(chosen, total) {
  const isBrushed = chosen < total || panel.axes.some((one) => one.intervals.length);
  control("clear").disabled = !isBrushed;
  const place = readPlace();
  const ids = panel.chosenIds();
  const filter = [place.get("filter"), panel.filterText()].filter(Boolean).map((one, _, all) => (all.length > 1 ? `(${one})` : one)).join(" and ");
  const compare = ids.length <= IDS_MAX ? { runs: ids.join(",") } : { filter, search: place.get("search") };
  control("compare").href = address(["p", project, "compare"], compare);
  control("filter").href = address(["p", project, "runs"], { filter, search: place.get("search"), sort: place.get("sort") });
  control("filter").toggleAttribute("hidden", !panel.filterText());
  const shown = new Set(panel.axes.map((one) => one.key));
  control("add").replaceChildren(
    make("option", { value: "" }, "Add axis"),
    ...columns.filter((one) => !shown.has(one.key) && one.kind !== "list").map((one) => make("option", { value: one.key }, one.key)),
  );
  control("color").value = panel.colourKey;
  control("palette").value = panel.colouring?.palette ?? "viridis";
}

function showLegend() {
  const legend = byId("parallel-legend");
  const { colouring } = panel;
  for (const name of ["palette", "low", "high"]) control(name).disabled = !colouring?.isRamp;
  control("low").value = String(panel.settings.low ?? "");
  control("high").value = String(panel.settings.high ?? "");
  const bar = make("i", { class: "gradient" });
  if (colouring?.isRamp) {
    bar.style.background = colouring.gradient;
    control("low").placeholder = colouring.scale.format(colouring.low ?? NaN);
    control("high").placeholder = colouring.scale.format(colouring.high ?? NaN);
    legend.replaceChildren(bar);
  } else legend.replaceChildren(...(colouring ? [colouring.makeLegend()] : []));
}

function prepareControls() {
  const choosable = columns.filter((one) => one.kind !== "list");
  control("color").replaceChildren(...choosable.map((one) => make("option", { value: one.key }, one.key)));
  control("palette").replaceChildren(...PALETTES.map((one) => make("option", { value: one.value }, one.label)));
  control("color").addEventListener("change", () => panel.colourBy(control("color").value).catch(sayError));
  control("palette").addEventListener("change", () => change({ palette: control("palette").value }));
  for (const name of ["low", "high"]) {
    control(name).addEventListener("change", () => change({ [name]: control(name).value === "" ? null : Number(control(name).value) }));
  }
  control("add").addEventListener("change", () => {
    const key = control("add").value;
    if (key) panel.add(key).catch(sayError);
  });
  control("clear").addEventListener("click", () => panel.clearBrushes());
}

/** @param {import("../parallel.js").ParallelSettings} changes */
function change(changes) {
  Object.assign(panel.settings, changes);
  panel.repaint();
  keepSettings(panel.settings, true);
}

prepareControls();
if (new Defaults(columns).columns.length) load().catch(sayError);
host.addEventListener("choose", (event) => show(/** @type {CustomEvent} */ (event).detail.isDragging));
host.addEventListener("panelchange", () => keepSettings(panel.settings, true));
onPlaceChange((place) => {
  panel.spec.settings = readSettings(place);
  load().catch(sayError);
});
addEventListener("themechange", () => panel.repaint());
const resize = later(() => panel.resize(), 120);
new ResizeObserver(resize).observe(host);
// Runs that go on; but nothing is taken out of the reader's hand.
const isHeld = () => host.contains(document.activeElement) || host.querySelector(".brushing, .dragged") !== null;
let isOld = false;
const refresh = coalesce(async () => {
  isOld = isHeld();
  if (!isOld) await load();
}, REFRESH_REST_MS);
for (const name of ["focusout", "pointerup"]) addEventListener(name, () => isOld && setTimeout(refresh));
let { version } = page.dataset;
followProject(project, (change) => {
  if (change.version === version) return;
  version = change.version;
  refresh();
});
