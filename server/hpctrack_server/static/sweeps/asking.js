// Pause, resume, stop: asked with one click, and what becomes of it is shown.
import { apiAddress, sendJson } from "../base/api.js";
import { say, sayError } from "../base/message.js";
import { localiseTimes } from "../base/page.js";

const DONE = { pause: "The sweep is asked to pause.", resume: "The sweep is asked to go on.", stop: "The sweep is asked to stop." };

/** @param {HTMLElement} root of the page @param {() => Promise<void>} refresh */
export function followButtons(root, refresh) {
  enableButtons(root);
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

/** A click before this script is there would be lost, so buttons come disabled. @param {HTMLElement} root */
function enableButtons(root) {
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (root.querySelectorAll("[data-ask]"))) button.disabled = false;
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

/** What the server last said of each part: what a script has changed in it since is no news. @type {WeakMap<Element, string>} */
const shown = new WeakMap();

/** Takes over the parts of the page that tell how it stands. @param {HTMLElement} root @returns {Promise<HTMLElement | null>} the page as it is now */
export async function refreshParts(root) {
  const answer = await fetch(location.href);
  if (!answer.ok) return null;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sweep");
  if (!fresh) return null;
  root.dataset.wish = fresh.dataset.wish;
  root.dataset.state = fresh.dataset.state;
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-part]"))) {
    const other = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!other || other.innerHTML === shown.get(part)) continue;
    shown.set(part, other.innerHTML);
    const focused = part.contains(document.activeElement);
    part.replaceChildren(...other.childNodes);
    enableButtons(part);
    if (focused) /** @type {HTMLElement | null} */ (part.querySelector("button, a"))?.focus();
  }
  localiseTimes(/** @type {any} */ (root));
  return fresh;
}
