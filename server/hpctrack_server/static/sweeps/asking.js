// Pause, resume, stop: asked with one click, and what becomes of it is shown.
import { apiAddress, sendJson } from "../base/api.js";
import { say, sayError } from "../base/message.js";
import { localiseTimes } from "../base/page.js";

const DONE = { pause: "The sweep is asked to pause.", resume: "The sweep is asked to go on.", stop: "The sweep is asked to stop." };

/** @param {HTMLElement} root of the page @param {() => Promise<void>} refresh */
export function followButtons(root, refresh) {
  root.addEventListener("click", async (event) => {
    const button = /** @type {HTMLElement} */ (event.target).closest("button");
    if (button?.dataset.command) return copy(button.dataset.command);
    const word = /** @type {keyof typeof DONE | undefined} */ (button?.dataset.ask);
    if (!button || !word) return undefined;
    button.disabled = true;
    const { project = "", sweep = "", wish = "run" } = root.dataset;
    try {
      const asked = await sendJson("POST", apiAddress(["projects", project, "sweeps", sweep, "requests"]), { ask: word, seen: wish });
      say(asked.is_elsewhere ? `${DONE[word]} The next hpctrack sync takes it along.` : DONE[word]);
      await refresh();
    } catch (error) {
      button.disabled = false;
      sayError(error);
    }
    return undefined;
  });
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("The command is copied.");
  } catch {
    // Without a secure context there is no clipboard: then it can be marked by hand.
    say(text);
  }
}

/** Takes over the parts of the page that tell how it stands. @param {HTMLElement} root */
export async function refreshParts(root) {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sweep");
  if (!fresh) return;
  root.dataset.wish = fresh.dataset.wish;
  root.dataset.state = fresh.dataset.state;
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-part]"))) {
    const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!other || other.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement);
    part.replaceChildren(...other.childNodes);
    if (focused) /** @type {HTMLElement | null} */ (part.querySelector("button, a"))?.focus();
  }
  localiseTimes(/** @type {any} */ (root));
}
