// Following a run that is live, the same on every tab: the head of the page stays true, the stream
// ends with the run, and a run that leaves the store is told.
import { apiAddress } from "../base/api.js";
import { byId } from "../base/dom.js";
import { coalesce, listen, refreshParts } from "../base/live.js";
import { say } from "../base/message.js";

const REST_MS = 1500;

/** @typedef {{version: number, state: string | null, live: boolean, changed: string[], gone?: boolean}} Change */

/**
 * @param {(change: Change) => void} onChange not called for a run that is gone
 * @param {string[]} [parts] of the page, fetched again after each change
 */
export function followRun(onChange, parts = ["head"]) {
  const run = byId("run");
  if (run.dataset.live !== "true") return;
  const refresh = coalesce(() => refreshParts(parts), REST_MS);
  const stop = listen(apiAddress(["runs", run.dataset.project ?? "", run.dataset.run ?? "", "events"]), (/** @type {Change} */ change) => {
    if (change.gone) {
      stop();
      run.dataset.live = "false";
      say("This run is not in the store any more: what you see is what was read before.", { kind: "bad" });
      return;
    }
    refresh();
    run.dataset.live = String(change.live);
    onChange(change);
    if (!change.live) stop();
  });
}
