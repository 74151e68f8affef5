// The lines of a console, fetched a page at a time; a bounded number of pages is kept.
import { apiAddress, getJson } from "../base/api.js";

const PAGE_LINES = 200;
const PAGES_MAX = 60;

/**
 * @typedef {object} Line
 * @property {number} wall_s
 * @property {number} rank
 * @property {"stdout" | "stderr"} stream
 * @property {string} [text]
 * @property {[string, string][]} [spans] text and classes
 * @property {number} [rewrites]
 * @property {number} [hidden] characters that were not sent
 * @property {boolean} [missing]
 * @property {boolean} [damaged]
 * @property {[number, number][]} [places] where the pattern stands
 */

export class Lines {
  /**
   * @param {string[]} run parts of its address
   * @param {() => Record<string, string>} view what is shown: rank, stream, search
   * @param {(answer: any) => void} onAnswer
   * @param {(error: any) => void} onError
   */
  constructor(run, view, onAnswer, onError) {
    this.run = run;
    this.view = view;
    this.onAnswer = onAnswer;
    this.onError = onError;
    /** @type {Map<number, Line[]>} */
    this.pages = new Map();
    /** @type {Set<number>} */
    this.asked = new Set();
    this.round = 0;
  }

  /** Forgets what is held: another view, or more lines. */
  forget() {
    this.round++;
    this.pages.clear();
    this.asked.clear();
  }

  /** Forgets pages that were not full when they were fetched. */
  forgetEnd() {
    for (const [number, lines] of this.pages) {
      if (lines.length < PAGE_LINES) this.pages.delete(number);
    }
  }

  /** @param {number} at @returns {Line | null} null if it is on its way */
  get(at) {
    const number = Math.floor(at / PAGE_LINES);
    const page = this.pages.get(number);
    if (!page) {
      this.fetch(number);
      return null;
    }
    this.pages.delete(number); // to the end: it was used last
    this.pages.set(number, page);
    return page[at - number * PAGE_LINES] ?? null;
  }

  /** @param {number} number */
  async fetch(number) {
    if (this.asked.has(number)) return;
    this.asked.add(number);
    const round = this.round;
    try {
      const answer = await this.ask({ from: number * PAGE_LINES, count: PAGE_LINES });
      if (round !== this.round) return;
      this.pages.set(number, answer.lines);
      const oldest = this.pages.keys().next();
      if (this.pages.size > PAGES_MAX && !oldest.done) this.pages.delete(oldest.value);
      this.onAnswer(answer);
    } catch (error) {
      if (round === this.round) this.onError(error);
    } finally {
      if (round === this.round) this.asked.delete(number);
    }
  }

  /** @param {Record<string, string | number>} more @returns {Promise<any>} */
  ask(more) {
    return getJson(apiAddress([...this.run, "console"], { ...this.view(), ...more }));
  }
}
