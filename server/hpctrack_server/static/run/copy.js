// Buttons with data-copy: they copy the text of the element with that id.
import { say } from "../base/message.js";

/** @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    // Without a secure context there is no clipboard: a tunnel to another name than localhost.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    say(isDone ? "Copied." : "The browser does not let pages copy here.", { kind: isDone ? "info" : "bad" });
  }
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  if (!(button instanceof HTMLElement)) return;
  const text = document.getElementById(button.dataset.copy ?? "")?.textContent;
  if (text) copyText(text.trim());
});
