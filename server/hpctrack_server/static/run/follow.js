// Following a run, the same on every tab: the head of the page stays true, and a run that leaves the
// store is told, also long after its end.
import { apiAddress } from "../base/api.js";
import { byId } from "../base/dom.js";
import { GONE, keepParts, listen } from "../base/live.js";
import { say } from "../base/message.js";

const REST_MS = 1500;

/** @typedef {{version: number, state: string | null, live: boolean, changed: string[], gone?: boolean}} Change */

/**
 * @param {(change: Change) => void} onChange not called for a run that is gone
 * @param {string[]} [parts] of the page, fetched again after each change
 * @param {{restMs?: number, onFresh?: () => void}} [how] the time between two fetches; what to do after each
 */
export function followRun(onChange, parts = ["head"], { restMs = REST_MS, onFresh = () => {} } = {}) {
  const run = byId("run");
  const url = apiAddress(["runs", run.dataset.project ?? "", run.dataset.run ?? "", "events"]);
  const refresh = keepParts(parts, { restMs, onFresh });
  let isLive = run.dataset.live === "true";
  let version = Number(run.dataset.version);
  /** @param {Change} change */
  const hear = (change) => {
    if (change.gone) {
      stop();
      run.dataset.live = "false";
      say(`This run ${GONE}`, { kind: "bad", isLasting: true });
      return;
    }
    // Of a run that is over, the first that is told is mostly what the page shows.
    const isNews = isLive || change.live || version !== change.version;
    version = change.version;
    if (!isNews) return;
    refresh();
    run.dataset.live = String(change.live);
    onChange(change);
    if (change.live === isLive) return;
    stop();
    isLive = change.live;
    stop = follow();
  };
  // One of the six connections is too much for a run that is over.
  const follow = () => listen(url, hear, { isWorthStream: isLive });
  let stop = follow();
}
