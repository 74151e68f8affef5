// Which columns are shown, in which order, and which stay in view.
import { apiAddress, getJson } from "../base/api.js";
import { byId, later, make } from "../base/dom.js";
import { sayError } from "../base/message.js";
import { makePanel } from "./dialog.js";
import { addressWith, currentPlace, joinKeys, project, splitKeys } from "./place.js";
import { go } from "./refresh.js";

const OTHERS_MAX = 200;

/** @typedef {{key: string, kind: string, count: number, distinct: number}} Known */

/** All columns that runs of the project have. @returns {Promise<Known[]>} */
export async function loadColumns() {
  return (await getJson(apiAddress(["projects", project(), "columns"]))).columns;
}

/** What the table shows now, as the address would name it. */
function shownSpecs() {
  const heads = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".runs thead th[data-spec]"));
  return heads.length ? [...heads].map((one) => one.dataset.spec ?? "") : splitKeys(currentPlace().cols);
}

/** @param {string[]} specs */
function apply(specs) {
  const { page = "" } = currentPlace();
  return go(addressWith({ cols: joinKeys(specs), page }), { history: "replace" });
}

/** @param {string} spec */
const nameOf = (spec) => spec.replace(/^!/, "");
/** @param {string} spec */
const readable = (spec) => nameOf(spec).replace(/^~/, "drawn: ").replace(/^(config|summary|slurm)\./, "");
/** @param {string} spec */
const areaOf = (spec) => /^!?~/.test(spec) ? "summary" : /^!?(config|summary|slurm)\./.exec(spec)?.[1] ?? "fact";

export function tendColumns() {
  byId("open-columns").addEventListener("click", () => openPanel().catch(sayError));
  tendHeads();
  keepPinned();
  document.addEventListener("tablechange", keepPinned);
  addEventListener("resize", later(keepPinned, 100));
}

async function openPanel() {
  const known = await loadColumns();
  const panel = makePanel("Columns", { isAtSide: true });
  const search = make("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns", autocomplete: "off" });
  const shown = make("ul", { "aria-label": "Shown columns" });
  const others = make("ul", { "aria-label": "Other columns" });
  const count = make("small", {});
  const note = make("p", { class: "muted none" });
  let specs = shownSpecs();
  const change = (/** @type {string[]} */ next) => {
    specs = next;
    paint();
    apply(specs);
  };
  const paint = () => {
    const word = search.value.trim().toLowerCase();
    const fits = (/** @type {string} */ key) => key.toLowerCase().includes(word);
    const focused = describe(panel);
    shown.replaceChildren(...specs.filter((one) => fits(nameOf(one))).map((one) => makeShown(one, specs, change)));
    const there = new Set(specs.map(nameOf));
    const rest = known.flatMap(withDrawing).filter((one) => !there.has(one.key) && fits(one.key));
    others.replaceChildren(...rest.slice(0, OTHERS_MAX).map((one) => makeOther(one, () => change([...specs, one.key]))));
    count.textContent = rest.length.toLocaleString("en");
    note.textContent = rest.length > OTHERS_MAX ? `${(rest.length - OTHERS_MAX).toLocaleString("en")} more: search for them` : "";
    refocus(panel, focused);
  };
  search.addEventListener("input", paint);
  const reset = () => {
    panel.close();
    go(addressWith({ cols: "", page: currentPlace().page ?? "" }));
  };
  panel.append(
    make("div", { class: "search" }, search),
    make("div", { class: "body" }, make("h3", {}, "Shown", make("small", {}, "drag, or Alt + arrows")), shown, make("h3", {}, "Others", count), others, note),
    make("footer", {}, make("button", { type: "button", class: "button", on: { click: reset } }, "Back to the usual columns")),
  );
  paint();
  panel.showModal();
  search.focus();
}

/** A metric can also be drawn small. @param {Known} one @returns {Known[]} */
function withDrawing(one) {
  const isMetric = one.kind === "number" && one.key.startsWith("summary.");
  return isMetric ? [one, { ...one, key: `~${one.key.slice("summary.".length)}` }] : [one];
}

/** The order in which the table shows them. @param {string[]} specs */
function pinnedFirst(specs) {
  const isPinned = (/** @type {string} */ one) => one.startsWith("!");
  const rest = specs.filter((one) => one !== "name");
  return ["name", ...rest.filter(isPinned), ...rest.filter((one) => !isPinned(one))];
}

