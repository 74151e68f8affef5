// Which workspace is open, whether it is saved, and the menu to open, save and rename.
import { byId, later, make } from "../base/dom.js";
import { openMenu } from "../base/menu.js";
import { say, sayError } from "../base/message.js";
import { readPlace, writePlace } from "../base/place.js";
import { askText } from "./dialogs.js";
import { DEFAULTS, writeShared } from "./place.js";
import { Workspaces, readBody } from "./workspaces.js";

/** @typedef {import("./workspaces.js").Body} Body */
/** @typedef {import("./workspaces.js").Saved} Saved */

const DRAFT_REST_MS = 300;
/** In the address: no workspace, though the project may have a default one. */
const AUTOMATIC = "-";

export class WorkspaceBar {
  /** @param {import("./compare_page.js").ComparePage} page */
  constructor(page) {
    this.page = page;
    this.workspaces = new Workspaces(page.project);
    /** @type {Saved | null} */
    this.saved = null;
    this.isChanged = false;
    this.name = byId("workspace-name");
    this.button = make("button", { type: "button", class: "button", "aria-haspopup": "menu", on: { click: () => this.menu() } }, "Workspace");
    this.saveButton = make("button", { type: "button", class: "button", hidden: true, on: { click: () => this.save() } }, "Save");
    const add = make("button", { type: "button", class: "button primary", on: { click: () => page.addPanel() } }, "Add panel");
    byId("workspace-actions").replaceChildren(this.saveButton, this.button, add);
    this.keepDraft = later(() => this.keepNow(), DRAFT_REST_MS);
  }

  get id() {
    return this.saved ? String(this.saved.id) : null;
  }

  get savedShared() {
    return this.saved ? readBody(this.saved.body).shared : {};
  }

  /**
   * What the page begins with: what was saved, with what this browser has changed.
   * @param {Saved | null} saved @param {string} trouble why there is none
   * @returns {Body}
   */
  open(saved, trouble) {
    this.saved = saved;
    if (trouble) say(trouble, { kind: "bad" });
    this.offerUndo();
    if (readPlace().get("workspace") !== AUTOMATIC) writePlace({ workspace: this.id });
    const draft = this.workspaces.readDraft(this.id);
    this.isChanged = draft !== null;
    this.show();
    return draft ?? readBody(saved?.body);
  }

  /** The page before this one was of a workspace that was deleted there. */
  offerUndo() {
    const was = this.workspaces.takeDeleted();
    if (!was) return;
    const bringBack = async () => this.go(String((await this.workspaces.create(was.title, was.body, was.is_default)).id));
    say(`Deleted the workspace ${was.title}, for everybody`, { action: "Undo", onAction: () => bringBack().catch(sayError) });
  }

  /** What would be saved now. @returns {Body} */
  body() {
    const { page } = this;
    const { zoom: _zoom, version: _version, ...shared } = page.shared;
    const colours = Object.fromEntries([...page.runs.numbers].filter(([id]) => page.runs.byId.has(id)));
    return { version: 1, sections: page.isAutomatic ? null : page.board?.read() ?? null, shared, colours };
  }

  keepNow() {
    this.isChanged = !this.isAsSaved();
    this.workspaces.keepDraft(this.id, this.isChanged ? this.body() : null);
    this.show();
  }

  /** Whether a change was taken back by hand. */
  isAsSaved() {
    const { page } = this;
    const { zoom: _zoom, ...changes } = writeShared(page.shared, page.base);
    const sections = JSON.stringify(this.saved ? readBody(this.saved.body).sections : null);
    const isSame = Object.values(changes).every((one) => one === null);
    return isSame && !page.areColoursChosen && JSON.stringify(this.body().sections) === sections;
  }

