// How each type is shown; each viewer is loaded when a card first needs it.

/**
 * @typedef {object} Viewer
 * @property {(host: HTMLElement, showing: import("./card.js").Showing, card: import("./card.js").MediaCard) => any} show
 *   fills the box; what it returns may have `repaint` and `remove`
 */

/** @type {Record<string, {load: () => Promise<Viewer>, isOverSteps?: boolean}>} */
export const VIEWERS = {
  image: { load: () => import("./viewers/image.js") },
  audio: { load: () => import("./viewers/audio.js") },
  video: { load: () => import("./viewers/video.js") },
  text: { load: () => import("./viewers/frame.js") },
  markdown: { load: () => import("./viewers/frame.js") },
  html: { load: () => import("./viewers/frame.js") },
  table: { load: () => import("./viewers/table.js") },
  histogram: { load: () => import("./viewers/histogram.js"), isOverSteps: true },
  object3d: { load: () => import("./viewers/shape.js") },
  molecule: { load: () => import("./viewers/shape.js") },
  figure: { load: () => import("./viewers/figure.js") },
  plot: { load: () => import("./viewers/plot.js") },
  download: { load: () => import("./viewers/download.js") },
};
