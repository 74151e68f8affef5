// What a panel is: a card of a workspace that draws something of the chosen runs.

/**
 * Which runs a page is about: some by name, or those that a query finds.
 * @typedef {object} Selection
 * @property {string[]} [ids] in this order
 * @property {{filter?: string, search?: string, sort?: string, limit?: number}} [query]
 */

/**
 * A panel as a workspace keeps it; its place is in units of a grid of 12 columns.
 * @typedef {object} PanelSpec
 * @property {string} id
 * @property {string} kind a name in panels/registry.js
 * @property {string} [title]
 * @property {number} w columns, 2 to 12
 * @property {number} h rows of 40 px
 * @property {Record<string, any>} settings what `fields` describes
 */

/**
 * What a panel is given by its page.
 * @typedef {object} PanelContext
 * @property {string} project
 * @property {() => Selection} selection
 * @property {(run: string) => string} colourOf the colour of a run, the same in every panel
 * @property {(run: string) => string} nameOf
 * @property {(run: string | null) => void} highlight the run that the pointer is on, for all panels
 * @property {(work: (run: string | null) => void) => void} onHighlight
 * @property {(runs: string[] | null) => void} select what was brushed or clicked; null is all
 * @property {(work: (runs: string[] | null) => void) => void} onSelect
 * @property {Shared} shared settings of the page that panels follow
 * @property {(x: number | null, from: Panel) => void} hoverX the shared crosshair
 * @property {(range: [number, number] | null, from: Panel) => void} zoomX the linked zoom
 * @property {Record<string, number>} [begun] runs that are live, and when each began, UTC seconds
 * @property {string[]} metrics names of the metrics that the runs have
 * @property {import("./panel.js").ColumnFacts[]} columns
 */

/**
 * What the page sets for all of its panels; a panel's own settings go before.
 * @typedef {object} Shared
 * @property {string} x "step", "time" (UTC seconds), "relative" (seconds), or a metric
 * @property {{kind: "none" | "ema" | "twema" | "gaussian" | "mean", amount: number}} smooth
 * @property {{by: string[], center: "mean" | "median", band: "none" | "minmax" | "std" | "stderr" | "ci"} | null} group
 * @property {boolean} clip outliers are left out of the ranges of the axes
 * @property {boolean} logX
 * @property {boolean} logY
 * @property {string} ranks "mean", "min", "max", "all", or a number
 * @property {string} [version] differs whenever the runs have other data; what was fetched before is old then
 * @property {[number, number] | null} zoom the part of the x axis that is shown
 */

/**
 * @typedef {object} ColumnFacts as hpctrack_server/data/index/query.py has it
 * @property {string} key
 * @property {"number" | "text" | "flag" | "time" | "list"} kind
 * @property {number} count
 * @property {number} distinct
 */

/**
 * One setting of a panel, for the form that its menu opens.
 * @typedef {object} Field
 * @property {string} name in `spec.settings`
 * @property {string} label
 * @property {"metric" | "column" | "columns" | "choice" | "flag" | "number" | "text"} kind
 * @property {{value: string, label: string}[]} [choices]
 * @property {string} [hint]
 */

export class Panel {
  /**
   * @param {HTMLElement} host the box to draw in; the card around it draws title, menu and caption
   * @param {PanelSpec} spec
   * @param {PanelContext} context
   */
  constructor(host, spec, context) {
    this.host = host;
    this.spec = spec;
    this.context = context;
  }

  /** Fetches and draws; called again when runs or settings have changed. An error of it is shown in the card. */
  async load() {}

  /** The box has another size. */
  resize() {}

  /** It has come onto the screen, or left it. @param {boolean} _isSeen */
  see(_isSeen) {}

  /** The theme has changed. */
  repaint() {}

  /** Another panel moved the shared crosshair. @param {number | null} _x */
  showX(_x) {}

  /** Another panel was zoomed. @param {[number, number] | null} _range */
  showRange(_range) {}

  /** Runs have logged more; see charts/live_points.js. @param {import("../charts/live_points.js").Piece[]} _pieces @param {Record<string, number>} _begun when each run began */
  addPoints(_pieces, _begun) {}

  /** The line below the drawing, such as "2,000 points drawn of 41,233,900, extremes exact". */
  describe() {
    return "";
  }

  /** The heading of the card if the workspace gives none. */
  title() {
    return this.spec.kind;
  }

  /** The drawing as a file. @param {"png" | "svg"} _type @returns {Promise<Blob | null>} null if there is none */
  async exportPicture(_type) {
    return null;
  }

  /** What is drawn, as a table. @returns {{columns: string[], rows: (string | number | null)[][]} | null} */
  exportRows() {
    return null;
  }

  /** @returns {Field[]} */
  fields() {
    return [];
  }

  /** Lets go of what it holds. */
  remove() {}
}
