// The box beside the pointer, with pairs of text.
import { byId, make } from "../base/dom.js";

const GAP_PX = 16;
const EDGE_PX = 8;

export class Tip {
  constructor() {
    this.box = byId("tip");
  }

  /** @param {{clientX: number, clientY: number}} at @param {string} title @param {string} where @param {[string, string][]} rows */
  show(at, title, where, rows) {
    const table = make("table", {}, ...rows.map(([label, value]) =>
      make("tr", {}, make("td", {}, make("bdi", { class: "clip" }, label)), make("td", {}, make("bdi", {}, value)))));
    this.fill([make("header", {}, make("b", {}, title), make("span", {}, where)), table], at);
  }

  /** @param {Node[]} parts @param {{clientX: number, clientY: number}} at */
  fill(parts, at) {
    this.box.className = "tip cell";
    this.box.replaceChildren(...parts);
    this.box.hidden = false;
    this.place(at);
  }

  /** @param {{clientX: number, clientY: number}} at */
  place({ clientX: x, clientY: y }) {
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const left = x + GAP_PX + width > innerWidth - EDGE_PX ? x - GAP_PX - width : x + GAP_PX;
    const top = Math.min(y + GAP_PX, innerHeight - height - EDGE_PX);
    Object.assign(this.box.style, { left: `${Math.max(left, EDGE_PX)}px`, top: `${Math.max(top, EDGE_PX)}px` });
  }

  hide() {
    this.box.hidden = true;
  }
}
