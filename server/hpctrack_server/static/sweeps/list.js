// The list of a project's sweeps, kept current.
import { apiAddress } from "../base/api.js";
import { coalesce, listen, refreshParts } from "../base/live.js";

/** A sweep that runs changes each second; whoever reads a list does not. */
const REST_MS = 3000;
const POLL_MS = 20_000;

const project = document.getElementById("sweeps")?.dataset.project ?? "";
const keepCurrent = coalesce(() => refreshParts(["sweeps"]), REST_MS);
/** @type {string | null} */
let version = null;
listen(apiAddress(["projects", project, "events"]), (/** @type {{version: string}} */ change) => {
  if (version !== null && version !== change.version) keepCurrent();
  version = change.version;
});
// Of a sweep without new runs no event tells: one that waits, was asked for something, or has come by a push.
setInterval(() => {
  if (!document.hidden) keepCurrent();
}, POLL_MS);
