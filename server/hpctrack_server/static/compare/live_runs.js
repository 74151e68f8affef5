// What changes by itself: runs that come, grow and end.
import { atMost } from "../base/dom.js";
import { coalesce, followProject } from "../base/live.js";
import { listenPoints } from "../charts/live_points.js";

const REST_MS = 2000;
/** So old may be what the rail shows of runs that only log, whose points come by themselves. */
const VALUES_REST_MS = 20_000;
const LIVE_RUNS_MAX = 100;

/** @typedef {import("./compare_page.js").ComparePage} ComparePage */

export class LiveRuns {
  /** @param {ComparePage} page */
  constructor(page) {
    this.page = page;
    this.followed = "";
    /** @type {(() => void) | null} */
    this.stop = null;
    const refresh = coalesce(() => page.fetchRuns(), REST_MS);
    this.refresh = refresh;
    const refreshValues = atMost(refresh, VALUES_REST_MS);
    let turns = "";
    followProject(page.project, (change) => {
      const hasTurned = change.turns !== turns;
      turns = change.turns;
      // A query that cannot be understood does not become one by asking again.
      if (change.version === page.facts.version || page.facts.problem) return;
      if (hasTurned) refresh();
      else refreshValues();
    });
    this.follow();
  }

  /** Listens to the runs that go on now; called again when others do. */
  follow() {
    const { page } = this;
    const runs = page.runs.list.filter((one) => one.state === "running").map((one) => one.id).slice(0, LIVE_RUNS_MAX);
    const { ranks } = page.shared;
    const wanted = JSON.stringify([runs, ranks]);
    if (wanted === this.followed) return;
    this.followed = wanted;
    this.stop?.();
    this.stop = null;
    if (!runs.length) return;
    this.stop = listenPoints(page.project, { runs, ranks: /** @type {any} */ (/^\d+$/.test(ranks) ? Number(ranks) : ranks) }, {
      onBegin: (begun) => {
        if (page.context) page.context.begun = begun;
        if (runs.some((one) => !(one in begun))) this.followed = "";
        this.renew();
      },
      onPoints: (pieces) => {
        for (const card of page.board?.cards ?? []) {
          card.panel?.addPoints(pieces, page.context?.begun ?? {});
          if (!card.isVisible || !card.panel) card.isStale = true;
          else if (card.isSeen) card.showCaption();
        }
      },
      onMetrics: () => this.refresh(),
      onStale: () => this.renew(),
      onOver: () => {
        this.followed = ""; // they may be requeued before anybody sees that they were over
        this.refresh();
      },
    });
  }

  /** All that was fetched is old. */
  renew() {
    this.page.shared.version = String(Number(this.page.shared.version ?? 0) + 1);
    this.page.board?.spoil();
  }
}
