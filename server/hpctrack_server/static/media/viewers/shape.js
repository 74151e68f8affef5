// Points, triangles and atoms: a small WebGL viewer that turns by pointer and keys.
import { apiAddress, fetchArrays } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { Scene } from "./scene.js";
import { makeDownload } from "./download.js";

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export async function show(host, showing) {
  /** @type {Scene[]} */
  const scenes = [];
  const parts = await Promise.all(showing.items.slice(0, 4).map(async (item) => {
    try {
      const { head, arrays } = await fetchArrays(apiAddress([...showing.place, item.digest, "shape"]));
      /** @type {Record<string, any>} */
      const data = Object.fromEntries(arrays.map((one) => [one.name, one.values]));
      const canvas = make("canvas", { class: "scene", tabindex: 0, role: "img", "aria-label": `${showing.key}: ${describe(head)}. Arrow keys turn it, plus and minus zoom.` });
      const scene = new Scene(canvas, head.kind, data);
      scenes.push(scene);
      const reset = make("button", { type: "button", class: "button small", on: { click: () => scene.reset() } }, "Reset view");
      return make("figure", {}, canvas, make("figcaption", { class: "muted" }, describe(head), " ", reset));
    } catch (error) {
      return makeDownload(showing, item, /** @type {Error} */ (error).message);
    }
  }));
  host.replaceChildren(...parts);
  for (const scene of scenes) scene.start();
  return { repaint: () => scenes.forEach((one) => one.draw()), remove: () => scenes.forEach((one) => one.remove()) };
}

/** @param {any} head */
function describe(head) {
  const noun = { points: "points", mesh: "triangles", atoms: "atoms" }[/** @type {"points" | "mesh" | "atoms"} */ (head.kind)];
  const all = head.total.toLocaleString("en");
  return head.drawn < head.total ? `${head.drawn.toLocaleString("en")} ${noun} drawn of ${all}` : `${all} ${noun}`;
}
