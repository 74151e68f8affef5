// What Bokeh would do more often than is needed, for every chart and every frame of it.

const PREFIX = "--bk-";
/** All that our style sheets set below `PREFIX`: of anything else they say nothing. */
const KNOWN = new Set([
  "background-fill-color", "border-fill-color", "outline-line-color", "grid-line-color", "axis-line-color",
  "major-label-text-color", "axis-label-text-color",
].map((name) => PREFIX + name));

/** By who asks: a part of a figure may have a style of its own. @type {WeakMap<object, Map<string, string>>} */
let answers = new WeakMap();
/** By plot. @type {WeakMap<object, number>} */
let fontSizes = new WeakMap();
let isThrifty = false;

/** Bokeh's script is there. */
export function beThrifty() {
  if (isThrifty) return;
  isThrifty = true;
  rememberStyles(Bokeh.require("core/visuals/visual").VisualProperties.prototype);
  keepRoom(Bokeh.require("models/axes/axis").AxisView.prototype);
  keepSheets(Bokeh.require("core/dom").InlineStyleSheet.prototype);
  rememberFontSizes(Bokeh.require("models/plots/plot_canvas").PlotView.prototype);
}

/**
 * Bokeh asks for every colour and width whenever it paints, and each question makes the browser
 * work styles out anew (bokeh#15286).
 * @param {any} visual
 */
function rememberStyles(visual) {
  const ask = visual._get_css_value;
  visual._get_css_value = function remembered(/** @type {string} */ name) {
    const full = this.css_prefix + name;
    if (!KNOWN.has(full)) return "";
    let mine = answers.get(this);
    const answer = mine?.get(full) ?? ask.call(this, name);
    // Beside the page nothing has a style yet.
    if (!this.obj.el.isConnected) return answer;
    if (!mine) answers.set(this, (mine = new Map()));
    mine.set(full, answer);
    return answer;
  };
}

/**
 * Each part of a figure writes a style sheet of its place whenever it is painted, mostly the one
 * that is there, which the browser would read anew.
 * @param {any} sheet
 */
function keepSheets(sheet) {
  const update = sheet._update;
  sheet._update = function unlessTheSame(/** @type {string} */ css) {
    if (css !== this.el.textContent) update.call(this, css);
  };
}

/**
 * Each axis asks for the size of the font whenever it is painted and whenever it is measured.
 * @param {any} plot
 */
function rememberFontSizes(plot) {
  const { get } = /** @type {{get: () => number | null}} */ (Object.getOwnPropertyDescriptor(plot, "base_font_size"));
  Object.defineProperty(plot, "base_font_size", {
    get() {
      const size = fontSizes.get(this) ?? get.call(this);
      if (size !== null && this.el.isConnected) fontSizes.set(this, size);
      return size;
    },
  });
}

/**
 * An axis is as large as the border that its labels are in: as long as they fit, other labels lay
 * nothing out anew, which would cost as much as the painting.
 * @param {any} axis
 */
function keepRoom(axis) {
  const measure = axis.get_size;
  axis.get_size = function roomy() {
    const size = measure.call(this);
    const isAlone = size.height > 0 && this.plot_view.model[this.panel.side]?.length === 1;
    const least = isAlone ? this.plot_view.model[`min_border_${SIDES[/** @type {keyof typeof SIDES} */ (this.panel.side)]}`] : null;
    return least > size.height ? { ...size, height: least } : size;
  };
}

const SIDES = { left: "left", right: "right", above: "top", below: "bottom" };

addEventListener("themechange", () => {
  answers = new WeakMap();
  fontSizes = new WeakMap();
});
// The reader may have zoomed, or turned the screen.
addEventListener("resize", () => (fontSizes = new WeakMap()));
