// Ctrl + K, or "/" where a page has no search of its own: go to a project, a run or a page.
import { address, apiAddress, getJson, sendJson } from "./api.js";
import { later, make } from "./dom.js";

const RUNS_MAX = 8;
const PROJECTS_MAX = 8;
const PROJECTS_ASKED = 4;
/** Without a project of its own, a page looks for runs in those that were active last. */

const ASK_MS = 120;

/** @typedef {{title: string, note: string, href: string}} Goal */

const side = /** @type {HTMLElement | null} */ (document.querySelector(".side"));
const here = side?.dataset.project ?? "";

/** @type {Promise<string[]> | null} */
let projects = null;

function loadProjects() {
  projects ??= getJson(apiAddress(["projects"])).then(
    ({ projects: found }) => found.map((/** @type {{name: string}} */ one) => one.name),
    () => [],
  );
  return projects;
}

class Palette {
  /** @type {Goal[]} */
  #goals = [];
  #chosen = 0;
  #asked = 0;

  constructor() {
    this.input = make("input", { type: "text", placeholder: "Go to a project, a run or a page", "aria-label": "Go to", role: "combobox", "aria-expanded": "true", "aria-controls": "goals", autocomplete: "off", spellcheck: "false", maxlength: 200 });
    this.list = make("ul", { id: "goals", role: "listbox", "aria-label": "Goals" });
    this.dialog = make("dialog", { class: "palette", "aria-label": "Go to" }, this.input, this.list);
    const ask = later(() => this.#ask(), ASK_MS);
    this.input.addEventListener("input", () => {
      this.#show(this.#pages());
      ask();
    });
    this.input.addEventListener("keydown", (event) => this.#onKey(event));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("close", () => this.dialog.remove());
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.#ask();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.#goals.length) {
      event.preventDefault();
      this.#choose((this.#chosen + step + this.#goals.length) % this.#goals.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const goal = this.#goals[this.#chosen];
      if (goal) location.assign(goal.href);
    }
  }

  #word() {
    return this.input.value.trim();
  }

  /** The pages that the side of this one leads to. @returns {Goal[]} */
  #pages() {
    const links = /** @type {HTMLAnchorElement[]} */ ([...(side?.querySelectorAll("a") ?? [])]);
    const all = links.map((one) => ({ title: one.textContent?.trim() ?? "", note: "page", href: one.href }));
    return all.filter(({ title }) => title.toLowerCase().includes(this.#word().toLowerCase()));
  }

  async #ask() {
    const mine = ++this.#asked;
    const word = this.#word();
    const names = await loadProjects();
    const fits = names.filter((name) => name.toLowerCase().includes(word.toLowerCase())).slice(0, PROJECTS_MAX);
    const goals = fits.map((name) => ({ title: name, note: "project", href: address(["p", name, "runs"]) }));
    const where = here ? [here] : names.slice(0, PROJECTS_ASKED);
    const runs = word ? (await Promise.all(where.map((name) => findRuns(name, word)))).flat() : [];
    // An answer to what was typed before is no answer.
    if (mine === this.#asked) this.#show([...runs, ...goals, ...this.#pages()]);
  }

  /** @param {Goal[]} goals */
  #show(goals) {
    this.#goals = goals;
    const lines = goals.map((goal, i) =>
      make("li", { role: "none" }, make("a", { role: "option", id: `goal-${i}`, "aria-selected": "false", href: goal.href, tabindex: "-1" }, make("bdi", { class: "clip" }, goal.title), make("small", {}, goal.note))),
    );
    this.list.replaceChildren(...(lines.length ? lines : [make("li", { class: "muted" }, "Nothing is called so")]));
    if (goals.length) this.#choose(0);
  }

  /** @param {number} index */
  #choose(index) {
    this.list.children[this.#chosen]?.firstElementChild?.setAttribute("aria-selected", "false");
    this.#chosen = index;
    const line = /** @type {Element} */ (this.list.children[index].firstElementChild);
    line.setAttribute("aria-selected", "true");
    line.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", line.id);
  }
}

/** @param {string} project @param {string} word @returns {Promise<Goal[]>} */
async function findRuns(project, word) {
  const search = word.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  try {
    const found = await sendJson("POST", apiAddress(["projects", project, "table"]), { keys: ["name", "state"], search, count: RUNS_MAX });
    return found.ids.slice(0, RUNS_MAX).map((/** @type {string} */ id, /** @type {number} */ i) => ({
      title: found.columns.name[i] || id,
      note: `${found.columns.state[i]} run${here ? "" : ` in ${project}`}`,
      href: address(["p", project, "runs", id]),
    }));
  } catch {
    return []; // a project that cannot be read has no runs to go to
  }
}

const open = () => !document.querySelector("dialog[open]") && new Palette();

const button = document.getElementById("search");
if (button) {
  button.hidden = false;
  button.addEventListener("click", open);
}

addEventListener("keydown", (event) => {
  const isTyping = /** @type {Element} */ (event.target).closest?.("input, select, textarea");
  const isSlash = event.key === "/" && !isTyping && !document.querySelector("input[type=search]");
  const isCommand = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
  if (!isSlash && !isCommand) return;
  event.preventDefault();
  open();
});
