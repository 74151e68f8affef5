// What people say of a run: its name, tags and notes, edited in place.
import { apiAddress, sendJson, ServerError } from "../base/api.js";
import { byId } from "../base/dom.js";
import { refreshParts } from "../base/live.js";
import { say, sayError } from "../base/message.js";

const run = byId("run");

/** @param {Record<string, any>} change */
async function edit(change) {
  await sendJson("POST", apiAddress(["projects", run.dataset.project ?? "", "edit"]), { ids: [run.dataset.run], ...change });
  await refreshParts(["head", "tags", "edited"]);
}

/**
 * @param {Record<string, any>} change @param {string} done @param {Record<string, any>} undo
 * @param {(said: Record<string, any>) => void} [show] what the page shows of it beside its parts
 */
async function editWithUndo(change, done, undo, show = () => {}) {
  const work = async (/** @type {Record<string, any>} */ said) => {
    await edit(said);
    show(said);
  };
  try {
    await work(change);
    say(done, { action: "Undo", onAction: () => work(undo).catch(sayError) });
  } catch (error) {
    sayError(error);
  }
}

export function watchWords() {
  const tag = /** @type {HTMLInputElement} */ (byId("tag-new"));
  byId("tag-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = tag.value.trim();
    if (!name) return;
    await editWithUndo({ add_tags: [name] }, `Tagged “${name}”.`, { remove_tags: [name] });
    tag.value = "";
    tag.focus();
  });
  byId("words").addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-tag]") : null;
    if (!(button instanceof HTMLElement)) return;
    const name = button.dataset.tag ?? "";
    editWithUndo({ remove_tags: [name] }, `Removed the tag “${name}”.`, { add_tags: [name] });
  });
  watchName();
  watchNotes();
}

function watchName() {
  const field = /** @type {HTMLInputElement} */ (byId("run-name"));
  const form = byId("name-form");
  const button = form.querySelector("button");
  let saved = field.value;
  const show = () => {
    if (button) button.disabled = !field.value.trim() || field.value.trim() === saved;
  };
  const showSaved = (/** @type {Record<string, any>} */ { name }) => {
    saved = field.value = name;
    const shown = name || field.placeholder;
    const crumb = document.querySelector(".crumbs [aria-current] bdi");
    if (crumb) crumb.textContent = shown;
    document.title = [shown, ...document.title.split(" \u00b7 ").slice(-2)].join(" \u00b7 ");
    show();
  };
  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    field.value = saved;
    show();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = field.value.trim();
    if (name && name !== saved) editWithUndo({ name, was: { name: saved } }, `Renamed to “${name}”.`, { name: saved, was: { name } }, showSaved);
  });
}

function watchNotes() {
  const notes = /** @type {HTMLTextAreaElement} */ (byId("notes"));
  const form = byId("notes-form");
  const button = form.querySelector("button");
  const state = byId("notes-state");
  let saved = notes.value;
  let isWarned = false;
  const show = () => {
    const isChanged = notes.value !== saved;
    if (button) button.disabled = !isChanged;
    state.textContent = isChanged ? "not saved" : "";
  };
  const save = async () => {
    const text = notes.value;
    try {
      await edit({ notes: text, ...(isWarned ? {} : { was: { notes: saved } }) });
      saved = text;
      isWarned = false;
      show();
      if (state.textContent === "") state.textContent = "saved";
    } catch (error) {
      isWarned = error instanceof ServerError && error.code === "busy";
      if (isWarned) state.textContent = "somebody else has saved other notes meanwhile: reload to see them, or save again to replace them";
      else sayError(error);
    }
  };
  notes.addEventListener("input", show);
  notes.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
  addEventListener("beforeunload", (event) => {
    if (notes.value !== saved) event.preventDefault();
  });
}
