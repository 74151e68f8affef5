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
};
