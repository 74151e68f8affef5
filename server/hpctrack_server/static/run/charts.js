// The charts of one run: sections by prefix, one zoom and one crosshair for all, and its ranks.
import { apiAddress, getJson } from "../base/api.js";
import { byId } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { listenPoints } from "../charts/live_points.js";
import { colourOf, numberOfRun } from "../base/tokens.js";
import { makeSections } from "../compare/automatic.js";
import { Board } from "../compare/board.js";
import { itemsOfCard, openSectionMenu } from "../compare/card_menu.js";
import { makeContext } from "../compare/context.js";
import { DEFAULTS, readShared, writeShared } from "../compare/place.js";
import { Tools } from "../compare/tools.js";
import { KINDS } from "../panels/registry.js";
import { followRun } from "./follow.js";
import { RankChoice } from "./rank_choice.js";

/** @typedef {import("../panels/panel.js").Shared} Shared */

// A line chart on this page is one of ranks.
KINDS.line = { ...KINDS.line, load: () => import("./run_line.js") };

const LIVE_REST_MS = 1000;
const root = byId("run");
const project = root.dataset.project ?? "";
const run = root.dataset.run ?? "";
const size = Number(root.dataset.size);
const label = byId("run-charts").dataset.label ?? run;
/** @type {string[]} */
const metrics = JSON.parse(byId("run-charts").dataset.metrics ?? "[]");
const base = /** @type {Shared} */ ({ ...DEFAULTS, ranks: size > 1 ? "band" : "mean" });

class RunCharts {
  constructor() {
    this.shared = /** @type {Shared & {size: number}} */ ({ ...base, size, version: root.dataset.version });
    this.facts = { metrics };
    this.followed = "";
    /** @type {(() => void) | null} */
    this.stopPoints = null;
    const runs = /** @type {any} */ ({ shown: [run], colourOf: () => colourOf(numberOfRun(run)), nameOf: () => label });
    this.context = makeContext({
      project, runs, metrics, shared: this.shared,
      hoverX: (x) => this.showX(x), zoomX: (range, from) => this.zoom(range, from),
    });
    const page = /** @type {any} */ (this);
    this.board = new Board(byId("board"), this.context, {
      onChange: () => {}, items: (card) => this.itemsOf(card, page),
      onSectionMenu: (box) => openSectionMenu(box, page), announce: (text) => { byId("announce").textContent = text; },
    });
    this.tools = new Tools(byId("tools"), {
      metrics, onChange: (changes, isStep) => this.change(changes, isStep),
      onResetZoom: () => this.zoom(null), onFind: (text) => this.find(text), groupKeys: async () => [],
    });
    // Of one run there are no groups, and its ranks have a choice of their own.
    for (const one of [this.tools.group.closest(".joined"), this.tools.ranks]) if (one instanceof HTMLElement) one.hidden = true;
    this.ranks = new RankChoice(byId("ranks"), size, (ranks) => this.change({ ranks }, true));
  }

  start() {
    this.restore(readPlace());
    this.board.show(makeSections(metrics, KINDS.line.size));
    this.find(readPlace().get("find") ?? "");
    onPlaceChange((place) => {
      this.restore(place);
      this.board.spoil();
    });
    addEventListener("themechange", () => {
      for (const card of this.board.cards) card.panel?.repaint();
    });
    this.watch();
  }

  /** @param {URLSearchParams} place */
  restore(place) {
    Object.assign(this.shared, readShared(place, base), readOldPlace(place));
    this.show();
  }

  show() {
    this.tools.show(this.shared);
    this.ranks.show(this.shared.ranks);
    writePlace({ ...writeShared(this.shared, base), view: null, rank: null });
  }

  /** @param {Partial<Shared>} changes @param {boolean} isStep */
  change(changes, isStep) {
    Object.assign(this.shared, changes);
    this.tools.show(this.shared);
    this.ranks.show(this.shared.ranks);
    writePlace(writeShared(this.shared, base), { isStep });
    this.follow();
    this.board.spoil();
  }

