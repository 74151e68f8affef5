// A note between panels: plain text, shown as it is written.
import { make } from "../base/dom.js";
import { loadStyle } from "./figure.js";
import { Panel } from "./panel.js";

export default class NotePanel extends Panel {
  async load() {
    await loadStyle();
    const text = String(this.spec.settings.text ?? "");
    const box = make("textarea", { class: "note", "aria-label": "Note", placeholder: "Write a note here", spellcheck: "false" });
    box.value = text;
    box.addEventListener("change", () => {
      this.spec.settings.text = box.value;
      this.host.dispatchEvent(new CustomEvent("panelchange", { bubbles: true }));
    });
    this.host.replaceChildren(box);
  }

  title() {
    return "Note";
  }

  fields() {
    return [{ name: "text", label: "Text", kind: /** @type {const} */ ("text") }];
  }

  remove() {
    this.host.replaceChildren();
  }
}
