// Showing another table, or the same as it is now: the server renders and escapes, rows are put in
// place one by one, so that scrolling, focus and what is being edited stay as they are.
import { localiseTimes } from "../base/page.js";
import { sayError } from "../base/message.js";

const PARTS = ["place", "count", "views", "group-count", "exports", "compare", "states", "scope", "problem", "notices", "pager"];
const BUSY_AFTER_MS = 250;

/** Rows and parts by the text that the server sent for them. @type {WeakMap<Element, string>} */
const sent = new WeakMap();

/** @type {AbortController | null} */
let asking = null;

/** Something has changed while an answer was on its way, which may not know of it. */
let isStale = false;

/** The address of what is shown. */
let shown = location.href;

/** Where the reader is in the table does not change with these. */
const SAME_PLACE = ["open", "cols", "base", "view"];

/**
 * Shows an address of this page.
 * @param {string} address
 * @param {{history?: "push" | "replace" | "none", isTyping?: boolean, isSame?: boolean}} [how] `isSame`: the table as it is now
 */
export async function go(address, { history: step = "push", isTyping = false, isSame = false } = {}) {
  if (isSame && asking) {
    isStale = true;
    return;
  }
  const url = new URL(address, location.href);
  const isScrollKept = isSame || areSameRows(url.href, shown);
  if (url.href !== location.href) {
    if (step === "push") history.pushState(null, "", url);
    if (step === "replace") history.replaceState(null, "", url);
  }
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const grid = document.querySelector('[data-part="table"]');
  const busy = setTimeout(() => !isSame && grid?.setAttribute("aria-busy", "true"), BUSY_AFTER_MS);
  try {
    const answer = await fetch(url, { headers: { Accept: "text/html" }, signal: mine.signal });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.getElementById("runs")) throw new Error(fresh.querySelector("main h1")?.textContent ?? `the server answered ${answer.status}`);
    showFresh(fresh, { isTyping, isSame, isScrollKept });
    shown = url.href;
  } catch (error) {
    // A server that is away for a moment is no error of a page that only wants to be current.
    if (!(isSame && error instanceof TypeError)) sayError(error);
  } finally {
    clearTimeout(busy);
    document.querySelector('[data-part="table"]')?.removeAttribute("aria-busy");
    if (asking === mine) {
      asking = null;
      if (isStale) {
        isStale = false;
        await refresh();
      }
    }
  }
}

/** @param {string} one @param {string} other */
function areSameRows(one, other) {
  const [a, b] = [one, other].map((address) => {
    const { pathname, searchParams } = new URL(address);
    for (const name of SAME_PLACE) searchParams.delete(name);
    searchParams.sort();
    return `${pathname}?${searchParams}`;
  });
  return a === b;
}

/** The same table as it is now. */
export function refresh() {
  return go(location.href, { history: "none", isSame: true });
}

/** @param {Document} fresh @param {{isTyping: boolean, isSame: boolean, isScrollKept: boolean}} how */
function showFresh(fresh, { isTyping, isSame, isScrollKept }) {
  const hasProblem = Boolean(fresh.querySelector('[data-part="problem"]')?.firstElementChild);
  const field = document.getElementById("filter-text");
  field?.setAttribute("aria-invalid", String(hasProblem));
  if (hasProblem && (isTyping || (isSame && document.activeElement === field))) {
    replacePart("problem", fresh); // half a filter is not understood: the table stays while it is typed
    return;
  }
  for (const one of PARTS) replacePart(one, fresh);
  replaceTable(fresh, isScrollKept);
  document.dispatchEvent(new CustomEvent("tablechange", { detail: { isSame } }));
}

/** @param {string} part @param {Document} fresh */
function replacePart(part, fresh) {
  const old = document.querySelector(`[data-part="${part}"]`);
  const now = fresh.querySelector(`[data-part="${part}"]`);
  if (!old || !now || sent.get(old) === now.outerHTML) return;
  const source = now.outerHTML;
  const next = document.importNode(now, true);
  sent.set(next, source);
  const opened = [...old.querySelectorAll("details")].map((one) => one.open);
  next.querySelectorAll("details").forEach((one, i) => {
    one.open = opened[i] ?? one.open;
  });
  const focused = old.contains(document.activeElement) ? describeFocus(old) : -1;
  old.replaceWith(next);
  restoreFocus(next, focused);
}

/** @param {Document} fresh @param {boolean} isScrollKept */
function replaceTable(fresh, isScrollKept) {
  const old = document.querySelector('[data-part="table"]');
  const now = fresh.querySelector('[data-part="table"]');
  if (!old || !now) return;
  const oldBody = old.querySelector("tbody");
  const nowBody = now.querySelector("tbody");
  if (!oldBody || !nowBody) {
    const next = document.importNode(now, true);
    localiseTimes(next);
    old.replaceWith(next);
    return;
  }
  const oldHead = /** @type {HTMLElement} */ (old.querySelector("thead"));
  const nowHead = /** @type {HTMLElement} */ (now.querySelector("thead"));
  const source = nowHead.innerHTML;
  if (sent.get(oldHead) !== source) {
    const focused = oldHead.contains(document.activeElement) ? describeFocus(oldHead) : -1;
    oldHead.replaceChildren(...[...nowHead.children].map((one) => document.importNode(one, true)));
    sent.set(oldHead, source);
    restoreFocus(oldHead, focused);
  }
  old.querySelector("table")?.setAttribute("aria-rowcount", now.querySelector("table")?.getAttribute("aria-rowcount") ?? "");
  replaceRows(oldBody, nowBody);
  if (!isScrollKept) old.scrollTop = 0;
}

/** @param {Element} row */
function keyOf(row) {
  const { run, group, groupMore } = /** @type {HTMLElement} */ (row).dataset;
  return [row.classList.contains("baseline"), run ?? "", group ?? "", groupMore ?? ""].join("\n");
}

/** @param {HTMLElement} body @param {HTMLElement} fresh */
function replaceRows(body, fresh) {
  const known = new Map([...body.children].map((row) => [keyOf(row), row]));
  let next = body.firstElementChild;
  for (const row of [...fresh.children]) {
    const source = row.outerHTML;
    const old = known.get(keyOf(row));
    let placed = old;
    let focused = -1;
    if (!old || (sent.get(old) !== source && !old.querySelector(".cell-input"))) {
      placed = document.importNode(row, true);
      sent.set(placed, source);
      localiseTimes(placed);
      if (old?.contains(document.activeElement)) focused = describeFocus(old);
      if (old?.classList.contains("at")) placed.classList.add("at");
      if (old && old === next) next = old.nextElementSibling;
      old?.replaceWith(placed);
    }
    if (!placed) continue;
    if (placed === next) next = next.nextElementSibling;
    else if (placed.nextElementSibling !== next || placed.parentElement !== body) body.insertBefore(placed, next);
    restoreFocus(placed, focused);
  }
  while (next) {
    const gone = next;
    next = next.nextElementSibling;
    gone.remove();
  }
}

const FOCUSABLE = "a[href], button, input, select, summary";

/** Which of the things in an element has the focus. @param {Element} element */
function describeFocus(element) {
  return [...element.querySelectorAll(FOCUSABLE)].indexOf(/** @type {Element} */ (document.activeElement));
}

/** @param {Element} element @param {number} focused */
function restoreFocus(element, focused) {
  if (focused < 0) return;
  const found = /** @type {HTMLElement | undefined} */ (element.querySelectorAll(FOCUSABLE)[focused]);
  found?.focus({ preventScroll: true });
}