  /** @param {[number, number] | null} range @param {import("../panels/panel.js").Panel} [from] */
  zoom(range, from) {
    if (!range && !this.shared.zoom && !from) return;
    this.shared.zoom = range;
    this.board.zoom(range, from);
    this.tools.show(this.shared);
    writePlace(writeShared(this.shared, base), { isStep: true });
  }

  /** @param {number | null} x */
  showX(x) {
    for (const card of this.board.cards) if (card.isVisible) card.panel?.showX(x);
  }

  /** @param {string} text */
  find(text) {
    this.tools.find.value = text;
    this.board.find(text);
    writePlace({ find: text });
  }

  // What the menus of the cards ask of a page.

  async columnKeys() {
    return [];
  }

  edited() {}

  /** @param {import("../panels/host.js").PanelCard} card @param {any} page */
  itemsOf(card, page) {
    const metric = String(card.spec.settings.y ?? "");
    const ranks = /^\d+$/.test(this.shared.ranks) ? this.shared.ranks : "all";
    return [
      { label: "Distribution of its values\u2026", isDisabled: !this.facts.metrics.includes(metric), act: async () => (await import("./distribution.js")).showDistribution(card, [project, run], { metric, ranks }) },
      ...itemsOfCard(card, page),
    ];
  }

  // -- live ------------------------------------------------------------------------------------

  watch() {
    // New metrics too, each time: the list may be a moment behind the points.
    const refresh = coalesce(async () => {
      await this.takeMetrics();
      if (this.shared.ranks === "all") this.renew(); // of all ranks no points are told
    }, LIVE_REST_MS);
    followRun((change) => {
      refresh();
      // A requeue, or a sync that brings more: a run that is over can go on.
      if (change.live) this.follow();
      else this.renew();
    });
    this.follow();
  }

  /** Listens to the points of the ranks that are shown; what cannot be added to is fetched again. */
  follow() {
    const { ranks } = this.shared;
    if (root.dataset.live !== "true" || ranks === this.followed) return;
    this.followed = ranks;
    this.stopPoints?.();
    const asked = ranks === "band" ? "mean" : /^\d+$/.test(ranks) ? Number(ranks) : ranks;
    this.stopPoints = listenPoints(project, { runs: [run], ranks: /** @type {any} */ (asked) }, {
      onBegin: (begun) => {
        this.context.begun = begun;
        if (!(run in begun)) this.followed = "";
        this.renew();
      },
      onPoints: (pieces) => {
        for (const card of this.board.cards) {
          card.panel?.addPoints(pieces, this.context.begun ?? {});
          if (card.isVisible && card.panel) card.showCaption();
          else card.isStale = true;
        }
      },
      onStale: () => this.renew(),
      onOver: () => {
        this.followed = "";
        this.renew();
      },
    });
  }

  /** All that was fetched is old. */
  renew() {
    this.shared.version = String(Number(this.shared.version ?? 0) + 1);
    this.board.spoil();
  }

  async takeMetrics() {
    const found = await getJson(apiAddress(["runs", project, run, "metrics"], { shown: 1 }));
    const fresh = found.metrics.filter((/** @type {string} */ one) => !metrics.includes(one));
    if (!fresh.length) return;
    metrics.push(...fresh);
    document.getElementById("no-metrics")?.remove();
    this.board.show(makeSections(metrics, KINDS.line.size));
  }
}

/**
 * Links from before charts had a page of their own: ?view=rank&rank=2, ?view=all.
 * @param {URLSearchParams} place @returns {Partial<Shared>}
 */
function readOldPlace(place) {
  const view = place.get("view");
  if (!view) return {};
  const x = place.get("x") === "time" ? { x: "relative" } : {};
  const ranks = view === "rank" ? String(Number(place.get("rank")) || 0) : view === "all" ? "all" : base.ranks;
  return { ...x, ranks: size > 1 ? ranks : base.ranks };
}

new RunCharts().start();
