// What stands behind the pixel under the pointer: asked of the server, which knows every value.
import { apiAddress, getJson } from "../base/api.js";
import { later, make } from "../base/dom.js";
import { formatNumber } from "../base/format.js";
import { Tip } from "./tip.js";

const ASK_MS = 40;
const AGAIN_MS = 600;

export class Inspector {
  /** @param {string[]} run project and id @param {HTMLElement} speech says it to who cannot see it */
  constructor(run, speech) {
    this.run = run;
    this.speech = speech;
    this.tip = new Tip();
    /** @type {AbortController | null} */
    this.abort = null;
    /** @type {import("./heatmap.js").Pixel | null} */
    this.pixel = null;
    this.at = { clientX: 0, clientY: 0 };
    this.ask = later((/** @type {any} */ view) => this.load(view), ASK_MS);
    /** @type {any} */
    this.found = null;
  }

  /**
   * @param {import("./heatmap.js").Pixel | null} pixel
   * @param {{clientX: number, clientY: number} | null} at on the screen
   * @param {import("./heatmap.js").View} view
   */
  look(pixel, at, view) {
    if (at) this.at = at;
    const isSame = pixel && this.pixel && pixel.step0 === this.pixel.step0 && pixel.ranks[0] === this.pixel.ranks[0];
    this.pixel = pixel;
    if (!pixel) {
      this.hide();
      return;
    }
    if (isSame) this.tip.place(this.at);
    else this.ask(view);
  }

  hide() {
    this.abort?.abort();
    this.pixel = null;
    this.tip.hide();
  }

  /** @param {import("./heatmap.js").View} view */
  async load(view) {
    const { pixel } = this;
    if (!pixel) return;
    this.abort?.abort();
    this.abort = new AbortController();
    const wanted = { metric: view.metric, how: view.how, ranks: pixel.ranks.join(","), x0: pixel.step0, x1: pixel.step1 };
    try {
      this.found = await getJson(apiAddress(["runs", ...this.run, "cell"], wanted), this.abort.signal);
    } catch (error) {
      const { name, message } = /** @type {any} */ (error);
      if (name === "AbortError") return;
      this.show([make("p", { class: "muted" }, message)], message);
      return;
    }
    if (this.pixel !== pixel && this.pixel?.step0 !== pixel.step0) return;
    this.describe(view, pixel, this.found);
    // What the others had is read now; it is told as soon as it is there.
    if (this.found.points && this.found.p50 === null) setTimeout(() => this.pixel === pixel && this.load(view), AGAIN_MS);
  }

  /** @param {import("./heatmap.js").View} view @param {import("./heatmap.js").Pixel} pixel @param {any} found */
  describe(view, pixel, found) {
    const steps = pixel.step1 - pixel.step0 > 1 ? `steps ${count(pixel.step0)}\u2013${count(pixel.step1 - 1)}` : `step ${count(pixel.step0)}`;
    if (!found.points) {
      const who = pixel.ranks.length > 1 ? `ranks ${pixel.ranks[0]}\u2013${pixel.ranks.at(-1)}` : `rank ${pixel.ranks[0]}`;
      this.show([make("header", {}, make("b", {}, who), make("span", {}, steps)), make("p", { class: "muted" }, "no value here")], `${who}, ${steps}: no value`);
      return;
    }
    const rows = [
      [view.how === "mean" ? `mean of ${count(found.points)}` : view.metric, formatNumber(found.value)],
      ["host", found.host || "unknown"],
      ["local rank", found.local_rank === undefined ? "" : String(found.local_rank)],
      ["GPU", found.gpu ?? ""],
    ];
    if (found.points > 1) rows.push([`${view.how === "min" ? "lowest" : view.how === "max" ? "highest" : "mean"} of`, `${count(found.points)} in ${steps}`]);
    rows.push(["p50 / p99 of the step", found.p50 === null ? "\u2026" : `${formatNumber(found.p50)} / ${formatNumber(found.p99)}`]);
    const table = make("table", {}, ...rows.filter(([, value]) => value !== "").map(([label, value]) =>
      make("tr", {}, make("td", {}, make("bdi", { class: "clip" }, label)), make("td", {}, make("bdi", {}, value)))));
    const head = make("header", {}, make("b", {}, `rank ${found.rank}`), make("span", {}, `step ${count(found.step)}`));
    this.tip.box.dataset.value = String(found.value);
    this.show([head, table], `rank ${found.rank}, step ${count(found.step)}: ${formatNumber(found.value)} on ${found.host || "an unknown host"}`);
  }

  /** @param {Node[]} parts @param {string} sentence */
  show(parts, sentence) {
    this.tip.fill(parts, this.at);
    this.speech.textContent = sentence;
  }
}

/** @param {number} n */
function count(n) {
  return n.toLocaleString("en");
}
