// Figures of panels: on any page, whether or not it has Bokeh and the style sheet already.
import { Figure } from "../charts/figure.js";

const ASSETS = new URL("../", import.meta.url);

/** @type {Promise<void> | null} */
let bokeh = null;
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

/** The style sheet of panels. @returns {Promise<void>} */
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

export class PanelFigure extends Figure {
  /** @param {string} name @param {HTMLElement} host @returns {Promise<PanelFigure>} */
  static async mount(name, host) {
    await loadBokeh();
    return /** @type {Promise<PanelFigure>} */ (super.mount(name, host));
  }
}
