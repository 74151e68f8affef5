// Performance profiles: which share of the runs of each group has more than each score.
import { byId } from "../base/dom.js";
import { colourOf } from "../base/tokens.js";
import { Figure } from "../charts/figure.js";

const HEIGHT_PX = 300;
const PADDING = 0.02;

/** @typedef {{scores: number[], groups: {share: number[], low: (number | null)[], high: (number | null)[]}[]}} Profiles */

export class ProfileChart {
  /** @param {HTMLElement} box */
  constructor(box) {
    this.box = box;
    /** @type {Profiles} */
    this.told = JSON.parse(box.dataset.profile ?? "{}");
  }

  async mount() {
    const host = /** @type {HTMLElement} */ (this.box.querySelector(".drawing"));
    this.figure = await Figure.mount("marks", host);
    this.figure.model.height = HEIGHT_PX;
    this.figure.model.below[0].axis_label = "score above";
    this.figure.model.left[0].axis_label = "share of runs";
    this.draw();
    this.box.dataset.ready = "true";
  }

  draw() {
    if (!this.figure) return;
    const { scores, groups } = this.told;
    const colours = groups.map((_, at) => colourOf(at));
    this.box.querySelectorAll("li i").forEach((mark, at) => {
      /** @type {HTMLElement} */ (mark).style.background = colours[at];
    });
    const banded = groups.map((one, at) => ({ ...one, color: colours[at] })).filter((one) => one.low.every((end) => end !== null));
    this.figure.find("areas").data = {
      xs: banded.map(() => [...scores, ...[...scores].reverse()]),
      ys: banded.map((one) => [...one.high, ...[...one.low].reverse()]),
      color: banded.map((one) => one.color),
    };
    this.figure.find("lines").data = { xs: groups.map(() => scores), ys: groups.map((one) => one.share), color: colours, width: groups.map(() => 2), alpha: groups.map(() => 1) };
    const [low, high] = [scores[0], scores[scores.length - 1]];
    const pad = (high - low) * PADDING || 0.5;
    this.figure.setRanges([low - pad, high + pad], [-PADDING, 1 + PADDING]);
    byId("profile-caption").textContent = banded.length ? "bands: pointwise stratified bootstrap intervals \u00b7 a curve that lies above another has more runs above every score" : "one run of each task: nothing is known of the spread";
  }

  repaint() {
    this.draw();
    this.figure?.repaint();
  }
}
