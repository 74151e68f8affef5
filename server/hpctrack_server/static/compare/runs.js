// The runs of the page: which are shown, which colour each has. No drawing here.
import { colourOf, numberOfRun } from "../base/tokens.js";

/**
 * @typedef {object} RunFacts
 * @property {string} id
 * @property {string} name
 * @property {string} state
 * @property {number} created UTC seconds
 * @property {string} user
 * @property {string} stamp differs whenever the run has other data
 * @property {number | string | null} value of the column that the rail shows
 */

/** Of an address that servers and mail programs still take. */
const PLACE_MAX = 300;

/**
 * Whether what was drawn of a run is old; of one that goes on points come by themselves.
 * @param {RunFacts | undefined} before @param {RunFacts | undefined} now
 */
export function hasOtherData(before, now) {
  return !!before && !!now && now.state !== "running" && now.stamp !== before.stamp;
}

export class RunSet {
  /** @type {RunFacts[]} */
  list = [];
  /** @type {Map<string, RunFacts>} */
  byId = new Map();
  hidden = new Set(/** @type {string[]} */ ([]));
  /** @type {Map<string, number>} numbers of colours; once given, a run keeps its own */
  numbers = new Map();
  matches = 0;
  total = 0;

  /** @param {{runs: RunFacts[], matches: number, total: number}} facts */
  take({ runs, matches, total }) {
    this.list = runs;
    this.matches = matches;
    this.total = total;
    this.byId = new Map(runs.map((one) => [one.id, one]));
    this.number();
  }

  /** Gives each run the colour that it has everywhere, or if another has it, one that is free; runs that have one keep it. */
  number() {
    const taken = new Set(this.list.map((one) => this.numbers.get(one.id)).filter((one) => one !== undefined));
    const fresh = this.list.filter((one) => !this.numbers.has(one.id)).sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
    let next = 0;
    for (const run of fresh) {
      const own = numberOfRun(run.id);
      while (taken.has(next)) next++;
      const number = taken.has(own) ? next : own;
      this.numbers.set(run.id, number);
      taken.add(number);
    }
  }

  /** Ids of the runs that panels draw. */
  get shown() {
    return this.list.filter((one) => !this.hidden.has(one.id)).map((one) => one.id);
  }

  /** @param {string} id */
  colourOf(id) {
    return colourOf(this.numbers.get(id) ?? 0);
  }

  /** @param {string} id */
  nameOf(id) {
    return this.byId.get(id)?.name || id;
  }

  /** @param {string} id @param {boolean} isShown */
  show(id, isShown) {
    if (isShown) this.hidden.delete(id);
    else this.hidden.add(id);
  }

  /** What the address says is drawn. @param {URLSearchParams} place */
  readPlace(place) {
    const list = (/** @type {string} */ name) => (place.get(name) ?? "").split(",").filter(Boolean);
    const shown = new Set(list("show"));
    this.hidden = shown.size ? new Set(this.list.map((one) => one.id).filter((id) => !shown.has(id))) : new Set(list("hide"));
  }

  /** The same for the address: those that are hidden, or those that are shown if they are fewer. @returns {{hide: string | null, show: string | null}} */
  toPlace() {
    const hidden = this.list.map((one) => one.id).filter((id) => this.hidden.has(id));
    const { shown } = this;
    const isShort = Math.min(hidden.length, shown.length || Infinity) <= PLACE_MAX;
    if (!hidden.length || !isShort) return { hide: null, show: null };
    return hidden.length <= shown.length || !shown.length ? { hide: hidden.slice(0, PLACE_MAX).join(","), show: null } : { hide: null, show: shown.join(",") };
  }

  /** @param {boolean} isShown */
  showAll(isShown) {
    this.hidden = new Set(isShown ? [] : this.list.map((one) => one.id));
  }
}