  show() {
    const title = this.saved?.title ?? (this.page.isAutomatic && !this.isChanged ? "automatic layout" : "own layout");
    // Apart, so that a long title does not push out, and one written to the left does not turn, what is said of it.
    this.name.replaceChildren(make("bdi", { class: "clip" }, title), this.isChanged ? make("span", {}, "\u00a0· not saved") : "");
    this.name.title = title;
    this.saveButton.hidden = !this.isChanged;
  }

  async menu() {
    /** @type {Saved[]} */
    let all = [];
    try {
      all = await this.workspaces.list();
    } catch (error) {
      sayError(error);
    }
    const { saved } = this;
    openMenu(this.button, [
      { label: "Automatic layout", isChosen: !saved, act: () => this.go(null) },
      ...all.slice(0, 50).map((one) => ({ label: one.title || "(no name)", isChosen: String(one.id) === this.id, act: () => this.go(String(one.id)) })),
      null,
      { label: "Save", isDisabled: !saved || !this.isChanged, act: () => this.save() },
      { label: "Save as…", act: () => this.saveAs() },
      { label: "Rename…", isDisabled: !saved, act: () => this.rename() },
      { label: saved?.is_default ? "Do not begin with this one" : "Begin with this one", isDisabled: !saved, act: () => this.toggleDefault() },
      { label: saved ? "Back to what was saved" : "Reset to automatic", isDisabled: !this.isChanged, act: () => this.reset() },
      { label: "Delete", isDisabled: !saved, isDangerous: true, act: () => this.remove() },
    ]);
  }

  /** Another workspace, with the same runs. @param {string | null} id */
  go(id) {
    const kept = new URLSearchParams();
    const place = readPlace();
    for (const name of ["runs", "filter", "search", "sort", "limit", "value", "hide", "show"]) {
      const value = place.get(name);
      if (value) kept.set(name, value);
    }
    kept.set("workspace", id ?? AUTOMATIC);
    location.assign(`${location.pathname}?${kept}`);
  }

  async save() {
    if (!this.saved) return this.saveAs();
    try {
      this.settle(await this.workspaces.change(this.saved, { body: this.body() }));
      say("The workspace is saved.");
    } catch (error) {
      sayError(error);
    }
  }

  async saveAs() {
    const title = await askText("Save this workspace", "Name", this.saved ? `${this.saved.title} (copy)` : "", "Save");
    if (!title) return;
    try {
      const saved = await this.workspaces.create(title, this.body());
      this.workspaces.keepDraft(this.id, null);
      this.settle(saved);
      say("The workspace is saved.");
    } catch (error) {
      sayError(error);
    }
  }

  /** What is shown is what is saved. @param {Saved} saved */
  settle(saved) {
    this.saved = saved;
    this.isChanged = false;
    this.workspaces.keepDraft(this.id, null);
    this.page.base = { ...DEFAULTS, ...readBody(saved.body).shared };
    writePlace({ workspace: this.id });
    this.page.writeAddress(false);
    this.show();
  }

  async rename() {
    if (!this.saved) return;
    const title = await askText("Rename this workspace", "Name", this.saved.title, "Rename");
    if (!title) return;
    try {
      this.saved = await this.workspaces.change(this.saved, { title });
      this.show();
    } catch (error) {
      sayError(error);
    }
  }

  /** What the page shows whom the address names none. */
  async toggleDefault() {
    if (!this.saved) return;
    try {
      this.saved = await this.workspaces.change(this.saved, { is_default: !this.saved.is_default });
      say(this.saved.is_default ? "Compare begins with this workspace now, for everybody." : "Compare begins with the automatic layout again.");
    } catch (error) {
      sayError(error);
    }
  }

  reset() {
    this.workspaces.keepDraft(this.id, null);
    this.go(this.id);
  }

  async remove() {
    if (!this.saved) return;
    try {
      const was = await this.workspaces.remove(this.saved);
      this.workspaces.keepDraft(this.id, null);
      this.workspaces.keepDeleted(was);
      this.go(null);
    } catch (error) {
      sayError(error);
    }
  }
}