/** @param {string} spec @param {string[]} specs @param {(specs: string[]) => void} change */
function makeShown(spec, specs, change) {
  const name = nameOf(spec);
  const isFixed = name === "name";
  const isPinned = spec.startsWith("!") || isFixed;
  const without = specs.filter((one) => one !== spec);
  const place = specs.indexOf(spec);
  const move = (/** @type {number} */ to) => change([...without.slice(0, to), spec, ...without.slice(to)]);
  const pin = () => change(pinnedFirst(specs.map((one) => (one === spec ? (isPinned ? name : `!${name}`) : one))));
  const grip = make("button", { type: "button", class: "grip", "aria-label": `Move ${readable(spec)}: Alt and arrow up or down`, disabled: isFixed }, "\u2807");
  const line = make(
    "li",
    { class: `option ${areaOf(spec)}`, draggable: isFixed ? null : "true", "data-focus": name },
    grip,
    make("label", {}, make("input", { type: "checkbox", checked: true, disabled: isFixed, on: { change: () => change(without) } }), make("span", { title: name }, readable(spec))),
    isFixed ? null : make("button", { type: "button", class: isPinned ? "quiet on" : "quiet", "aria-pressed": String(isPinned), "aria-label": `${isPinned ? "pinned" : "pin"}: keep ${readable(spec)} in view`, on: { click: pin } }, isPinned ? "pinned" : "pin"),
  );
  line.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!event.altKey || !step || isFixed) return;
    event.preventDefault();
    move(Math.min(Math.max(place + step, 1), without.length));
  });
  tendDrag(line, spec, (moved) => {
    const rest = specs.filter((one) => one !== moved);
    const at = Math.max(rest.indexOf(spec), 1);
    change([...rest.slice(0, at), moved, ...rest.slice(at)]);
  });
  return line;
}

/** @param {Known} one @param {() => void} add */
function makeOther(one, add) {
  return make(
    "li",
    { class: `option ${areaOf(one.key)}`, "data-focus": one.key },
    make("label", {}, make("input", { type: "checkbox", on: { change: add } }), make("span", { title: one.key }, readable(one.key))),
    make("small", {}, one.key.startsWith("~") ? "small curve" : `${one.count.toLocaleString("en")} runs`),
  );
}

const TYPE = "text/x-hpctrack-column";

/** @param {HTMLElement} element @param {string} spec @param {(moved: string) => void} onDrop */
function tendDrag(element, spec, onDrop) {
  element.addEventListener("dragstart", (event) => {
    event.dataTransfer?.setData(TYPE, spec);
    if (event.dataTransfer) event.dataTransfer.effectAllowed = "move";
  });
  element.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes(TYPE)) return;
    event.preventDefault();
    element.classList.add("over");
  });
  element.addEventListener("dragleave", () => element.classList.remove("over"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const moved = event.dataTransfer?.getData(TYPE);
    if (moved && moved !== spec) onDrop(moved);
  });
}

/** The headings themselves can be dragged, and clicked with Shift to sort by one more. */
function tendHeads() {
  const headOf = (/** @type {Event} */ event) => /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest?.(".runs thead th[data-spec]"));
  const clear = () => {
    for (const one of document.querySelectorAll(".drop-before")) one.classList.remove("drop-before");
  };
  document.addEventListener("dragstart", (event) => {
    const head = headOf(event);
    if (head && head.dataset.key !== "name") event.dataTransfer?.setData(TYPE, head.dataset.spec ?? "");
  });
  document.addEventListener("dragover", (event) => {
    const head = headOf(event);
    if (!head || !event.dataTransfer?.types.includes(TYPE)) return;
    event.preventDefault();
    clear();
    head.classList.add("drop-before");
  });
  document.addEventListener("drop", (event) => {
    const head = headOf(event);
    const moved = event.dataTransfer?.getData(TYPE);
    clear();
    if (!head || !moved) return;
    event.preventDefault();
    const specs = shownSpecs().filter((one) => one !== moved);
    const at = Math.max(specs.indexOf(head.dataset.spec ?? ""), 1);
    apply([...specs.slice(0, at), moved, ...specs.slice(at)]);
  });
}

/** Puts each pinned column beside the one before it; only the browser knows how wide they are. */
function keepPinned() {
  const grid = document.getElementById("grid");
  if (!grid) return;
  const heads = /** @type {HTMLElement[]} */ ([...grid.querySelectorAll("thead th")]);
  for (const head of heads.slice(2)) head.draggable = true;
  const pinned = heads.filter((one) => one.classList.contains("pin"));
  let left = 0;
  const rules = [];
  for (const head of pinned) {
    const place = heads.indexOf(head) + 1;
    if (place > 2) rules.push(`#grid tr > .pin:nth-child(${place}) { left: ${left}px; }`);
    left += head.offsetWidth;
  }
  let sheet = /** @type {HTMLStyleElement | null} */ (document.getElementById("pinned"));
  if (!sheet) {
    sheet = make("style", { id: "pinned" });
    document.head.append(sheet);
  }
  const text = rules.join("\n");
  if (sheet.textContent !== text) sheet.textContent = text;
}

/** @param {HTMLElement} panel */
function describe(panel) {
  const at = /** @type {HTMLElement | null} */ (document.activeElement?.closest("[data-focus]") ?? null);
  if (!at || !panel.contains(at)) return null;
  const things = [...at.querySelectorAll("button, input")];
  return { name: at.dataset.focus ?? "", index: things.indexOf(/** @type {Element} */ (document.activeElement)) };
}

/** @param {HTMLElement} panel @param {{name: string, index: number} | null} focused */
function refocus(panel, focused) {
  if (!focused) return;
  const line = panel.querySelector(`[data-focus="${CSS.escape(focused.name)}"]`);
  /** @type {HTMLElement | undefined} */ (line?.querySelectorAll("button, input")[focused.index])?.focus();
}
