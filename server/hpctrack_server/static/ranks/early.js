// Asks for the first picture, and only then lets Bokeh's script be run: that takes 100 ms or more,
// in which the server can draw, and what it has drawn is shown at once.
import { apiAddress, decodeArrays, ServerError } from "../base/api.js";
import { BORDER, showPreview } from "./preview.js";

const RATIO_MAX = 2;

/** Bokeh's script keeps the page from painting; a picture that is on its way goes first. */
const PICTURE_WAIT_MS = 200;

const card = document.getElementById("matrix");

/** @returns {Promise<{head: any, arrays: any[]}> | null} */
function ask() {
  const page = document.getElementById("run");
  const host = /** @type {HTMLElement | null | undefined} */ (card?.querySelector(".picture"));
  if (!card?.dataset.metric || !page || !host) return null;
  const place = new URLSearchParams(location.search);
  const wanted = new URLSearchParams({ metric: card.dataset.metric });
  for (const name of ["how", "sort", "x0", "x1", "r0", "r1", "low", "high"]) {
    const value = place.get(name);
    if (value) wanted.set(name, value);
  }
  const ratio = Math.min(devicePixelRatio || 1, RATIO_MAX);
  wanted.set("width", String(Math.max(1, Math.round((host.clientWidth - BORDER.left - BORDER.right) * ratio))));
  wanted.set("height", String(Math.max(1, Math.round((host.clientHeight - BORDER.top - BORDER.bottom) * ratio))));
  const { project = "", run = "" } = page.dataset;
  const asked = read(fetch(apiAddress(["runs", project, run, "matrix"], Object.fromEntries(wanted))), host);
  asked.catch(() => {}); // who awaits it tells what went wrong
  return asked;
}

/** @param {Promise<Response>} asked @param {HTMLElement} host */
async function read(asked, host) {
  const answer = await asked;
  if (!answer.ok) throw new ServerError(answer.status, await answer.json().catch(() => ({})));
  const found = decodeArrays(await answer.arrayBuffer());
  const codes = found.arrays.find((one) => one.name === "codes");
  if (codes && showPreview(host, found.head, codes.values) && card) card.dataset.previewed = "true";
  return found;
}

export const first = ask();

/** The picture has been painted, or takes longer than is worth waiting for. */
async function afterPicture() {
  await Promise.race([first?.catch(() => {}), new Promise((resolve) => setTimeout(resolve, PICTURE_WAIT_MS))]);
  if (card?.dataset.previewed) await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

/** @returns {Promise<void>} */
async function loadBokeh() {
  const source = card?.dataset.bokeh;
  if (source) await afterPicture();
  return new Promise((resolve, reject) => {
    if (!source) return; // there is nothing to draw
    const script = document.createElement("script");
    script.src = source;
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("a script of this page cannot be loaded")));
    document.head.append(script);
  });
}

export const bokeh = loadBokeh();
