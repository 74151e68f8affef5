// One key: a slider over its steps, and whatever was logged at the one it is set to.
import { apiAddress, getJson } from "../base/api.js";
import { explain, make } from "../base/dom.js";
import { VIEWERS } from "./viewers.js";

const PLAY_MS = 350;

/**
 * @typedef {object} MediaKey
 * @property {string} key
 * @property {string} type
 * @property {string} format
 * @property {number} count
 * @property {number[]} ranks
 * @property {number[]} steps those that the slider can be set to
 * @property {number} all_steps
 */

/**
 * @typedef {object} MediaItem
 * @property {string} type
 * @property {string} format
 * @property {string} digest
 * @property {number} size
 * @property {number} rank
 * @property {Record<string, any>} meta
 */

/**
 * What a viewer is given.
 * @typedef {object} Showing
 * @property {string[]} place of the API
 * @property {string} key
 * @property {number} step
 * @property {number | null} rank
 * @property {MediaItem[]} items
 */

export class MediaCard {
  /**
   * @param {MediaKey} key
   * @param {{place: string[], rank: number | null, step: number | null, onStep: (key: string, step: number) => void}} how
   */
  constructor(key, how) {
    this.key = key;
    this.place = how.place;
    this.rank = how.rank;
    this.onStep = how.onStep;
    this.step = how.step !== null && Number.isFinite(how.step) ? how.step : (key.steps.at(-1) ?? 0);
    /** Follows the newest step until somebody moves the slider. */
    this.isLast = how.step === null;
    this.isLoaded = false;
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.playing = undefined;
    /** @type {{repaint?: () => void, remove?: () => void} | null} */
    this.viewer = null;
    this.slider = make("input", {
      type: "range", min: 0, "aria-label": `Step of ${key.key}`,
      on: { input: () => this.setIndex(Number(this.slider.value)) },
    });
    this.told = make("output", { class: "muted" });
    this.play = make("button", {
      type: "button", class: "button small", "aria-label": `Play ${key.key}`, "aria-pressed": "false",
      on: { click: () => this.toggle() },
    }, "\u25b6");
    this.body = make("div", { class: "media-body" });
    this.caption = make("p", { class: "caption" }, "\u00a0");
    this.controls = make("div", { class: "media-steps" }, this.play, this.slider, this.told);
    this.element = make(
      "article",
      { class: `card media-card type-${key.type}`, "data-key": key.key, "aria-label": key.key },
      make("header", {}, make("h2", {}, make("bdi", { class: "clip", title: key.key }, key.key)), make("span", { class: "tag" }, key.type)),
      this.controls, this.body, this.caption,
    );
    this.showSteps();
    // Tab has to reach what is fetched only when it is on the screen.
    if (this.controls.hidden) this.element.tabIndex = 0;
  }

  showSteps() {
    const { steps } = this.key;
    const isWhole = VIEWERS[this.key.type]?.isOverSteps;
    this.controls.hidden = steps.length < 2 || Boolean(isWhole);
    this.slider.max = String(Math.max(steps.length - 1, 0));
    this.slider.value = String(this.index);
    this.told.textContent = `step ${this.step.toLocaleString("en")}`;
  }

  /** The place of the step among those of the slider. */
  get index() {
    const { steps } = this.key;
    let at = 0;
    steps.forEach((step, i) => {
      if (step <= this.step) at = i;
    });
    return at;
  }

  /** @param {number} index */
  setIndex(index) {
    this.step = this.key.steps[index] ?? 0;
    this.isLast = index === this.key.steps.length - 1;
    this.onStep(this.key.key, this.step);
    this.showSteps();
    this.load();
  }

  toggle() {
    if (this.playing) {
      clearInterval(this.playing);
      this.playing = undefined;
    } else {
      this.playing = setInterval(() => this.setIndex((this.index + 1) % this.key.steps.length), PLAY_MS);
    }
    this.play.setAttribute("aria-pressed", String(Boolean(this.playing)));
    this.play.textContent = this.playing ? "\u275a\u275a" : "\u25b6";
  }

  /** @param {number | null} rank */
  setRank(rank) {
    if (rank === this.rank) return;
    this.rank = rank;
    if (this.isLoaded) this.load();
  }

  /** More was logged. @param {MediaKey} key */
  update(key) {
    const isSame = key.count === this.key.count;
    this.key = key;
    if (isSame) return;
    if (this.isLast) this.step = key.steps.at(-1) ?? 0;
    this.showSteps();
    if (this.isLoaded && (this.isLast || VIEWERS[key.type]?.isOverSteps)) this.load();
  }

  async load() {
    this.isLoaded = true;
    if (this.element.tabIndex === 0) this.element.tabIndex = -1;
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    try {
      const found = await this.fetchStep(this.step, abort.signal);
      if (abort.signal.aborted) return;
      await this.show(found, abort.signal);
      this.prefetch(abort.signal);
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      this.showProblem(error);
    }
  }

  /** @param {number} step @param {AbortSignal} signal */
  async fetchStep(step, signal) {
    return getJson(apiAddress([...this.place, "at"], { key: this.key.key, step, rank: this.rank }), signal);
  }

  /** @param {any} found @param {AbortSignal} signal */
  async show(found, signal) {
    const kind = VIEWERS[this.key.type] ?? VIEWERS.download;
    const viewer = await kind.load();
    if (signal.aborted) return;
    /** @type {Showing} */
    const showing = { place: this.place, key: this.key.key, step: found.step, rank: found.rank, items: found.items };
    const before = this.viewer;
    this.viewer = (await viewer.show(this.body, showing, this)) ?? null;
    if (before !== this.viewer) before?.remove?.();
    this.element.classList.remove("failed");
    this.caption.textContent = this.describe(found);
    this.element.dataset.ready = String(found.step);
  }

  /** @param {any} found */
  describe(found) {
    const parts = found.items.length === 1 && found.items[0].meta.caption ? [String(found.items[0].meta.caption)] : [];
    if (this.key.ranks.length > 1) parts.push(`rank ${found.rank} of ${this.key.ranks.length.toLocaleString("en")}`);
    if (found.more) parts.push(`${found.more.toLocaleString("en")} more of this list are not shown`);
    const { steps, all_steps: all } = this.key;
    if (steps.length < all) parts.push(`the slider has ${steps.length.toLocaleString("en")} of ${all.toLocaleString("en")} steps`);
    return parts.join(" · ") || "\u00a0";
  }

  /** @param {any} error */
  showProblem(error) {
    this.viewer?.remove?.();
    this.viewer = null;
    this.element.classList.add("failed");
    this.body.replaceChildren(make("p", { class: "problem" }, ...explain(error)));
    this.element.dataset.ready = "failed";
  }

  /** The neighbours are fetched too, so that the slider does not wait. @param {AbortSignal} signal */
  async prefetch(signal) {
    if (this.key.type !== "image") return;
    for (const at of [this.index + 1, this.index - 1]) {
      const step = this.key.steps[at];
      if (step === undefined) continue;
      const found = await this.fetchStep(step, signal).catch(() => null);
      for (const item of found?.items.slice(0, 12) ?? []) new Image().src = apiAddress([...this.place, item.digest]);
    }
  }

  repaint() {
    this.viewer?.repaint?.();
  }
}
