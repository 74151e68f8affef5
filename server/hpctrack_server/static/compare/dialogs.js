// Dialogs: the settings of a panel, a new panel, a name.
import { make } from "../base/dom.js";
import { KINDS } from "../panels/registry.js";

/** @typedef {import("../panels/panel.js").Field} Field */

/**
 * Asks in a dialog; the answer is what the form holds, or null.
 * @param {string} title @param {HTMLElement[]} controls @param {string} action
 * @returns {Promise<boolean>}
 */
export function ask(title, controls, action) {
  const cancel = make("button", { type: "button", class: "button" }, "Cancel");
  const form = make("form", { class: "sheet" },
    make("h2", {}, title), ...controls,
    make("div", { class: "sheet-actions" }, cancel, make("button", { type: "submit", class: "button primary" }, action)));
  const dialog = make("dialog", { "aria-label": title }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let isDone = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      isDone = true;
      dialog.close();
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(isDone);
    });
    dialog.showModal();
    /** @type {HTMLElement | null} */ (form.querySelector("input, select, textarea"))?.focus();
  });
}

/** @param {string} title @param {string} label @param {string} value @param {string} action @returns {Promise<string | null>} */
export async function askText(title, label, value, action) {
  const input = make("input", { type: "text", value, required: true, maxlength: 200, autocomplete: "off" });
  const isSure = await ask(title, [wrap(label, input)], action);
  return isSure ? input.value.trim() || null : null;
}

/**
 * The settings of a panel in a form that its fields describe.
 * @param {import("../panels/host.js").PanelCard} card
 * @param {{metrics: string[], columns: string[]}} known names for completion
 * @returns {Promise<boolean>} whether they were changed
 */
export async function editPanel(card, known) {
  const fields = card.panel?.fields() ?? [];
  const title = make("input", { type: "text", value: card.spec.title ?? "", placeholder: card.panel?.title() ?? "", maxlength: 300, autocomplete: "off" });
  const inputs = fields.map((field) => makeInput(field, card.spec.settings[field.name], known));
  const lists = [makeList("known-metrics", known.metrics), makeList("known-columns", known.columns)];
  const isSure = await ask("Settings of this panel", [wrap("Title", title), ...inputs.map((one) => one.element), ...lists], "Apply");
  if (!isSure) return false;
  if (title.value.trim()) card.spec.title = title.value.trim();
  else delete card.spec.title;
  for (const { name, read } of inputs) {
    const value = read();
    if (value === "" || value === null) delete card.spec.settings[name];
    else card.spec.settings[name] = value;
  }
  return true;
}

/**
 * @param {string[]} metrics
 * @param {string[]} sections titles
 * @returns {Promise<{kind: string, metric: string, section: string} | null>}
 */
export async function askPanel(metrics, sections) {
  const kind = make("select", {}, ...Object.entries(KINDS).map(([name, one]) => make("option", { value: name }, one.title)));
  const metric = make("input", { type: "text", list: "known-metrics", placeholder: metrics[0] ?? "", maxlength: 1000, autocomplete: "off", spellcheck: "false" });
  const section = make("input", { type: "text", list: "known-sections", value: sections[0] ?? "Panels", maxlength: 200, autocomplete: "off" });
  const what = wrap("Metric or expression", metric, "such as val/loss, log(loss), or a / b");
  const later = make("p", { class: "muted", hidden: true }, "It chooses columns by itself; its menu has the settings.");
  kind.addEventListener("change", () => {
    what.hidden = kind.value !== "line";
    later.hidden = !what.hidden;
  });
  const isSure = await ask("Add a panel", [
    wrap("Kind", kind), what, later,
    wrap("Section", section), makeList("known-metrics", metrics), makeList("known-sections", sections)], "Add");
  return isSure ? { kind: kind.value, metric: metric.value.trim() || metrics[0] || "", section: section.value.trim() } : null;
}

/**
 * @param {Field} field @param {any} value @param {{metrics: string[], columns: string[]}} known
 * @returns {{name: string, element: HTMLElement, read: () => any}}
 */
function makeInput(field, value, known) {
  const { name, label, hint } = field;
  if (field.kind === "choice") {
    const box = make("select", {}, ...(field.choices ?? []).map((one) => make("option", { value: one.value }, one.label)));
    box.value = String(value ?? field.choices?.[0]?.value ?? "");
    return { name, element: wrap(label, box, hint), read: () => box.value };
  }
  if (field.kind === "flag") {
    const box = make("input", { type: "checkbox" });
    box.checked = Boolean(value);
    return { name, element: make("label", { class: "check" }, box, label), read: () => box.checked };
  }
  if (field.kind === "columns") {
    const box = make("textarea", { rows: 4, spellcheck: "false", placeholder: known.columns.slice(0, 3).join("\n") });
    box.value = (Array.isArray(value) ? value : []).join("\n");
    return { name, element: wrap(label, box, hint ?? "one column on each line"), read: () => box.value.split("\n").map((one) => one.trim()).filter(Boolean) };
  }
  const list = field.kind === "metric" ? "known-metrics" : field.kind === "column" ? "known-columns" : null;
  const box = make("input", { type: field.kind === "number" ? "number" : "text", step: "any", list, value: value ?? "", maxlength: 2000, autocomplete: "off", spellcheck: "false" });
  const read = () => (field.kind === "number" && box.value !== "" ? Number(box.value) : box.value.trim());
  return { name, element: wrap(label, box, hint), read };
}

/** @param {string} id @param {string[]} values */
function makeList(id, values) {
  return make("datalist", { id }, ...values.slice(0, 2000).map((one) => make("option", { value: one })));
}

/** @param {string} label @param {HTMLElement} control @param {string} [hint] */
function wrap(label, control, hint) {
  return make("label", { class: "sheet-field" }, make("span", {}, label), control, hint ? make("small", { class: "muted" }, hint) : null);
}
