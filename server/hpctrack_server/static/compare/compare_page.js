// Puts the page together: address, rail, tools, board, workspace, and what one tells another.
import { apiAddress, getJson } from "../base/api.js";
import { byId } from "../base/dom.js";
import { sayError } from "../base/message.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { KINDS } from "../panels/registry.js";
import { makeSections } from "./automatic.js";
import { Board } from "./board.js";
import { itemsOfCard, openSectionMenu } from "./card_menu.js";
import { makeContext } from "./context.js";
import { askPanel } from "./dialogs.js";
import { LiveRuns } from "./live_runs.js";
import { DEFAULTS, RUN_PARAMETERS, readShared, writeShared } from "./place.js";
import { Rail } from "./rail.js";
import { RunSet, hasOtherData } from "./runs.js";
import { Tools } from "./tools.js";
import { newId } from "./workspaces.js";
import { WorkspaceBar } from "./workspace_bar.js";

/** @typedef {import("../panels/panel.js").Shared} Shared */
/** @typedef {import("../panels/host.js").PanelCard} PanelCard */

export class ComparePage {
  /** @param {string} project @param {any} facts of CompareFacts.collect in pages/compare/page.py */
  constructor(project, facts) {
    this.project = project;
    this.facts = facts;
    this.runs = new RunSet();
    /** What holds unless the address says otherwise: the saved workspace. @type {Shared} */
    this.base = { ...DEFAULTS };
    /** @type {Shared} */
    this.shared = { ...DEFAULTS };
    /** @type {AbortController | null} */
    this.asking = null;
    this.isAutomatic = true;
    this.factsText = "";
    this.areColoursChosen = false;
  }

  start() {
    const place = readPlace();
    this.bar = new WorkspaceBar(this);
    const body = this.bar.open(this.facts.saved, this.facts.trouble);
    this.base = { ...DEFAULTS, ...this.bar.savedShared };
    Object.assign(this.shared, readShared(place, { ...this.base, ...body.shared, zoom: null }));
    for (const [id, number] of Object.entries(body.colours)) this.runs.numbers.set(id, number);
    this.runs.take(this.facts);
    this.runs.readPlace(place);
    this.context = makeContext({
      project: this.project, runs: this.runs, shared: this.shared, metrics: this.facts.metrics,
      hoverX: (x) => this.showX(x), zoomX: (range, from) => this.zoom(range, from),
    });
    this.makeParts();
    this.rail?.readPlace(place);
    this.rail?.render(this.facts.value, this.facts.missing);
    this.rail?.showBroken(this.facts.broken);
    this.rail?.showProblem(this.facts.problem ?? "");
    this.tools?.show(this.shared);
    this.showSections(body.sections);
    this.find(place.get("find") ?? "");
    this.writeAddress(false);
    onPlaceChange((now) => this.restore(now));
    addEventListener("themechange", () => this.repaint());
    this.live = new LiveRuns(this);
  }

  makeParts() {
    const { context } = this;
    if (!context) return;
    this.rail = new Rail(byId("rail"), this.project, this.runs, {
      onShown: () => this.showRuns(), onColours: () => this.repaint(true),
      onQuery: (changes, isStep) => this.query(changes, isStep),
      onHover: (run) => context.highlight(run), valueKeys: () => this.columnKeys(),
    });
    context.onHighlight((run) => this.rail?.highlight(run));
    context.onSelect((runs) => this.rail?.showSelection(runs, () => context.select(null)));
    this.tools = new Tools(byId("tools"), {
      metrics: this.facts.metrics,
      onChange: (changes, isStep) => this.change(changes, isStep), onResetZoom: () => this.zoom(null),
      onFind: (text) => this.find(text),
      groupKeys: async () => (await this.columnKeys()).filter((one) => /^(config\.|group$|user$|tags$|sweep$|job_type$|name$|slurm\.)/.test(one)),
    });
    this.board = new Board(byId("board"), context, {
      onChange: () => this.edited(), items: (card) => itemsOfCard(card, this),
      onSectionMenu: (box) => openSectionMenu(box, this), announce: (text) => this.announce(text),
    });
  }

  /** @param {import("./automatic.js").Section[] | null} sections null is the automatic layout */
  showSections(sections) {
    this.isAutomatic = sections === null;
    this.board?.show(sections ? structuredClone(sections) : makeSections(this.facts.metrics, KINDS.line.size));
  }

  // -- changes ---------------------------------------------------------------------------------

  /** Settings that all panels follow. @param {Partial<Shared>} changes @param {boolean} isStep */
  change(changes, isStep) {
    Object.assign(this.shared, changes);
    this.tools?.show(this.shared);
    this.writeAddress(isStep);
    this.bar?.keepDraft();
    this.live?.follow();
    this.board?.spoil();
  }

