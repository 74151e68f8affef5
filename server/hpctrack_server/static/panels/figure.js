// Figures that the server has built, cloned and filled.

const ASSETS = new URL("../", import.meta.url);

/** @type {Promise<void> | null} */
let bokeh = null;
/** @type {Map<string, Promise<string>>} */
const items = new Map();
/** @type {Promise<void> | null} */
let style = null;

/** Bokeh, which the page may load anyway, and else is loaded now. */
export function loadBokeh() {
  bokeh ??= new Promise((resolve, reject) => {
    if (typeof Bokeh !== "undefined") return resolve();
    const there = /** @type {HTMLScriptElement | null} */ (document.querySelector('script[src$="/bokeh.min.js"]'));
    const script = there ?? document.createElement("script");
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("Bokeh's script cannot be loaded")));
    if (there) return undefined;
    script.src = new URL("bokeh.min.js", ASSETS).href;
    document.head.append(script);
    return undefined;
  });
  return bokeh;
}

/** The style sheet of panels, whatever page they are on. @returns {Promise<void>} */
export function loadStyle() {
  style ??= new Promise((resolve) => {
    if (document.querySelector('link[href$="/panels/panels.css"]')) return resolve();
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.addEventListener("load", () => resolve());
    link.addEventListener("error", () => resolve());
    link.href = new URL("panels/panels.css", ASSETS).href;
    document.head.append(link);
    return undefined;
  });
  return style;
}

/** The JSON of a figure. @param {string} name */
export function loadFigure(name) {
  let found = items.get(name);
  if (!found) {
    found = fetch(new URL(`figures/${name}.json`, ASSETS)).then((answer) => {
      if (!answer.ok) throw new Error(`the server has no figure ${name}`);
      return answer.text();
    });
    items.set(name, found);
  }
  return found;
}

export class Figure {
  /** @param {any} view */
  constructor(view) {
    this.view = view;
    this.model = view.model;
  }

  /** @param {HTMLElement} host @param {string} name */
  static async mount(host, name) {
    const [text] = await Promise.all([loadFigure(name), loadBokeh()]);
    const views = await Bokeh.embed.embed_item(JSON.parse(text), host);
    return new Figure([...views][0] ?? views.roots[0]);
  }

  /** @param {string} name @returns {any} a model of the figure */
  get(name) {
    return this.model.document.get_model_by_name(name);
  }

  /** @param {string} source @param {Record<string, any>} columns */
  fill(source, columns) {
    this.get(source).data = columns;
  }

  /** @param {[number, number]} x @param {[number, number]} y */
  setRanges(x, y) {
    this.model.x_range.setv({ start: x[0], end: x[1] });
    this.model.y_range.setv({ start: y[0], end: y[1] });
  }

  /** Where the pointer is, in places; null outside of the frame. @param {PointerEvent | MouseEvent} event @returns {[number, number] | null} */
  placeOf(event) {
    const box = this.view.canvas_view.el.getBoundingClientRect();
    const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
    const { left, right, top, bottom } = this.view.frame.bbox;
    if (sx < left || sx > right || sy < top || sy > bottom) return null;
    return [this.view.frame.x_scale.invert(sx), this.view.frame.y_scale.invert(sy)];
  }

  repaint() {
    this.view.request_repaint();
  }

  remove() {
    this.model.document?.clear();
  }
}
