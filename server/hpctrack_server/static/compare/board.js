// The sections of a workspace and their cards: made from its document, and written back to it.
import { afterFrame, make } from "../base/dom.js";
import { CardWatch, PanelCard } from "../panels/host.js";
import { Grid } from "./grid.js";

/** @typedef {import("../panels/panel.js").PanelSpec} PanelSpec */
/** @typedef {import("./automatic.js").Section} Section */

const CARDS_PER_TURN = 60;
/** That are painted together after a zoom: each takes a few milliseconds. */
const CARDS_PER_FRAME = 12;

/**
 * @typedef {object} BoardWatch
 * @property {() => void} onChange panels or sections are not what they were
 * @property {(card: PanelCard) => import("../base/menu.js").Item[]} items of the menu of a card
 * @property {(section: HTMLElement) => void} onSectionMenu
 * @property {(text: string) => void} announce
 */

export class Board {
  /**
   * @param {HTMLElement} element @param {import("../panels/panel.js").PanelContext} context
   * @param {BoardWatch} watch
   */
  constructor(element, context, watch) {
    this.element = element;
    this.context = context;
    this.watch = watch;
    this.cardWatch = new CardWatch();
    /** @type {Grid[]} */
    this.grids = [];
    this.search = "";
    this.zooms = 0;
    element.addEventListener("panelchange", () => watch.onChange());
  }

  get cards() {
    return this.cardWatch.all;
  }

  /** @param {Section[]} sections */
  show(sections) {
    this.clear();
    this.sections = sections;
    for (const section of sections) this.addSection(section);
    if (!sections.length) this.element.dataset.empty = "nothing";
    else delete this.element.dataset.empty;
    if (this.search) this.find(this.search);
  }

  clear() {
    for (const card of this.cards) this.dropCard(card);
    for (const grid of this.grids) grid.remove();
    this.grids = [];
    this.element.replaceChildren();
  }

  /** @param {Section} section */
  addSection(section) {
    delete this.element.dataset.empty;
    const count = make("span", { class: "muted" });
    const title = make("bdi", { class: "clip", title: section.title }, section.title);
    const menu = make("button", { type: "button", class: "panel-menu", "aria-haspopup": "menu", "aria-label": `Menu of the section ${section.title}` }, "⋯");
    const gridBox = make("div", { class: "panels" });
    const more = make("button", { type: "button", class: "button more", hidden: true });
    const box = make("details", { class: "section", open: section.isOpen },
      make("summary", {}, make("h2", {}, title), count), gridBox, more);
    box.dataset.title = section.title;
    // The menu stands beside the summary: a button within a button cannot be reached by everybody.
    this.element.append(make("div", { class: "section-frame" }, box, menu));
    const grid = new Grid(gridBox, {
      onChange: () => this.changed(),
      cardOf: (one) => this.cardWatch.cards.get(one),
      announce: this.watch.announce,
    });
    this.grids.push(grid);
    /** Specs whose cards are not made yet: hundreds of cards are slow to lay out. @type {PanelSpec[]} */
    const waiting = [...section.panels];
    pending.set(gridBox, waiting);
    const fill = (/** @type {number} */ number) => {
      for (const spec of waiting.splice(0, number)) this.addCard(spec, grid);
      more.hidden = !waiting.length;
      more.textContent = `Show ${Math.min(waiting.length, CARDS_PER_TURN)} more of ${waiting.length}`;
      this.count();
    };
    more.addEventListener("click", () => fill(CARDS_PER_TURN));
    box.addEventListener("toggle", () => {
      if (box.open && !gridBox.children.length) fill(CARDS_PER_TURN);
      if (box.open !== section.isOpen) {
        section.isOpen = box.open;
        if (!this.search) this.watch.onChange();
      }
    });
    menu.addEventListener("click", () => this.watch.onSectionMenu(box));
    if (section.isOpen) fill(CARDS_PER_TURN);
    this.count();
    return grid;
  }

  /** @param {PanelSpec} spec @param {Grid} grid @param {Element | null} [before] */
  addCard(spec, grid, before = null) {
    const card = new PanelCard(spec, this.context, { items: this.watch.items });
    grid.insert(card, before);
    this.cardWatch.add(card);
    return card;
  }

  /** A new panel at the top of a section, the first if none is named. @param {PanelSpec} spec @param {string} [title] */
  addPanel(spec, title) {
    const box = this.boxes.find((one) => one.dataset.title === title);
    if (box) box.open = true;
    const grid = (box && this.gridOf(box)) ?? this.addSection({ title: title || "Panels", isOpen: true, panels: [] });
    const card = this.addCard(spec, grid, grid.element.firstElementChild);
    this.changed();
    card.element.scrollIntoView({ block: "nearest" });
    return card;
  }

