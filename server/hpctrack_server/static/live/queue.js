// What is running: the list is fetched again when runs begin or end, strips as they are scrolled to.
import { ServerError, apiAddress, fetchArrays } from "../base/api.js";
import { byId } from "../base/dom.js";
import { formatCount } from "../base/format.js";
import { followStore, keepParts } from "../base/live.js";
import { parseHex, token } from "../base/tokens.js";

const REST_MS = 2000;
/** What is running stays the same, but its duration and its use of the devices do not. */
const EVERY_MS = 10_000;
const MISSING = 255;
const FULL = 250;

/** @type {WeakMap<HTMLCanvasElement, {head: any, cells: Uint8Array}>} */
const drawn = new WeakMap();

byId("choose").addEventListener("change", (event) => {
  /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
});

const watching = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const canvas = /** @type {HTMLCanvasElement} */ (target);
    canvas.dataset.seen = String(isIntersecting);
    if (isIntersecting && !drawn.has(canvas)) load(canvas);
  }
}, { rootMargin: "200px" });

/** @param {HTMLCanvasElement} canvas */
async function load(canvas) {
  const { project = "", run = "" } = canvas.dataset;
  const span = new URLSearchParams(location.search).get("span");
  const text = /** @type {HTMLElement} */ (canvas.nextElementSibling);
  try {
    const { head, arrays } = await fetchArrays(apiAddress(["runs", project, run, "strip"], { span, width: 180 }));
    canvas.hidden = !head.labels.length;
    if (!head.labels.length) text.textContent = "no telemetry";
    drawn.set(canvas, { head, cells: arrays[0].values });
    draw(canvas);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    canvas.hidden = true;
    text.textContent = error.message;
  }
}

/** @param {HTMLCanvasElement} canvas */
function draw(canvas) {
  const found = drawn.get(canvas);
  const context = canvas.getContext("2d");
  if (!found || !context || !found.head.labels.length) return;
  const { head, cells } = found;
  const [rows, columns] = [head.labels.length, head.columns];
  canvas.width = columns;
  canvas.height = rows;
  const image = context.createImageData(columns, rows);
  const [low, high] = ["--bg", "--cell-finished"].map((one) => parseHex(token(one)));
  let [sum, known] = [0, 0];
  cells.forEach((cell, at) => {
    if (cell === MISSING) return;
    sum += cell;
    known += 1;
    const share = cell / FULL;
    for (let part = 0; part < 3; part++) {
      image.data[at * 4 + part] = low[part] + (high[part] - low[part]) * (0.12 + 0.88 * share);
    }
    image.data[at * 4 + 3] = 255;
  });
  context.putImageData(image, 0, 0);
  const mean = known ? `${Math.round((100 * sum) / (known * FULL))} %` : "unknown";
  const devices = head.what === "GPUs" ? formatCount(head.devices, "GPU") : `${head.what} of ${formatCount(head.devices, "node")}`;
  // Of those that share a row only the least busy one is known.
  const label = `${devices}, ${head.devices > rows ? "at least " : ""}${mean} busy on average`;
  canvas.title = label;
  /** @type {HTMLElement} */ (canvas.nextElementSibling).textContent = label;
  canvas.setAttribute("aria-label", label);
}

/** @returns {HTMLCanvasElement[]} */
function listStrips() {
  return [...document.querySelectorAll("canvas")];
}

function watchAll() {
  for (const canvas of listStrips()) watching.observe(canvas);
}

const refresh = keepParts(["count", "users", "failed", "running", "ended"], { restMs: REST_MS, onFresh: watchAll });

watchAll();
followStore(byId("queue").dataset.version, refresh);
addEventListener("themechange", () => listStrips().forEach(draw));
setInterval(() => {
  if (!document.hidden && listStrips().length) refresh();
}, EVERY_MS);
