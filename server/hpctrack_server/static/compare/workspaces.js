// Workspaces on the server, and the changes of this browser that nobody has saved yet.
import { apiAddress, getJson, prefix, sendJson } from "../base/api.js";
import { clampSize } from "./layout.js";
import { DEFAULTS } from "./place.js";

/** @typedef {import("../panels/panel.js").PanelSpec} PanelSpec */
/** @typedef {import("../panels/panel.js").Shared} Shared */
/** @typedef {import("./automatic.js").Section} Section */

/**
 * @typedef {object} Body what a workspace keeps
 * @property {1} version
 * @property {Section[] | null} sections null is the automatic layout
 * @property {Partial<Shared>} shared
 * @property {Record<string, number>} colours
 */

/**
 * @typedef {object} Saved
 * @property {string} id
 * @property {string} title
 * @property {string} user
 * @property {Body} body
 * @property {boolean} is_default
 * @property {number} updated UTC seconds
 */

/**
 * @typedef {object} Draft changes of this browser
 * @property {Body} body
 * @property {number} seen the `updated` of what was changed; 0 if it was not saved
 * @property {boolean} isColoured whether colours were chosen by hand
 */

const KIND = "workspace";
const PANELS_MAX = 2000;

export class Workspaces {
  /** @param {string} project */
  constructor(project) {
    this.project = project;
  }

  /** @param {string} [id] */
  url(id) {
    return apiAddress(["projects", this.project, "saved", KIND, ...(id ? [id] : [])]);
  }

  /** @returns {Promise<Saved[]>} */
  async list() {
    return (await getJson(this.url())).saved;
  }

  /** @param {string} title @param {Body} body @param {boolean} [isDefault] @returns {Promise<Saved>} */
  create(title, body, isDefault = false) {
    return sendJson("POST", this.url(), { title, body, is_default: isDefault });
  }

  /** Refused if somebody else has changed it meanwhile. @param {Saved} saved @param {{title?: string, body?: Body, is_default?: boolean}} changes @returns {Promise<Saved>} */
  change(saved, changes) {
    return sendJson("PUT", this.url(String(saved.id)), { ...changes, updated: saved.updated });
  }

  /** @param {Saved} saved @returns {Promise<Saved>} */
  remove(saved) {
    return sendJson("DELETE", this.url(String(saved.id)));
  }

  /** For the page that comes next, which offers an undo. @param {Saved} saved */
  keepDeleted(saved) {
    try {
      sessionStorage.setItem(this.draftKey("deleted"), JSON.stringify(saved));
    } catch {
      // Without storage there is no undo.
    }
  }

  /** @returns {Saved | null} what the page before has deleted; it is told once */
  takeDeleted() {
    try {
      const text = sessionStorage.getItem(this.draftKey("deleted"));
      sessionStorage.removeItem(this.draftKey("deleted"));
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  }

  // -- drafts ----------------------------------------------------------------------------------

  /** @param {string | null} id of the workspace; null is the automatic one */
  draftKey(id) {
    return `hpctrack-workspace ${prefix} ${this.project} ${id ?? ""}`;
  }

  /** @param {string | null} id @returns {Draft | null} */
  readDraft(id) {
    try {
      const text = localStorage.getItem(this.draftKey(id));
      if (!text) return null;
      const kept = JSON.parse(text);
      return { body: readBody(kept), seen: Number(kept?.seen) || 0, isColoured: kept?.isColoured === true };
    } catch {
      return null; // forbidden storage, or something of another version
    }
  }

  /** @param {string | null} id @param {Body | null} body null forgets it @param {{seen?: number, isColoured?: boolean}} [facts] */
  keepDraft(id, body, facts = {}) {
    try {
      if (body) localStorage.setItem(this.draftKey(id), JSON.stringify({ ...body, ...facts }));
      else localStorage.removeItem(this.draftKey(id));
    } catch {
      // Without storage a draft lasts as long as the page.
    }
  }
}

/**
 * A body from outside: whatever is in it, what comes out can be shown.
 * @param {any} given @returns {Body}
 */
export function readBody(given) {
  const sections = Array.isArray(given?.sections) ? given.sections.map(readSection) : null;
  const colours = Object.fromEntries(Object.entries(given?.colours ?? {}).filter(([, number]) => Number.isInteger(number) && Number(number) >= 0));
  const shared = /** @type {Record<string, any>} */ ({});
  for (const [name, value] of Object.entries(given?.shared ?? {})) {
    const known = /** @type {any} */ (DEFAULTS)[name];
    if (known !== undefined && (known === null || typeof known === typeof value)) shared[name] = value;
  }
  return { version: 1, sections, shared, colours: /** @type {Record<string, number>} */ (colours) };
}

/** @param {any} given @returns {Section} */
function readSection(given) {
  const panels = Array.isArray(given?.panels) ? given.panels.slice(0, PANELS_MAX) : [];
  return {
    title: String(given?.title ?? ""),
    isOpen: given?.isOpen !== false,
    panels: panels.filter((/** @type {any} */ one) => one && typeof one === "object").map(readPanel),
  };
}

/** @param {any} given @returns {PanelSpec} */
function readPanel(given) {
  const { w, h } = clampSize(Number(given.w), Number(given.h));
  const settings = given.settings && typeof given.settings === "object" ? given.settings : {};
  return { id: String(given.id ?? newId()), kind: String(given.kind ?? ""), w, h, settings, ...(given.title ? { title: String(given.title) } : {}) };
}

export function newId() {
  return Math.random().toString(36).slice(2, 10);
}
