// Which ranks the charts are of: one, all, or their mean between the lowest and the highest.
import { make } from "../base/dom.js";

const SELECT_MAX = 128;
const CHOICES = /** @type {const} */ ([["one", "One rank"], ["all", "All ranks"], ["band", "Mean, min–max"]]);

export class RankChoice {
  /** @param {HTMLElement} box @param {number} size @param {(ranks: string) => void} onChange */
  constructor(box, size, onChange) {
    this.size = size;
    this.box = box;
    box.hidden = size < 2;
    if (box.hidden) return;
    this.inputs = CHOICES.map(([value]) => make("input", { type: "radio", name: "ranks", value }));
    this.number = size <= SELECT_MAX
      ? make("select", { id: "rank" }, ...Array.from({ length: size }, (_, rank) => make("option", { value: rank }, rank)))
      : make("input", { id: "rank", type: "number", min: 0, max: size - 1, value: 0 });
    this.field = make("span", { class: "field" }, make("label", { for: "rank" }, "Rank"), this.number);
    const segments = make("fieldset", { class: "segments" }, make("legend", { class: "sr" }, "Ranks"),
      ...CHOICES.map(([, label], i) => make("label", {}, this.inputs?.[i], make("span", {}, label))));
    box.replaceChildren(segments, this.field);
    box.addEventListener("change", () => onChange(this.read()));
  }

  read() {
    const chosen = this.inputs?.find((one) => one.checked)?.value ?? "band";
    if (chosen !== "one") return chosen;
    return String(Math.min(Math.max(Math.round(Number(this.number?.value)) || 0, 0), this.size - 1));
  }

  /** @param {string} ranks */
  show(ranks) {
    if (!this.inputs || !this.number || !this.field) return;
    const isOne = /^\d+$/.test(ranks);
    const chosen = isOne ? "one" : ranks;
    for (const one of this.inputs) one.checked = one.value === chosen;
    if (isOne) this.number.value = ranks;
    this.field.hidden = !isOne;
  }
}