  /** @param {[number, number] | null} range @param {import("../panels/panel.js").Panel} [from] */
  zoom(range, from) {
    if (!range && !this.shared.zoom && !from) return;
    this.shared.zoom = range;
    this.tools?.show(this.shared);
    this.writeAddress(true);
    this.board?.zoom(range, from);
  }

  /** @param {number | null} x */
  showX(x) {
    for (const card of this.board?.cards ?? []) if (card.isVisible) card.panel?.showX(x);
  }

  showRuns() {
    writePlace(this.runs.toPlace());
    this.board?.spoil();
  }

  /** @param {boolean} [isEdited] */
  repaint(isEdited = false) {
    for (const card of this.board?.cards ?? []) card.panel?.repaint();
    this.rail?.showChecks();
    if (!isEdited) return;
    this.areColoursChosen = true;
    this.bar?.keepDraft();
  }

  edited() {
    this.isAutomatic = false;
    this.bar?.keepDraft();
  }

  /** Other runs: the address first, then what it says. @param {Record<string, string | null>} changes @param {boolean} isStep */
  async query(changes, isStep) {
    const isSearch = Object.values(changes).some((one) => one !== null);
    writePlace(isSearch ? { ...changes, runs: null, selection: null } : changes, { isStep });
    await this.fetchRuns();
  }

  async fetchRuns() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const place = readPlace();
    const wanted = Object.fromEntries(RUN_PARAMETERS.map((name) => [name, place.get(name)]));
    try {
      const facts = await getJson(apiAddress(["projects", this.project, "compare"], wanted), asking.signal);
      this.rail?.showProblem("");
      if (JSON.stringify(facts) === this.factsText) return;
      this.factsText = JSON.stringify(facts);
      const known = new Set(this.facts.metrics);
      const fresh = facts.metrics.filter((/** @type {string} */ one) => !known.has(one));
      this.facts = facts;
      const before = this.runs.shown.join();
      const old = this.runs.byId;
      this.runs.take(facts);
      if (this.context) this.context.metrics = facts.metrics;
      this.rail?.render(facts.value, facts.missing);
      this.rail?.showBroken(facts.broken);
      this.live?.follow();
      if (this.isAutomatic && fresh.length) this.board?.extend(makeSections(fresh, KINDS.line.size));
      const { shown, byId: now } = this.runs;
      if (shown.some((id) => hasOtherData(old.get(id), now.get(id)))) this.live?.renew();
      else if (shown.join() !== before) this.board?.spoil();
    } catch (error) {
      if (/** @type {Error} */ (error).name !== "AbortError") this.rail?.showProblem(/** @type {Error} */ (error).message);
    }
  }

  /** @param {string} text */
  find(text) {
    if (this.tools && document.activeElement !== this.tools.find) this.tools.find.value = text;
    writePlace({ find: text || null });
    this.board?.find(text);
  }

  async addPanel() {
    const titles = this.board?.boxes.map((one) => one.dataset.title ?? "") ?? [];
    const wanted = await askPanel(this.facts.metrics, titles);
    if (!wanted) return;
    const kind = KINDS[wanted.kind];
    const { w, h } = kind.size ?? { w: 6, h: 7 };
    // Other kinds choose for themselves, from columns of the table.
    const isLine = wanted.kind === "line";
    const settings = { ...structuredClone(kind.settings ?? {}), ...(isLine ? { y: wanted.metric } : {}) };
    this.board?.addPanel({ id: newId(), kind: wanted.kind, w, h, settings }, wanted.section);
  }

  // -- address ---------------------------------------------------------------------------------

  /** @param {boolean} isStep */
  writeAddress(isStep) {
    writePlace(writeShared(this.shared, this.base), { isStep });
  }

  /** The reader went back or forward. @param {URLSearchParams} place */
  restore(place) {
    if ((place.get("workspace") ?? "-") !== (this.bar?.id ?? "-")) return location.reload();
    Object.assign(this.shared, readShared(place, this.base));
    this.tools?.show(this.shared);
    this.find(place.get("find") ?? "");
    this.runs.readPlace(place);
    this.rail?.readPlace(place);
    this.rail?.showChecks();
    this.board?.zoom(this.shared.zoom);
    this.fetchRuns();
  }

  /** All columns of the runs, for completion. @returns {Promise<string[]>} */
  async columnKeys() {
    if (!this.context) return [];
    if (!this.context.columns.length) {
      try {
        const answer = await getJson(apiAddress(["projects", this.project, "columns"]));
        this.context.columns = answer.columns ?? answer;
      } catch (error) {
        sayError(error);
      }
    }
    return this.context.columns.map((one) => one.key);
  }

  /** @param {string} text */
  announce(text) {
    byId("announce").textContent = text;
  }
}
