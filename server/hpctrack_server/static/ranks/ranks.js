// The Ranks tab: what is shown is in the address, and everything follows it.
import { byId, later } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { followRun } from "../run/follow.js";
import { Heatmap } from "./heatmap.js";
import { Inspector } from "./inspect.js";
import { NodeMap } from "./nodes.js";
import { consoleOf, showStragglers } from "./stragglers.js";

const REFRESH_REST_MS = 2000;
const PAN_FRAC = 0.25;
const ZOOM_FACTOR = 2;
const CURSOR_PX = 8;

const page = byId("run");
const tab = byId("ranks-tab");
const run = [page.dataset.project ?? "", page.dataset.run ?? ""];
const card = byId("matrix");
const metricField = /** @type {HTMLSelectElement} */ (byId("metric"));
const sortField = /** @type {HTMLSelectElement} */ (byId("sort"));
const lowField = /** @type {HTMLInputElement} */ (byId("low"));
const highField = /** @type {HTMLInputElement} */ (byId("high"));
const slowField = /** @type {HTMLSelectElement} */ (byId("slow"));
const betterField = /** @type {HTMLSelectElement} */ (byId("better"));
const paintField = /** @type {HTMLSelectElement} */ (byId("paint"));
const resetButton = /** @type {HTMLButtonElement} */ (byId("reset"));

/** @returns {import("./heatmap.js").View} */
function readView() {
  const place = readPlace();
  const number = (/** @type {string} */ name) => {
    const text = place.get(name);
    const found = Number(text);
    return text === null || text === "" || !Number.isFinite(found) ? null : found;
  };
  return {
    metric: metricField.value, how: place.get("how") ?? "max", sort: place.get("sort") ?? "rank",
    x0: number("x0"), x1: number("x1"), r0: number("r0"), r1: number("r1"), low: number("low"), high: number("high"),
  };
}

function showControls() {
  const view = readView();
  const how = document.querySelector(`input[name="how"][value="${CSS.escape(view.how)}"]`);
  if (how) /** @type {HTMLInputElement} */ (how).checked = true;
  sortField.value = view.sort;
  lowField.value = view.low === null ? "" : String(view.low);
  highField.value = view.high === null ? "" : String(view.high);
  resetButton.disabled = [view.x0, view.x1, view.r0, view.r1].every((one) => one === null);
}

/** @param {Record<string, string | number | null>} changes */
function change(changes) {
  writePlace(changes, { isStep: true });
  showControls();
  inspector.hide();
  heatmap.load(readView());
}

const zoomOut = { x0: null, x1: null, r0: null, r1: null };
const inspector = new Inspector(run, byId("speech"));
const heatmap = new Heatmap(card, run, {
  onZoom: (zoom) => {
    if (!zoom) return change(zoomOut);
    const rounded = Object.fromEntries(Object.entries(zoom).map(([name, value]) => [name, typeof value === "number" ? Math.round(value * 100) / 100 : value]));
    return change(rounded);
  },
  onHover: (pixel, event) => {
    heatmap.point(pixel?.x ?? null, pixel?.y ?? null);
    inspector.look(pixel, event, readView());
    cursor = pixel;
  },
});

/** @param {number[]} ranks @param {number | null} step */
function lookAt(ranks, step) {
  const { head } = heatmap;
  if (!head) return;
  const [first, last] = [Math.min(...ranks), Math.max(...ranks)];
  const room = Math.max(4, last - first + 1);
  const wide = head.end - head.begin;
  const [x0, x1] = step === null ? [null, null] : [Math.max(head.begin, step - wide / 10), Math.min(head.end, step + wide / 10)];
  metricField.value = slowField.value || metricField.value;
  change({ sort: null, r0: Math.max(0, first - room), r1: last + 1 + room, x0, x1, metric: metricField.value });
  card.scrollIntoView({ block: "start" });
}

const nodeMap = new NodeMap(byId("nodes-card"), run, (node) => {
  if (!node?.ranks.length) return change({ r0: null, r1: null });
  const numbers = node.ranks.map((one) => one[0]);
  const first = Math.min(...numbers);
  // Only neighbours can be seen alone: by host they always are.
  const isTogether = Math.max(...numbers) - first + 1 === numbers.length;
  if (isTogether) return change({ sort: null, r0: first, r1: first + numbers.length });
  const { nodes } = nodeMap;
  const before = nodes.slice(0, nodes.indexOf(node)).reduce((sum, one) => sum + one.ranks.length, 0);
  return change({ sort: "host", r0: before, r1: before + numbers.length });
});

function showVerdict() {
  return showStragglers(byId("verdict"), run, { metric: slowField.value, better: betterField.value }, lookAt);
}

// -- controls ------------------------------------------------------------------------------------