  /** More panels of the automatic layout, at the ends of their sections. @param {Section[]} sections */
  extend(sections) {
    for (const section of sections) {
      const box = this.boxes.find((one) => one.dataset.title === section.title);
      const grid = box && this.gridOf(box);
      if (!grid) this.addSection(section);
      else if (grid.element.children.length) for (const spec of section.panels) this.addCard(spec, grid);
      else waitingOf(grid).push(...section.panels); // closed so far
    }
    this.count();
  }

  /** @param {PanelCard} card */
  dropCard(card) {
    this.cardWatch.drop(card);
    card.remove();
  }

  /** @param {HTMLElement} box @param {-1 | 1} by */
  moveSection(box, by) {
    const frame = /** @type {HTMLElement} */ (box.parentElement);
    const other = by < 0 ? frame.previousElementSibling : frame.nextElementSibling;
    if (!other) return;
    this.element.insertBefore(frame, by < 0 ? other : other.nextElementSibling);
    this.changed();
  }

  /** @param {HTMLElement} box */
  removeSection(box) {
    const grid = this.gridOf(box);
    for (const card of grid?.cards ?? []) this.dropCard(card);
    grid?.remove();
    this.grids = this.grids.filter((one) => one !== grid);
    box.parentElement?.remove();
    this.changed();
  }

  /** @param {HTMLElement} box */
  gridOf(box) {
    return this.grids.find((one) => box.contains(one.element));
  }

  /** @returns {HTMLDetailsElement[]} */
  get boxes() {
    return /** @type {HTMLDetailsElement[]} */ ([...this.element.children].map((one) => one.firstElementChild));
  }

  /** What the workspace keeps. @returns {Section[]} */
  read() {
    return this.boxes.map((box) => {
      const grid = this.gridOf(box);
      return {
        title: box.dataset.title ?? "",
        isOpen: box.open && !box.dataset.foundIn,
        panels: grid ? [...grid.cards.map((one) => one.spec), ...waitingOf(grid)] : [],
      };
    });
  }

  changed() {
    this.count();
    this.watch.onChange();
  }

  count() {
    for (const box of this.boxes) {
      const grid = this.gridOf(box);
      const label = box.querySelector("summary > .muted");
      if (grid && label) label.textContent = String(grid.element.children.length + waitingOf(grid).length);
    }
  }

  /** Shows the panels whose heading has these letters; sections without any go. @param {string} text */
  find(text) {
    this.search = text;
    const wanted = text.trim().toLowerCase();
    for (const box of this.boxes) {
      const grid = this.gridOf(box);
      if (!grid) continue;
      const waiting = waitingOf(grid);
      for (const spec of wanted ? waiting.filter((one) => titleOf(one).includes(wanted)).slice(0, CARDS_PER_TURN) : []) {
        waiting.splice(waiting.indexOf(spec), 1);
        this.addCard(spec, grid);
      }
      let isAny = !wanted;
      for (const card of grid.cards) {
        const isHit = !wanted || card.title.toLowerCase().includes(wanted) || titleOf(card.spec).includes(wanted);
        card.element.hidden = !isHit;
        isAny ||= isHit;
      }
      /** @type {HTMLElement} */ (box.parentElement).hidden = !isAny;
      if (wanted && isAny && !box.open) {
        box.open = true;
        box.dataset.foundIn = "true";
      } else if (!wanted && box.dataset.foundIn) {
        box.open = false;
        delete box.dataset.foundIn;
      }
    }
    if (this.boxes.length) this.element.dataset.empty = String(Boolean(wanted) && this.boxes.every((one) => one.parentElement?.hidden));
  }

  /** All panels show something old now; those on the screen load at once. */
  spoil() {
    for (const card of this.cards) card.spoil();
  }

  /**
   * Another part of the x axis, in all panels: first what is there, then each asks for more points.
   * The panel that was zoomed is the first, the others follow in the next frame: all at once they
   * would keep it waiting, and requests would keep all of them waiting.
   * @param {[number, number] | null} range @param {import("../panels/panel.js").Panel} [from]
   */
  zoom(range, from) {
    const turn = ++this.zooms;
    for (const card of this.cards) card.expect();
    const seen = this.cards.filter((one) => one.isVisible);
    const show = (/** @type {PanelCard[]} */ cards) => cards.forEach((one) => one.panel?.showRange(range));
    const rest = seen.filter((one) => one.panel !== from);
    const next = () => {
      if (turn !== this.zooms) return;
      if (!rest.length) return afterFrame(() => turn === this.zooms && seen.forEach((one) => one.refresh()));
      show(rest.splice(0, CARDS_PER_FRAME));
      requestAnimationFrame(next);
    };
    show(seen.filter((one) => one.panel === from));
    requestAnimationFrame(next);
  }
}

/** @type {WeakMap<Element, PanelSpec[]>} */
const pending = new WeakMap();

/** @param {Grid} grid */
function waitingOf(grid) {
  return pending.get(grid.element) ?? [];
}

/** @param {PanelSpec} spec */
function titleOf(spec) {
  return `${spec.title ?? ""} ${JSON.stringify(spec.settings)}`.toLowerCase();
}
