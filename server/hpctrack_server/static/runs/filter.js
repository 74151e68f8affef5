// The filter: applied while it is typed, completed by the server, which also says what is wrong where.
import { apiAddress, getJson } from "../base/api.js";
import { byId, later, make } from "../base/dom.js";
import { tellZone } from "./filter_zone.js";
import { addressWith, currentPlace, project } from "./place.js";
import { go } from "./refresh.js";

const TYPING_MS = 160;
const COMPLETION_MS = 60;

/** @typedef {{start: number, end: number, options: {text: string, kind: string, detail?: string}[]}} Completion */

export function tendFilter() {
  const text = /** @type {HTMLInputElement} */ (byId("filter-text"));
  const search = /** @type {HTMLInputElement} */ (byId("name-search"));
  const form = byId("filter");
  const completions = new Completions(text);
  const zone = byId("filter-zone");
  const showZone = () => {
    zone.textContent = tellZone(text.value);
    zone.hidden = !zone.textContent;
  };
  text.addEventListener("input", showZone);
  showZone();

  // One search is one step of the history, however many letters it has.
  let isStep = true;
  const apply = (isTyping = false) => {
    const address = addressWith({ filter: text.value.trim(), search: search.value });
    const isAsked = new URL(address, location.href).href === location.href;
    if (!isTyping && isAsked && text.getAttribute("aria-invalid") !== "true") {
      isStep = true; // it was asked for while it was typed
      return;
    }
    go(address, { history: isStep ? "push" : "replace", isTyping });
    isStep = !isTyping;
  };
  const applyLater = later(() => apply(true), TYPING_MS);
  for (const input of [text, search]) {
    input.addEventListener("input", applyLater);
    input.addEventListener("blur", () => {
      isStep = true;
    });
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    completions.close();
    applyLater.cancel();
    apply();
  });
  document.addEventListener("tablechange", () => {
    const place = currentPlace();
    if (document.activeElement !== text) text.value = place.filter ?? "";
    showZone();
    if (document.activeElement !== search) search.value = place.search ?? "";
  });
}

class Completions {
  /** @type {Completion | null} */
  #found = null;
  #chosen = -1;
  /** @type {AbortController | null} */
  #asking = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #waiting;

  /** @param {HTMLInputElement} input */
  constructor(input) {
    this.input = input;
    this.list = byId("completions");
    const ask = () => this.#askLater();
    input.addEventListener("input", ask);
    input.addEventListener("click", ask);
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.#onKey(event));
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const line = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("[role=option]"));
      if (line) this.#take(Number(line.dataset.index));
    });
  }

  close() {
    clearTimeout(this.#waiting); // what was typed last is asked for no more: Enter came first
    this.#asking?.abort();
    this.#found = null;
    this.#chosen = -1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #askLater() {
    clearTimeout(this.#waiting);
    this.#waiting = setTimeout(() => this.#ask(), COMPLETION_MS);
  }

  async #ask() {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const { value, selectionStart } = this.input;
    try {
      const at = countPoints(value, selectionStart ?? value.length);
      const url = apiAddress(["projects", project(), "complete"], { text: value, at });
      const found = /** @type {Completion} */ (await getJson(url, asking.signal));
      if (asking.signal.aborted) return;
      this.#show({ ...found, start: findUnit(value, found.start), end: findUnit(value, found.end) });
    } catch {
      // Without completions the filter works all the same.
    }
  }

  /** @param {Completion} found */
  #show(found) {
    if (!found.options?.length || document.activeElement !== this.input) {
      this.close();
      return;
    }
    this.#found = found;
    this.#chosen = -1;
    this.list.replaceChildren(
      ...found.options.map((one, i) =>
        make("li", { role: "option", id: `completion-${i}`, "data-index": i, "aria-selected": "false" }, make("span", {}, one.text), make("small", {}, one.detail || one.kind)),
      ),
    );
    this.list.hidden = false;
    this.list.scrollTop = 0;
    this.input.setAttribute("aria-expanded", "true");
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      this.#ask();
      return;
    }
    if (!this.#found) return;
    const count = this.#found.options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#choose(this.#chosen < 0 && step < 0 ? count - 1 : (this.#chosen + step + count) % count);
    } else if ((event.key === "Enter" || event.key === "Tab") && this.#chosen >= 0) {
      event.preventDefault();
      this.#take(this.#chosen);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.close();
    }
  }

  /** @param {number} index */
  #choose(index) {
    this.list.children[this.#chosen]?.setAttribute("aria-selected", "false");
    this.#chosen = index;
    const line = this.list.children[index];
    line.setAttribute("aria-selected", "true");
    line.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", line.id);
  }

  /** @param {number} index */
  #take(index) {
    const found = this.#found;
    if (!found) return;
    const { value } = this.input;
    const before = value.slice(0, found.start) + found.options[index].text;
    const rest = value.slice(found.end);
    const gap = rest.startsWith(" ") ? "" : " ";
    this.input.value = before + gap + rest;
    this.input.setSelectionRange(before.length + 1, before.length + 1);
    this.input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
}

/** The server counts code points, and an input UTF-16 units: of an emoji two. @param {string} value @param {number} unit */
function countPoints(value, unit) {
  return [...value.slice(0, unit)].length;
}

/** @param {string} value @param {number} point */
function findUnit(value, point) {
  return [...value].slice(0, point).join("").length;
}
