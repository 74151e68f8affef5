// A figure of the catalogue (hpctrack_server/components/figures) in a box of the page.

import { beThrifty } from "./thrift.js";

/** @type {Map<string, Promise<string>>} */
const texts = new Map();

/** @param {string} name */
function fetchFigure(name) {
  let text = texts.get(name);
  if (!text) {
    // Beside this script, so the address carries the version of all files.
    text = fetch(new URL(`../figures/${name}.json`, import.meta.url)).then((answer) => {
      if (!answer.ok) throw new Error(`the figure ${name} is not there`);
      return answer.text();
    });
    text.catch(() => texts.delete(name));
    texts.set(name, text);
  }
  return text;
}

/** Whether a sharp canvas would be drawn by the processor: 7 times slower than a plain one. */
let isSlow = /** @type {boolean | null} */ (null);
function drawsSharpSlowly() {
  if (devicePixelRatio <= 1) return false;
  if (isSlow === null) {
    const gl = document.createElement("canvas").getContext("webgl");
    const facts = gl?.getExtension("WEBGL_debug_renderer_info");
    const renderer = gl && facts ? String(gl.getParameter(facts.UNMASKED_RENDERER_WEBGL)) : "";
    isSlow = !gl || /swiftshader|llvmpipe|software/i.test(renderer);
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return isSlow;
}

export class Figure {
  /** @param {any} view of the plot */
  constructor(view) {
    this.view = view;
    this.model = view.model;
    /** Sources that have something. @type {Set<string>} */
    this.filled = new Set();
  }

  /** @param {string} name @param {HTMLElement} host */
  static async mount(name, host) {
    const text = await fetchFigure(name);
    beThrifty();
    const views = await Bokeh.embed.embed_item(JSON.parse(text), host);
    const figure = new this([...views][0] ?? views.roots[0]);
    if (drawsSharpSlowly()) figure.model.hidpi = false;
    // Nothing can be done with keys in the canvas, so it is no place to stop at.
    const { events_el: events } = figure.view.canvas_view;
    events.tabIndex = -1;
    events.style.outline = "none";
    return figure;
  }

  /** @param {string} name of a model */
  find(name) {
    return this.model.document.get_model_by_name(name);
  }

  /** Gives a source other columns; one that stays empty costs nothing. @param {string} source @param {Record<string, any>} columns */
  fill(source, columns) {
    const isFilled = Object.values(columns).some((one) => one.length);
    if (!isFilled && !this.filled.has(source)) return;
    if (isFilled) this.filled.add(source);
    else this.filled.delete(source);
    this.find(source).data = columns;
  }

  /** Both ranges at once: one repaint. @param {[number, number]} x @param {[number, number]} y */
  setRanges(x, y) {
    this.model.x_range.setv({ start: x[0], end: x[1] });
    this.model.y_range.setv({ start: y[0], end: y[1] });
  }

  /** The part of the box that has the data, in pixels of the box. @returns {{left: number, right: number, top: number, bottom: number}} */
  get frame() {
    const { left, right, top, bottom } = this.view.frame.bbox;
    return { left, right, top, bottom };
  }

  /** Where the pointer is, in the data; null beside the frame. @param {PointerEvent} event */
  locate(event) {
    const box = this.view.canvas_view.el.getBoundingClientRect();
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    const { left, right, top, bottom } = this.frame;
    if (sx < left || sx > right || sy < top || sy > bottom) return null;
    const { x_scale, y_scale } = this.view.frame;
    return { x: x_scale.invert(sx), y: y_scale.invert(sy), sx, sy };
  }

  /** Pixels from the left edge of the box. @param {number} x */
  pixelOf(x) {
    return this.view.frame.x_scale.compute(x);
  }

  /** @param {"png" | "svg"} type @returns {Promise<Blob | null>} */
  async export(type) {
    const layer = this.view.export(type, false);
    if (type === "svg") {
      return new Blob([layer.ctx.get_serialized_svg(true)], { type: "image/svg+xml" });
    }
    return new Promise((resolve) => layer.canvas.toBlob(resolve, "image/png"));
  }

  repaint() {
    // Bokeh draws half a pixel beside the edge, where a line of the old theme would stay.
    for (const { ctx, canvas } of [this.view.canvas_view.primary, this.view.canvas_view.overlays]) {
      ctx.save();
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.restore();
    }
    this.view.request_repaint();
  }

  remove() {
    const { document: held } = this.model;
    this.view.remove();
    held?.clear?.();
  }
}
