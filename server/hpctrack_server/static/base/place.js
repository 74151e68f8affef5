// What a page shows, kept in its address: it can be bookmarked, shared, and gone back to.

/** @returns {URLSearchParams} */
export function readPlace() {
  return new URLSearchParams(location.search);
}

/**
 * Changes parameters of the address; null or "" takes one out.
 * @param {Record<string, string | number | null>} changes
 * @param {{isStep?: boolean}} [how] a step can be gone back by the back button; not so each letter of a search
 */
export function writePlace(changes, { isStep = false } = {}) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") url.searchParams.delete(name);
    else url.searchParams.set(name, String(value));
  }
  if (url.href === location.href) return;
  history[isStep ? "pushState" : "replaceState"](null, "", url);
}

/** Calls back when the reader goes back or forward within the page. @param {(place: URLSearchParams) => void} work */
export function onPlaceChange(work) {
  addEventListener("popstate", () => work(readPlace()));
}

/** A key as a list in an address holds it, where commas part them. @param {string} key */
export function escapeKey(key) {
  return key.replaceAll("%", "%25").replaceAll(",", "%2C");
}

/** @param {string} text */
export function unescapeKey(text) {
  return text.replaceAll("%2C", ",").replaceAll("%25", "%");
}
