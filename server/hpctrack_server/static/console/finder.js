// The search of the console: how many lines match, and the way from one to the next.
import { byId, later } from "../base/dom.js";
import { writePlace } from "../base/place.js";

const TYPING_MS = 250;

export class Finder {
  /**
   * @param {object} given
   * @param {import("./lines.js").Lines} given.lines
   * @param {import("./scroller.js").Scroller} given.scroller
   * @param {(at: number) => void} given.mark
   * @param {() => Record<string, string>} given.shownView
   * @param {(how: {keeps?: boolean}) => void} given.onChange
   */
  constructor({ lines, scroller, mark, onChange }) {
    this.lines = lines;
    this.scroller = scroller;
    this.mark = mark;
    this.onChange = onChange;
    this.field = /** @type {HTMLInputElement} */ (byId("pattern"));
    this.text = "";
    this.isRegex = false;
    this.hasCase = false;
    this.at = -1;
    this.ordinal = 0;
    this.hits = 0;
    /** Another pattern, or other lines: what was looked for before says nothing any more. */
    this.round = 0;
    this.turn = Promise.resolve();
    this.listen();
  }

  get isOn() {
    return this.text !== "";
  }

  listen() {
    this.field.addEventListener("input", later(() => this.change(), TYPING_MS));
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        if (this.field.value !== this.text) this.change();
        else this.find(event.shiftKey ? "previous" : "next");
      }
      if (event.key === "Escape" && this.field.value) {
        this.field.value = "";
        this.change();
      }
    });
    byId("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.find("next");
    });
    byId("previous").addEventListener("click", () => this.find("previous"));
    for (const id of ["regex", "case"]) {
      byId(id).addEventListener("click", (event) => {
        const button = /** @type {HTMLElement} */ (event.currentTarget);
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        this.change(true);
      });
    }
  }

  /** What the address says. @param {URLSearchParams} place */
  read(place) {
    this.field.value = place.get("q") ?? "";
    byId("regex").setAttribute("aria-pressed", String(place.get("regex") === "1"));
    byId("case").setAttribute("aria-pressed", String(place.get("case") === "1"));
    this.take();
  }

  take() {
    this.round++;
    this.text = this.field.value;
    this.isRegex = byId("regex").getAttribute("aria-pressed") === "true";
    this.hasCase = byId("case").getAttribute("aria-pressed") === "true";
    this.at = -1;
    this.ordinal = 0;
    this.showHits(null, true);
  }

  /** The pattern has changed. @param {boolean} [isForced] */
  change(isForced = false) {
    if (!isForced && this.field.value === this.text) return;
    this.take();
    writePlace({ q: this.text, regex: this.isRegex ? 1 : null, case: this.hasCase ? 1 : null });
    this.onChange({ keeps: true });
    if (this.isOn) this.find("nearest");
  }

  /** What an address of the API needs. @returns {Record<string, string>} */
  view() {
    if (!this.isOn) return {};
    return { search: this.text, regex: this.isRegex ? "1" : "", case: this.hasCase ? "1" : "" };
  }

  /**
   * Each press counts, however quickly one follows the other: they are done in turn.
   * @param {"next" | "previous" | "nearest" | "first" | "last"} way
   */
  find(way) {
    const { round } = this;
    this.turn = this.turn.then(() => this.look(way, round));
    return this.turn;
  }

  /** @param {string} way @param {number} round of the pattern that was looked for then */
  async look(way, round) {
    if (!this.isOn || round !== this.round) return;
    const from = this.at >= 0 && way !== "nearest" ? this.at : Math.floor(this.scroller.top);
    const seen = this.at < 0 && way === "next" ? "nearest" : way;
    try {
      let answer = await this.lines.ask({ from, count: 1, find: seen });
      while (!answer.searched && !answer.problem && answer.hit === null && round === this.round) {
        this.show(answer);
        answer = await this.lines.ask({ from, count: 1, find: seen });
      }
      if (round !== this.round) return;
      this.at = answer.hit ?? -1;
      this.ordinal = answer.ordinal ?? 0;
      this.show(answer);
      if (answer.hit !== null && !answer.problem) this.mark(answer.hit);
    } catch (error) {
      if (round === this.round) this.fail(error);
    }
  }

  /** @param {any} answer */
  show(answer) {
    if (answer.problem && this.isOn) this.fail(new Error(answer.problem));
    else this.showHits(answer.hits ?? null, answer.searched);
  }

  /** Other lines are shown: which hit it was says nothing any more. */
  restart() {
    this.round++;
    this.at = -1;
    this.ordinal = 0;
  }

  /** @param {number | null} hits @param {boolean} isSearched */
  showHits(hits, isSearched) {
    this.hits = hits ?? 0;
    const box = byId("hits");
    box.classList.remove("bad");
    const more = isSearched ? "" : " …";
    if (!this.isOn || hits === null) box.textContent = "";
    else if (!hits) box.textContent = isSearched ? "no hits" : "searching …";
    else if (this.ordinal) box.textContent = `${this.ordinal.toLocaleString("en")} of ${hits.toLocaleString("en")}${more}`;
    else box.textContent = `${hits.toLocaleString("en")} line${hits === 1 ? "" : "s"}${more}`;
    for (const id of ["previous", "next"]) /** @type {HTMLButtonElement} */ (byId(id)).disabled = !this.hits;
  }

  /** @param {any} error */
  fail(error) {
    if (!this.isOn || error?.name === "AbortError") return;
    const box = byId("hits");
    box.textContent = error.message;
    box.classList.add("bad");
  }
}

