// HTML, Markdown and text: in a frame that is a world of its own.
import { apiAddress } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { makeDownload } from "./download.js";

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export function show(host, showing) {
  const draw = () => {
    const theme = document.documentElement.dataset.theme;
    const frames = showing.items.map((item) => {
      const isHtml = item.format === "html";
      const source = apiAddress([...showing.place, item.digest, "frame"], { theme: isHtml ? null : theme });
      const title = String(item.meta.caption ?? `${showing.key} at step ${showing.step}`);
      // Never allow-same-origin: what a user has logged would be a page of ours.
      const frame = make("iframe", { src: source, title, sandbox: isHtml ? "allow-scripts" : "allow-popups", loading: "lazy", referrerpolicy: "no-referrer" });
      return make("div", { class: "framed" }, frame, makeDownload(showing, item));
    });
    host.replaceChildren(...frames);
  };
  draw();
  return { repaint: draw };
}
