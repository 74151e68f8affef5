// Figures of plotting libraries: pictures as they are, Bokeh's own where it needs no code, common traces of plotly.
import { apiAddress, getJson } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { colourOf } from "../../base/tokens.js";
import { loadBokeh } from "../../panels/figure.js";
import { makeDownload } from "./download.js";
import { Drawing } from "./drawing.js";

const PICTURES = new Set(["png", "svg", "jpg", "webp"]);
const CODE = /"(?:name|type)":\s*"(?:CustomJS\w*|TypeScript|Template)"|"__javascript__"|"Js(?:Code|Hover)\w*"/;

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export async function show(host, showing) {
  const parts = await Promise.all(showing.items.map((item) => showOne(showing, item)));
  host.replaceChildren(...parts.flat());
}

/** @param {import("../card.js").Showing} showing @param {import("../card.js").MediaItem} item @returns {Promise<HTMLElement[]>} */
async function showOne(showing, item) {
  const source = apiAddress([...showing.place, item.digest]);
  if (PICTURES.has(item.format)) {
    const alt = String(item.meta.caption ?? `${showing.key} at step ${showing.step}`);
    return [make("img", { src: source, alt, class: "film" })];
  }
  const box = make("div", { class: "media-plot", role: "img", "aria-label": `Figure ${showing.key}` });
  const link = makeDownload(showing, item);
  try {
    const told = await getJson(source);
    // Mounting needs the box in the page.
    queueMicrotask(() => mount(item.format, told, box).catch((error) => box.replaceWith(make("p", { class: "problem" }, error.message))));
  } catch (error) {
    return [make("p", { class: "problem" }, /** @type {Error} */ (error).message), link];
  }
  return [box, link];
}

/** @param {string} form @param {any} told @param {HTMLElement} box */
async function mount(form, told, box) {
  await new Promise(requestAnimationFrame);
  await loadBokeh();
  if (form === "bokeh.json") {
    if (CODE.test(JSON.stringify(told))) throw new Error("the figure has code of its own, which is not run here: download it.");
    box.classList.add("free");
    const item = told.doc ? told : { doc: told, root_id: told.roots?.[0]?.id ?? told.roots?.[0] };
    await Bokeh.embed.embed_item(item, box);
    return;
  }
  if (form === "plotly.json") return drawPlotly(await Drawing.mount(box), told);
  throw new Error(`${form} is not drawn here: download it.`);
}

/** @param {Drawing} drawing @param {any} told */
function drawPlotly(drawing, told) {
  /** @type {any} */
  const lines = { xs: [], ys: [], color: [], width: [], alpha: [] };
  /** @type {any} */
  const points = { x: [], y: [], color: [], size: [], alpha: [] };
  /** @type {any} */
  const cells = { left: [], right: [], bottom: [], top: [], color: [], alpha: [], line: [] };
  const xs = [];
  const ys = [];
  let drawn = 0;
  for (const [at, trace] of (told.data ?? []).entries()) {
    const y = Array.isArray(trace.y) ? trace.y.map(Number) : [];
    const x = Array.isArray(trace.x) ? trace.x.map((/** @type {any} */ one, /** @type {number} */ i) => (typeof one === "number" ? one : i)) : y.map((/** @type {number} */ _value, /** @type {number} */ i) => i);
    if (!y.length) continue;
    const colour = colourOf(at);
    const kind = trace.type ?? "scatter";
    if (kind === "bar") {
      x.forEach((/** @type {number} */ one, /** @type {number} */ i) => {
        cells.left.push(one - 0.36);
        cells.right.push(one + 0.36);
        cells.bottom.push(0);
        cells.top.push(y[i]);
        cells.color.push(colour);
        cells.alpha.push(0.85);
        cells.line.push(colour);
      });
      ys.push(0);
    } else if (kind.startsWith("scatter")) {
      const mode = trace.mode ?? "lines";
      if (mode.includes("lines")) {
        lines.xs.push(x);
        lines.ys.push(y);
        lines.color.push(colour);
        lines.width.push(1.5);
        lines.alpha.push(1);
      }
      if (mode.includes("markers")) {
        points.x.push(...x);
        points.y.push(...y);
        points.color.push(...x.map(() => colour));
        points.size.push(...x.map(() => 6));
        points.alpha.push(...x.map(() => 0.8));
      }
    } else continue;
    drawn += 1;
    xs.push(...x);
    ys.push(...y);
  }
  if (!drawn) throw new Error("this kind of plotly figure is not drawn here: download it.");
  drawing.fill({ lines, points, cells });
  const span = (/** @type {number[]} */ values) => {
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    const pad = (high - low) * 0.05 || 0.5;
    return /** @type {[number, number]} */ ([low - pad, high + pad]);
  };
  drawing.setAxes(span(xs.filter(Number.isFinite)), span(ys.filter(Number.isFinite)));
}
