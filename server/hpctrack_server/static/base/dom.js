// Making elements. Text from users is only ever text: nothing here takes HTML.

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} [attributes] `class`, `data-x`, `aria-x`, ...; `on` has listeners; null and false are left out
 * @param {...(Node | string | number | null | undefined)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  const { on = {}, ...rest } = attributes;
  for (const [key, value] of Object.entries(rest)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "value" && "value" in element) element.value = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.filter((one) => one !== null && one !== undefined).map((one) => (one instanceof Node ? one : String(one))));
  return element;
}

/** Text with what stands between backticks as code. @param {string} text @returns {(Node | string)[]} */
export function prose(text) {
  return text.split(/`([^`]+)`/).map((part, number) => (number % 2 ? make("code", {}, part) : part));
}

/** What an error says, and what helps. @param {any} error @returns {(Node | string)[]} */
export function explain(error) {
  return prose([error.message || String(error), error.hint].filter(Boolean).join(" \u2014 "));
}

/** An icon of 24 x 24. @param {string} path */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawing.setAttribute("d", path);
  svg.append(drawing);
  return svg;
}

/**
 * The element with an id, which the page must have.
 * @template {HTMLElement} [Kind=HTMLElement]
 * @param {string} id @returns {Kind}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {Kind} */ (found);
}

/** @template {(...given: any[]) => void} Work @param {Work} work @param {number} delayMs @returns {Work & {cancel: () => void}} */
export function later(work, delayMs) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const wait = /** @type {Work} */ ((...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), delayMs);
  });
  return Object.assign(wait, { cancel: () => clearTimeout(timer) });
}

/** At once, and at most once in so long: what is asked for meanwhile is done at the end of it. @param {() => void} work @param {number} restMs */
export function atMost(work, restMs) {
  let isResting = false;
  let isWanted = false;
  const run = () => {
    if (isResting) {
      isWanted = true;
      return;
    }
    isResting = true;
    work();
    setTimeout(() => {
      isResting = false;
      if (isWanted) {
        isWanted = false;
        run();
      }
    }, restMs);
  };
  return run;
}

/** When the frame that is being made has been painted. @param {() => void} work */
export function afterFrame(work) {
  requestAnimationFrame(() => setTimeout(work));
}
