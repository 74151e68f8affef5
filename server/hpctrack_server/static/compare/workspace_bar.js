// Which workspace is open, whether it is saved, and the menu to open, save and rename.
import { byId, later, make } from "../base/dom.js";
import { openMenu } from "../base/menu.js";
import { say, sayError } from "../base/message.js";
import { readPlace, writePlace } from "../base/place.js";
import { askText } from "./dialogs.js";
import { DEFAULTS, RUN_PARAMETERS, writeShared } from "./place.js";
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
    /** Whether panels or colours differ from what was saved: no address says how. */
    this.isLayoutChanged = false;
    this.isToBeKept = false;
    this.isChanged = false;
    this.name = byId("workspace-name");
    this.button = make("button", { type: "button", class: "button", "aria-haspopup": "menu", on: { click: () => this.menu() } }, "Workspace");
    this.saveButton = make("button", { type: "button", class: "button", hidden: true, on: { click: () => this.save() } }, "Save");
    const add = make("button", { type: "button", class: "button primary", on: { click: () => page.addPanel() } }, "Add panel");
    byId("workspace-actions").replaceChildren(this.saveButton, this.button, add);
    this.keepLater = later(() => this.keepNow(), DRAFT_REST_MS);
    addEventListener("pagehide", () => this.isToBeKept && this.keepNow());
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
    this.page.areColoursChosen = draft?.isColoured ?? false;
    this.isLayoutChanged = draft !== null && (draft.isColoured || this.isOtherLayout(draft.body.sections));
    if (draft && saved && draft.seen && draft.seen < saved.updated) this.meet(saved, draft.seen);
    this.show();
    return draft?.body ?? readBody(saved?.body);
  }

  /** Somebody has saved the workspace since this browser changed it: saving it here must not undo that. @param {Saved} saved @param {number} seen */
  meet(saved, seen) {
    this.saved = { ...saved, updated: seen };
    say(`${saved.user || "Somebody"} has saved this workspace since you changed it here. You see yours.`, { action: "Show what was saved", onAction: () => this.reset() });
  }

  keepDraft() {
    this.isToBeKept = true;
    this.keepLater();
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

  /** @param {Body["sections"]} sections */
  isOtherLayout(sections) {
    return JSON.stringify(sections) !== JSON.stringify(this.saved ? readBody(this.saved.body).sections : null);
  }

  keepNow() {
    const { page } = this;
    this.isToBeKept = false;
    const { zoom: _zoom, ...changes } = writeShared(page.shared, page.base);
    // A change that was taken back by hand is none.
    this.isLayoutChanged = page.areColoursChosen || this.isOtherLayout(this.body().sections);
    this.isChanged = this.isLayoutChanged || Object.values(changes).some((one) => one !== null);
    this.workspaces.keepDraft(this.id, this.isChanged ? this.body() : null, { seen: this.saved?.updated, isColoured: page.areColoursChosen });
    this.show();
  }

  show() {
    const title = this.saved?.title ?? (this.page.isAutomatic && !this.isChanged ? "automatic layout" : "own layout");
    // Apart, so that a long title does not push out, and one written to the left does not turn, what is said of it.
    this.name.replaceChildren(make("bdi", { class: "clip" }, title), this.isChanged ? make("span", { class: "unsaved" }, `\u00a0· not saved${this.isLayoutChanged ? ": others do not see it" : ""}`) : "");
    this.name.title = title;
    this.saveButton.hidden = !this.isChanged;
    // What is chosen above the panels is in the address; where and what they are is not.
    this.saveButton.textContent = this.isLayoutChanged ? "Save to share" : "Save";
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
      { label: saved?.is_default ? "No longer the default" : "Make it the default", isDisabled: !saved, act: () => this.toggleDefault() },
      { label: saved ? "Back to what was saved" : "Reset to automatic", isDisabled: !this.isChanged, act: () => this.reset() },
      { label: "Delete", isDisabled: !saved, isDangerous: true, act: () => this.remove() },
    ]);
  }

  /** Another workspace, with the same runs. @param {string | null} id */
  go(id) {
    const kept = new URLSearchParams();
    const place = readPlace();
    for (const name of [...RUN_PARAMETERS, "hide", "show"]) {
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
    this.isChanged = this.isLayoutChanged = this.page.areColoursChosen = false;
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
      this.keepNow();
    } catch (error) {
      sayError(error);
    }
  }

  /** What the page shows whom the address names none. */
  async toggleDefault() {
    if (!this.saved) return;
    try {
      this.saved = await this.workspaces.change(this.saved, { is_default: !this.saved.is_default });
      this.keepNow();
      say(this.saved.is_default ? "Compare begins with this workspace now, for everybody." : "Compare begins with the automatic layout again.");
    } catch (error) {
      sayError(error);
    }
  }

  reset() {
    this.isToBeKept = false;
    this.workspaces.keepDraft(this.id, null);
    this.go(this.id);
  }

  async remove() {
    if (!this.saved) return;
    try {
      const was = await this.workspaces.remove(this.saved);
      this.isToBeKept = false;
      this.workspaces.keepDraft(this.id, null);
      this.workspaces.keepDeleted(was);
      this.go(null);
    } catch (error) {
      sayError(error);
    }
  }
}
