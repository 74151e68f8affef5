// A panel that is a table or a number of what the server works out, without a figure.
import { apiAddress, sendJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { Defaults } from "./columns.js";
import { loadStyle } from "./figure.js";
import { Panel } from "./panel.js";
import { loadFacts } from "./plot.js";

export class TablePanel extends Panel {
  /** @param {HTMLElement} host @param {import("./panel.js").PanelSpec} spec @param {import("./panel.js").PanelContext} context */
  constructor(host, spec, context) {
    super(host, spec, context);
    /** @type {any} */
    this.answer = null;
    this.isRemoved = false;
  }

  get settings() {
    return this.spec.settings;
  }

  /** Settings without which there is nothing. @type {string} */
  static needs = "y";

  /** @param {Defaults} _defaults */
  complete(_defaults) {}

  async load() {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    await loadStyle();
    const columns = await loadFacts(this.context);
    const known = new Set(columns.map((one) => one.key));
    if (this.settings.y && !known.has(this.settings.y) && known.has(`summary.${this.settings.y}`)) this.settings.y = `summary.${this.settings.y}`;
    this.complete(new Defaults(columns));
    const { needs } = /** @type {typeof TablePanel} */ (this.constructor);
    if (!this.settings[needs]?.length) return this.sayEmpty("Nothing is chosen yet", "Choose columns in the settings of this panel.");
    const url = apiAddress(["projects", this.context.project, "panels", this.spec.kind]);
    const answer = await sendJson("POST", url, { ...this.context.selection(), settings: this.settings }, abort.signal);
    if (this.isRemoved || abort.signal.aborted) return undefined;
    if (!answer.runs) return this.sayEmpty("No runs", "No run is chosen on this page.");
    this.answer = answer;
    this.draw();
    return undefined;
  }

  draw() {}

  repaint() {
    if (this.answer) this.draw();
  }

  /** @param {string} title @param {string} hint */
  sayEmpty(title, hint) {
    this.answer = null;
    this.host.replaceChildren(make("div", { class: "empty plot-empty" }, make("h2", {}, title), make("p", { class: "muted" }, hint)));
  }

  remove() {
    this.isRemoved = true;
    this.abort?.abort();
    this.host.replaceChildren();
  }
}
