// Films: the browser's player; those that are pictures that move are pictures.
import { apiAddress } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { makeDownload } from "./download.js";

const PICTURES = new Set(["apng", "gif", "png", "webp"]);
const FILMS = new Set(["mp4", "webm", "ogg", "mov"]);

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export function show(host, showing) {
  const parts = showing.items.map((item) => {
    const source = apiAddress([...showing.place, item.digest]);
    const label = String(item.meta.caption ?? `video at step ${showing.step}`);
    let film;
    if (PICTURES.has(item.format)) film = make("img", { src: source, alt: label, class: "film" });
    else if (FILMS.has(item.format)) film = make("video", { controls: true, preload: "metadata", src: source, "aria-label": label, class: "film" });
    else return makeDownload(showing, item, `${item.format} is not played by browsers.`);
    const facts = [item.meta.width ? `${item.meta.width} × ${item.meta.height}` : "", item.meta.frames ? `${item.meta.frames} frames` : "", item.meta.fps ? `${item.meta.fps} a second` : ""].filter(Boolean).join(", ");
    return make("figure", {}, film, make("figcaption", { class: "muted" }, facts));
  });
  host.replaceChildren(...parts);
}
