// The nodes of a run as boxes, with their ranks coloured by state or by a metric.
import { apiAddress, getJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { formatCount, formatNumber } from "../base/format.js";
import { makeGradient, makePalette, TOP_CODE } from "./palette.js";
import { nameHost } from "./rows.js";
import { consoleOf } from "./stragglers.js";

const CELLS_MAX = 20000;
const STATES = ["finished", "running", "failed", "lost"];

/** @typedef {[number, number, string, string, number | null]} RankCell rank, local rank, GPU, state, value */
/** @typedef {{host: string, node: number, ranks: RankCell[]}} NodeBox */

export class NodeMap {
  /**
   * @param {HTMLElement} card
   * @param {string[]} run
   * @param {(node: NodeBox | null) => void} choose
   */
  constructor(card, run, choose) {
    this.box = /** @type {HTMLElement} */ (card.querySelector(".nodes"));
    this.key = /** @type {HTMLElement} */ (card.querySelector(".key"));
    this.search = /** @type {HTMLInputElement} */ (card.querySelector("input[type=search]"));
    this.sentence = /** @type {HTMLElement} */ (card.querySelector("header .muted"));
    this.run = run;
    this.choose = choose;
    /** @type {NodeBox[]} */
    this.nodes = [];
    this.search.addEventListener("input", () => this.draw());
    this.box.addEventListener("keydown", (event) => this.move(event));
  }

  /** @param {string} metric empty: states */
  async load(metric) {
    this.metric = metric;
    try {
      this.nodes = (await getJson(apiAddress(["runs", ...this.run, "nodes"], { metric }))).nodes;
    } catch (error) {
      this.box.replaceChildren(make("p", { class: "bad" }, /** @type {any} */ (error).message));
      return;
    }
    this.draw();
    this.box.dataset.ready = "true";
  }

  draw() {
    const wanted = this.search.value.trim().toLowerCase();
    const shown = this.nodes.filter((one) => one.host.toLowerCase().includes(wanted));
    const values = this.nodes.flatMap((one) => one.ranks.map((rank) => rank[4])).filter((one) => one !== null).sort((a, b) => a - b);
    const [low, high] = [values[0] ?? 0, values.at(-1) ?? 1];
    const palette = makePalette();
    const colour = (/** @type {number} */ value) => palette[Math.round(TOP_CODE * Math.min(1, Math.max(0, high > low ? (value - low) / (high - low) : 0.5)))];
    let room = CELLS_MAX;
    const boxes = shown.map((node, i) => {
      room -= node.ranks.length;
      return this.makeBox(node, i === 0, room >= 0 ? colour : null);
    });
    this.box.replaceChildren(...boxes);
    const ranks = shown.reduce((sum, one) => sum + one.ranks.length, 0);
    this.sentence.textContent = `${count(shown.length)} of ${formatCount(this.nodes.length, "node")}, ${formatCount(ranks, "rank")}${room < 0 ? "; cells are left out of the last ones" : ""}`;
    this.drawKey(low, high);
  }

  /** @param {NodeBox} node @param {boolean} isFirst @param {((value: number) => string) | null} colour */
  makeBox(node, isFirst, colour) {
    const bad = node.ranks.filter((one) => one[3] === "failed" || one[3] === "lost").length;
    const numbers = node.ranks.map((one) => one[4]).filter((one) => one !== null);
    const mean = numbers.length ? numbers.reduce((a, b) => a + b, 0) / numbers.length : null;
    const said = [`${node.host}: ranks ${node.ranks[0]?.[0]} to ${node.ranks.at(-1)?.[0]}`, bad ? `${bad} did not end well` : "", mean === null ? "" : `mean ${formatNumber(mean)}`].filter(Boolean).join(", ");
    const cells = make("span", { class: "cells" });
    for (const [rank, local, gpu, state, value] of colour ? node.ranks : []) {
      const title = `rank ${rank} (local ${local}${gpu ? `, GPU ${gpu}` : ""}): ${this.metric && value !== null ? formatNumber(value) : state}`;
      const cell = make("i", { class: this.metric ? "" : state, title, "data-rank": rank });
      if (this.metric) cell.style.background = value === null ? "var(--heat-none)" : /** @type {any} */ (colour)(value);
      cells.append(cell);
    }
    const box = make("button", { type: "button", class: "node", "aria-label": said, "aria-pressed": "false", title: said, tabindex: isFirst ? 0 : -1 },
      make("bdi", {}, nameHost(node.host)), cells);
    box.addEventListener("click", (event) => {
      const { rank } = /** @type {HTMLElement} */ (event.target).dataset;
      if (rank !== undefined && (event.ctrlKey || event.metaKey)) location.href = consoleOf(this.run, Number(rank));
      else this.press(box, node);
    });
    return box;
  }

  /** @param {HTMLElement} box @param {NodeBox} node */
  press(box, node) {
    const wasPressed = box.getAttribute("aria-pressed") === "true";
    for (const one of this.box.children) one.setAttribute("aria-pressed", "false");
    box.setAttribute("aria-pressed", String(!wasPressed));
    this.choose(wasPressed ? null : node);
  }

  release() {
    for (const one of this.box.children) one.setAttribute("aria-pressed", "false");
  }

  /** Arrow keys go from node to node: hundreds of stops for the tab key help nobody. @param {KeyboardEvent} event */
  move(event) {
    const boxes = /** @type {HTMLElement[]} */ ([...this.box.children]);
    const at = boxes.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const perRow = boxes.filter((one) => one.offsetTop === boxes[0].offsetTop).length;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow }[event.key];
    if (at < 0 || by === undefined) return;
    event.preventDefault();
    const next = boxes[Math.min(boxes.length - 1, Math.max(0, at + by))];
    boxes[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /** @param {number} low @param {number} high */
  drawKey(low, high) {
    if (!this.metric) {
      const known = STATES.filter((state) => this.nodes.some((node) => node.ranks.some((one) => one[3] === state)));
      this.key.replaceChildren(...known.map((state) => {
        const mark = make("i", {});
        mark.style.background = `var(--cell-${state})`;
        return make("span", {}, mark, state);
      }));
      return;
    }
    const ramp = make("i", { class: "ramp" });
    ramp.style.background = makeGradient("to right");
    this.key.replaceChildren(make("span", {}, formatNumber(low), ramp, formatNumber(high)), make("span", {}, "mean of each rank over the run"));
  }
}

/** @param {number} n */
function count(n) {
  return n.toLocaleString("en");
}
