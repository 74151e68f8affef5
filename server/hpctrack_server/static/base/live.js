// Keeping a page current: parts of it are fetched again, events say when.
import { apiAddress } from "./api.js";
import { make } from "./dom.js";
import { say } from "./message.js";
import { localiseTimes } from "./page.js";
import { listenTo } from "./stream.js";

/** Between two looks for what was not there when the page began to listen. */
const GONE_REST_MS = 5000;

export const GONE = "is not in the store any more: what you see is what was read before.";

/** What the server said of a part, which scripts may have changed since. @type {WeakMap<Element, string>} */
const received = new WeakMap();

// Replaces the parts of this page, marked by data-part, by those of the same page as it is now.
// The server renders and escapes; nothing is put together here.
/** @param {string[]} names @param {string} [url] @returns {Promise<Document | null>} the page as it is now */
export async function refreshParts(names, url = location.href) {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) return null;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const name of names) {
    const old = document.querySelector(`[data-part="${name}"]`);
    const now = fresh.querySelector(`[data-part="${name}"]`);
    if (!old || !now || isHeld(name)) continue;
    const part = document.importNode(now, true);
    localiseTimes(part);
    if ((received.get(old) ?? old.innerHTML) === part.innerHTML) continue;
    received.set(part, part.innerHTML);
    const restore = keepState(old, part);
    old.replaceWith(part);
    restore();
  }
  return fresh;
}

/**
 * Returns what fetches parts of the page again, as soon as nobody is about to copy from them.
 * @param {string[]} parts @param {{restMs?: number, onFresh?: () => void}} [how] the time between two fetches; what to do after each
 */
export function keepParts(parts, { restMs = 0, onFresh = () => {} } = {}) {
  let isOld = false;
  const refresh = coalesce(async () => {
    isOld = parts.some(isHeld);
    await refreshParts(parts);
    onFresh();
  }, restMs);
  const retry = () => {
    if (isOld && !parts.some(isHeld)) refresh();
  };
  document.addEventListener("selectionchange", retry);
  document.addEventListener("focusout", () => setTimeout(retry));
  return refresh;
}

// Somebody is about to copy or choose from a part: it is not replaced under their hands.
/** @param {string} name */
export function isHeld(name) {
  const part = document.querySelector(`[data-part="${name}"]`);
  if (part instanceof HTMLSelectElement && part === document.activeElement) return true;
  const selection = getSelection();
  return !!part && !!selection && !selection.isCollapsed && selection.containsNode(part, true);
}

const SCROLLED = ".scroll, pre";
const FOCUSABLE = "a, button, input, select, textarea, summary, [tabindex]";

// What the reader has opened, scrolled or focused stays as it is. To be called while the old part
// is still in the page; the returned function finishes when the new one is.
/** @param {Element} old @param {Element} part */
function keepState(old, part) {
  const opened = [...old.querySelectorAll("details")].map((one) => one.open);
  const places = [...old.querySelectorAll(SCROLLED)].map(({ scrollLeft, scrollTop }) => ({ scrollLeft, scrollTop }));
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const link = focused?.getAttribute("href");
  const at = focused ? [...old.querySelectorAll(FOCUSABLE)].indexOf(focused) : -1;
  return () => {
    part.querySelectorAll("details").forEach((one, i) => {
      one.open = opened[i] ?? one.open;
    });
    part.querySelectorAll(SCROLLED).forEach((one, i) => Object.assign(one, places[i]));
    const again = link ? part.querySelector(`a[href="${CSS.escape(link)}"]`) : part.querySelectorAll(FOCUSABLE)[at];
    if (focused) /** @type {HTMLElement | null} */ (again ?? null)?.focus({ preventScroll: true });
  };
}

/**
 * Listens to changes of a run or a project while the page can be seen.
 * @param {string} url of its events @param {(change: any) => void} onChange also told how it stands, at first and after a break
 * @param {Parameters<typeof listenTo>[2]} [how]
 * @returns {() => void} ends it
 */
export function listen(url, onChange, how) {
  let timer = 0;
  const error = (/** @type {{error: string}} */ said) => {
    if (said.error !== "not-found") return;
    timer = setTimeout(() => {
      end();
      end = begin();
    }, GONE_REST_MS);
    onChange({ gone: true });
  };
  const begin = () => listenTo(url, { change: onChange, error }, how);
  let end = begin();
  return () => {
    clearTimeout(timer);
    end();
  };
}

/**
 * Listens to the table of a project; that it has left the store is said here.
 * @param {string} project @param {(change: {version: string, turns: string}) => void} onChange `turns` stays as it is while runs only log
 */
export function followProject(project, onChange) {
  /** @type {(() => void) | null} */
  let unsay = null;
  listen(apiAddress(["projects", project, "events"]), (change) => {
    if (change.gone) unsay ??= say(["The project ", make("bdi", {}, project), ` ${GONE}`], { kind: "bad", isLasting: true });
    else {
      unsay?.();
      unsay = null;
      onChange(change);
    }
  });
}

/**
 * Listens for projects and runs that come or go, and runs that begin or end.
 * @param {string | undefined} version of what the page shows @param {() => void} onChange
 */
export function followStore(version, onChange) {
  listen(apiAddress(["events"]), (/** @type {{version: string}} */ change) => {
    if (change.version === version) return;
    version = change.version;
    onChange();
  });
}

// Runs work at most once at a time, and once more if it was asked for meanwhile.
/** @param {() => Promise<any>} work @param {number} [restMs] */
export function coalesce(work, restMs = 0) {
  let isBusy = false;
  let isWanted = false;
  return async function run() {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    try {
      while (isWanted) {
        isWanted = false;
        await work().catch(passOverNetwork);
        if (restMs) await new Promise((resolve) => setTimeout(resolve, restMs));
      }
    } finally {
      isBusy = false;
    }
  };
}

// A server that is gone for a moment is no error of the page: fetch then throws a TypeError.
/** @param {any} error */
function passOverNetwork(error) {
  if (error.name !== "AbortError" && !(error instanceof TypeError)) throw error;
}
