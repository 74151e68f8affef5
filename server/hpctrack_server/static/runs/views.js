// Saved views: a name for a filter, an order, groups and columns.
import { apiAddress, sendJson } from "../base/api.js";
import { make } from "../base/dom.js";
import { say, sayError } from "../base/message.js";
import { askText, makePanel } from "./dialog.js";
import { currentPlace, project } from "./place.js";
import { go, refresh } from "./refresh.js";

const NOT_SAVED = ["page", "view", "open"];

/** @param {...string} more */
const saved = (...more) => apiAddress(["projects", project(), "saved", "view", ...more]);

function body() {
  const place = Object.entries(currentPlace()).filter(([name, value]) => value && !NOT_SAVED.includes(name));
  return { place: Object.fromEntries(place) };
}

export function tendViews() {
  showMore();
  document.addEventListener("tablechange", showMore);
  document.addEventListener("click", (event) => {
    const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("#views [data-do]"));
    const line = /** @type {HTMLElement | null} */ (button?.closest("[data-view]") ?? null);
    if (!button || !line) return;
    const work = WORK[button.dataset.do ?? ""];
    work?.(line.dataset).catch(sayError);
  });
}

/** Without scripts these buttons could do nothing. */
function showMore() {
  for (const one of document.querySelectorAll('#views [data-do="more"]')) /** @type {HTMLElement} */ (one).hidden = false;
}

/** @param {string} id */
const open = (id) => go(`${location.pathname}?view=${encodeURIComponent(id)}`);

/** @type {Record<string, (view: DOMStringMap) => Promise<unknown>>} */
const WORK = {
  "save-view": async ({ view, updated }) => {
    await sendJson("PUT", saved(view ?? ""), { body: body(), updated: Number(updated) });
    say("Saved");
    await open(view ?? "");
  },
  "save-view-as": async () => {
    const title = await askText("Save this view as", { action: "Save" });
    if (!title) return;
    const { id } = await sendJson("POST", saved(), { title, body: body() });
    await open(id);
  },
  more: async ({ view = "", title = "", updated, default: isFirst }) => {
    const panel = makePanel(title);
    const seen = Number(updated);
    const act = (/** @type {string} */ label, /** @type {() => Promise<unknown>} */ work) =>
      make("button", { type: "button", class: "button", on: { click: () => (panel.close(), work().then(refresh).catch(sayError)) } }, label);
    panel.append(
      make(
        "footer",
        {},
        act("Rename\u2026", async () => {
          const next = await askText("Rename the view", { action: "Rename", value: title });
          if (next) await sendJson("PUT", saved(view), { title: next, updated: seen });
        }),
        isFirst === "True"
          ? act("Do not begin with it", () => sendJson("PUT", saved(view), { is_default: false, updated: seen }))
          : act("Begin with it", () => sendJson("PUT", saved(view), { is_default: true, updated: seen })),
        act("Delete", () => remove(view)),
      ),
    );
    panel.showModal();
  },
};

/** @param {string} view */
async function remove(view) {
  const was = await sendJson("DELETE", saved(view));
  const onAction = () => sendJson("POST", saved(), { title: was.title, body: was.body, is_default: was.is_default }).then(refresh, sayError);
  say(`Deleted the view ${was.title}`, { action: "Undo", onAction });
  if (currentPlace().view === view) await go(`${location.pathname}?view=none`);
}
