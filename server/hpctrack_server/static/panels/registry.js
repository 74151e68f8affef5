// All kinds of panels; each is loaded when a page first has one.

/**
 * @typedef {object} Kind
 * @property {string} title
 * @property {() => Promise<{default: typeof import("./panel.js").Panel}>} load
 * @property {Record<string, any>} [settings] of a new one
 * @property {{w: number, h: number}} [size]
 */

/** @type {Record<string, Kind>} */
export const KINDS = {
  line: { title: "Line chart", load: () => import("./line.js"), size: { w: 6, h: 7 } },
  bar: { title: "Bars", load: () => import("./bar.js"), size: { w: 6, h: 7 } },
  scatter: { title: "Scatter plot", load: () => import("./scatter.js"), size: { w: 6, h: 8 } },
  parallel: { title: "Parallel coordinates", load: () => import("./parallel.js"), size: { w: 12, h: 10 } },
  box: { title: "Boxes and violins", load: () => import("./box.js"), size: { w: 6, h: 8 } },
  histogram: { title: "Histogram", load: () => import("./histogram.js"), size: { w: 6, h: 7 } },
  heatmap: { title: "Heat map", load: () => import("./heatmap.js"), size: { w: 6, h: 8 } },
  contour: { title: "Contour", load: () => import("./contour.js"), size: { w: 6, h: 8 } },
  importance: { title: "Parameter importance", load: () => import("./importance.js"), size: { w: 6, h: 7 } },
  correlation: { title: "Correlation", load: () => import("./correlation.js"), size: { w: 6, h: 8 } },
  scalar: { title: "Number", load: () => import("./scalar.js"), size: { w: 3, h: 4 } },
  differ: { title: "Differences", load: () => import("./differ.js"), size: { w: 12, h: 10 } },
  media: { title: "Media of runs", load: () => import("./media.js"), size: { w: 12, h: 9 } },
  note: { title: "Note", load: () => import("./note.js"), size: { w: 4, h: 4 } },
};