metricField.addEventListener("change", () => {
  change({ metric: metricField.value, low: null, high: null });
  if (paintField.value) nodeMap.load(metricField.value);
});
for (const input of document.querySelectorAll('input[name="how"]')) {
  input.addEventListener("change", () => change({ how: /** @type {HTMLInputElement} */ (input).value }));
}
sortField.addEventListener("change", () => change({ sort: sortField.value, r0: null, r1: null }));
const changeLimits = later(() => change({ low: lowField.value, high: highField.value }), 350);
lowField.addEventListener("input", changeLimits);
highField.addEventListener("input", changeLimits);
resetButton.addEventListener("click", () => {
  nodeMap.release();
  change(zoomOut);
});
slowField.addEventListener("change", () => {
  writePlace({ slow: slowField.value, better: null });
  showVerdict();
});
betterField.addEventListener("change", () => {
  writePlace({ better: betterField.value });
  showVerdict();
});
paintField.addEventListener("change", () => {
  writePlace({ paint: paintField.value });
  nodeMap.load(paintField.value ? metricField.value : "");
});

// -- keyboard ------------------------------------------------------------------------------------

/** @type {import("./heatmap.js").Pixel | null} */
let cursor = null;

/** By so many pixels, and at least to the next cell. @param {-1 | 0 | 1} right @param {-1 | 0 | 1} down */
function moveCursor(right, down) {
  const { head, figure } = heatmap;
  if (!head?.rows || !figure) return;
  const { x_scale: xs, y_scale: ys, bbox } = figure.view.frame;
  const dx = right * Math.max(CURSOR_PX, Math.abs(xs.compute(head.each_step) - xs.compute(0)));
  const dy = down * Math.max(CURSOR_PX, Math.abs(ys.compute(head.last) - ys.compute(head.first)) / head.rows);
  const at = cursor ?? { x: (head.x0 + head.x1) / 2, y: (head.first + head.last) / 2 };
  const sx = Math.min(bbox.right - 1, Math.max(bbox.left + 1, xs.compute(at.x) + dx));
  const sy = Math.min(bbox.bottom - 1, Math.max(bbox.top + 1, ys.compute(at.y) + dy));
  cursor = heatmap.pixelAt(xs.invert(sx), ys.invert(sy));
  heatmap.point(cursor?.x ?? null, cursor?.y ?? null);
  const box = figure.view.canvas_view.el.getBoundingClientRect();
  inspector.look(cursor, { clientX: box.left + sx, clientY: box.top + sy }, readView());
}

/** @param {number} centre @param {number} factor */
function zoomBy(centre, factor) {
  const { head } = heatmap;
  if (!head?.rows) return;
  const { x0, x1 } = readView();
  const [begin, end] = [x0 ?? head.begin, x1 ?? head.end];
  const span = Math.min(head.end - head.begin, Math.max(2, (end - begin) * factor));
  const start = Math.max(head.begin, Math.min(centre - span / 2, head.end - span));
  change(span >= head.end - head.begin ? { x0: null, x1: null } : { x0: Math.round(start), x1: Math.round(start + span) });
}

/** @param {number} frac */
function panBy(frac) {
  const { head } = heatmap;
  const { x0, x1 } = readView();
  if (!head?.rows || x0 === null || x1 === null) return;
  const span = x1 - x0;
  const start = Math.max(head.begin, Math.min(x0 + frac * span, head.end - span));
  change({ x0: Math.round(start), x1: Math.round(start + span) });
}

/** @type {Record<string, () => void>} */
const KEYS = {
  ArrowLeft: () => moveCursor(-1, 0), ArrowRight: () => moveCursor(1, 0),
  ArrowUp: () => moveCursor(0, -1), ArrowDown: () => moveCursor(0, 1),
  "+": () => zoomBy(cursor?.x ?? middle(), 1 / ZOOM_FACTOR), "=": () => zoomBy(cursor?.x ?? middle(), 1 / ZOOM_FACTOR),
  "-": () => zoomBy(cursor?.x ?? middle(), ZOOM_FACTOR), "0": () => change(zoomOut),
  "[": () => panBy(-PAN_FRAC), "]": () => panBy(PAN_FRAC),
  Escape: () => inspector.hide(),
  Enter: () => {
    if (inspector.found?.rank !== undefined) location.href = consoleOf(run, inspector.found.rank);
  },
};

function middle() {
  const { x0, x1 } = readView();
  return ((x0 ?? heatmap.head?.begin ?? 0) + (x1 ?? heatmap.head?.end ?? 0)) / 2;
}

heatmap.host.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});

// -- begin ---------------------------------------------------------------------------------------

onPlaceChange(() => {
  const wanted = readPlace().get("metric");
  if (wanted) metricField.value = wanted;
  showControls();
  heatmap.load(readView());
});
addEventListener("themechange", () => {
  heatmap.repaint();
  nodeMap.draw();
});
addEventListener("resize", later(() => heatmap.load(readView()), 200));

showControls();
paintField.value = readPlace().get("paint") ?? "";
if (metricField.value) {
  heatmap.begin(readView()).catch((error) => heatmap.fail(error)).then(() => {
    showVerdict();
    nodeMap.load(paintField.value ? metricField.value : "");
    tab.dataset.ready = "true";
  });
} else {
  nodeMap.load("");
}

followRun(
  coalesce(async () => {
    await heatmap.load(readView());
    await nodeMap.load(paintField.value ? metricField.value : "");
    await showVerdict();
  }, REFRESH_REST_MS),
  ["head", "states"],
);
