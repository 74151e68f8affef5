// The card around a panel: heading, menu, caption, and the panel's error in its own box.
import { icon, make, prose } from "../base/dom.js";
import { openMenu } from "../base/menu.js";
import { Panel } from "./panel.js";
import { KINDS } from "./registry.js";

/** @typedef {import("./panel.js").PanelSpec} PanelSpec */
/** @typedef {import("./panel.js").PanelContext} PanelContext */

const DOTS = "M5 12h.01M12 12h.01M19 12h.01";
const CORNER = "M20 9v11H9M20 15v5h-5";

/**
 * @typedef {object} CardActions what the page offers in the menu of a card
 * @property {(card: PanelCard) => import("../base/menu.js").Item[]} items
 */

/** A panel of a kind that this dashboard does not know: it stays in the workspace, and says so. */
class UnknownPanel extends Panel {
  async load() {
    throw new Error(`there is no kind of panel called “${String(this.spec.kind).slice(0, 40)}”`);
  }
}

export class PanelCard {
  /** @type {Panel | null} */
  panel = null;
  isStale = true;
  /** It is near the screen, so it is loaded. */
  isVisible = false;
  isSeen = false;
  /** @type {Promise<void> | null} */
  loading = null;

  /** @param {PanelSpec} spec @param {PanelContext} context @param {CardActions} actions */
  constructor(spec, context, actions) {
    this.spec = spec;
    this.context = context;
    this.actions = actions;
    this.heading = make("bdi", { class: "clip" });
    this.box = make("div", { class: "panel-box" });
    // A panel that is changed by hand, as by a brush, says so itself.
    for (const name of ["panelchange", "choose"]) this.box.addEventListener(name, () => this.showCaption());
    this.caption = make("p", { class: "caption" });
    this.error = make("div", { class: "panel-error", role: "alert", hidden: true });
    this.handle = make("button", {
      type: "button", class: "panel-handle", "aria-label": "Move or resize",
      title: "Drag to move. Arrow keys move, shift and arrow keys resize.",
    });
    this.menu = make("button", {
      type: "button", class: "panel-menu", "aria-haspopup": "menu", on: { click: () => openMenu(this.menu, this.actions.items(this)) },
    }, icon(DOTS));
    this.corner = make("span", { class: "panel-corner", "aria-hidden": "true" }, icon(CORNER));
    this.header = make("header", {}, make("h3", {}, this.handle, this.heading), this.menu);
    this.element = make("article", { class: "card panel", "data-kind": spec.kind, "data-panel": spec.id },
      this.header, this.box, this.error, this.caption, this.corner);
    // What the panel shows is old, and it knows: a zoom of its own.
    this.box.addEventListener("panelstale", () => this.spoil());
    this.resizing = new ResizeObserver(() => this.panel?.resize());
    this.resizing.observe(this.box);
    this.showTitle();
  }

  get title() {
    return this.spec.title || this.panel?.title() || this.spec.settings.y || KINDS[this.spec.kind]?.title || this.spec.kind;
  }

  showTitle() {
    const { title } = this;
    this.heading.textContent = title;
    this.heading.title = title;
    this.element.setAttribute("aria-label", title);
    this.element.dataset.title = title;
    this.handle.setAttribute("aria-label", `Move or resize ${title}`);
    this.menu.setAttribute("aria-label", `Menu of ${title}`);
  }

  /** Loads if it can be seen and what it shows is old; else when it is seen. */
  async refresh() {
    if (!this.isVisible || !this.isStale) return;
    this.isStale = false;
    this.element.dataset.loading = "true";
    const turn = (this.loading = this.load());
    await turn;
    if (this.loading === turn && !this.isStale) delete this.element.dataset.loading;
  }

  async load() {
    try {
      if (!this.panel) {
        const kind = KINDS[this.spec.kind];
        const Kind = kind ? (await kind.load()).default : UnknownPanel;
        this.panel ??= new Kind(this.box, this.spec, this.context);
        this.panel.see(this.isSeen);
      }
      await this.panel.load();
      this.showError(null);
    } catch (error) {
      const problem = /** @type {Error} */ (error);
      if (problem.name === "AbortError") return;
      this.showError(problem);
    }
    this.showTitle();
    this.showCaption();
    this.element.dataset.ready = "true";
    this.element.dispatchEvent(new CustomEvent("panelready", { bubbles: true }));
  }

  /** @param {boolean} isSeen on the screen, if only in part */
  see(isSeen) {
    this.isSeen = isSeen;
    this.panel?.see(isSeen);
    if (isSeen && this.panel) this.showCaption();
  }

  showCaption() {
    const text = this.panel?.describe() ?? "";
    this.caption.textContent = text;
    this.caption.title = text;
    const total = /** @type {any} */ (this.panel)?.total;
    if (total !== undefined) this.element.dataset.points = String(total);
  }

  /** @param {(Error & {hint?: string, at?: number}) | null} error */
  showError(error) {
    this.error.hidden = error === null;
    this.element.classList.toggle("failed", error !== null);
    if (!error) return this.error.replaceChildren();
    const retry = () => {
      this.isStale = true;
      this.refresh();
    };
    this.error.replaceChildren(
      make("p", {}, make("b", {}, "This panel cannot be drawn. "), ...prose(error.message || String(error))),
      ...this.#showPlace(error.at),
      ...(error.hint ? [make("p", { class: "muted" }, ...prose(error.hint))] : []),
      make("button", { type: "button", class: "button", on: { click: retry } }, "Try again"));
  }

  /** The expression with the fault marked. @param {number} [at] in characters */
  #showPlace(at) {
    const text = this.spec.settings?.y;
    if (at === undefined || typeof text !== "string") return [];
    return [make("p", {}, make("code", {}, text.slice(0, at), make("mark", {}, text.slice(at, at + 1) || "\u00a0"), text.slice(at + 1)))];
  }

  /** Something that it shows has changed. */
  spoil() {
    this.isStale = true;
    this.refresh();
  }

  /** What it shows is old; `refresh` comes, or is for when it is seen. */
  expect() {
    this.isStale = true;
    if (this.isVisible) this.element.dataset.loading = "true";
  }

  /** Settings of another kind, or a copy: the panel begins anew. */
  restart() {
    this.panel?.remove();
    this.panel = null;
    this.box.replaceChildren();
    this.spoil();
  }

  remove() {
    this.resizing.disconnect();
    this.panel?.remove();
    this.panel = null;
    this.element.remove();
  }
}

/** Loads cards when they come near the screen. */
export class CardWatch {
  constructor() {
    /** @type {Map<Element, PanelCard>} */
    this.cards = new Map();
    this.observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const card = this.cards.get(target);
        if (!card) continue;
        card.isVisible = isIntersecting;
        card.refresh();
      }
    }, { rootMargin: "300px" });
    this.screen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.cards.get(target)?.see(isIntersecting);
    });
  }

  /** @param {PanelCard} card */
  add(card) {
    this.cards.set(card.element, card);
    this.observer.observe(card.element);
    this.screen.observe(card.element);
  }

  /** @param {PanelCard} card */
  drop(card) {
    this.cards.delete(card.element);
    this.observer.unobserve(card.element);
    this.screen.unobserve(card.element);
  }

  get all() {
    return [...this.cards.values()];
  }
}
