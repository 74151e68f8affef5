// What a browser cannot show is a link.
import { apiAddress } from "../../base/api.js";
import { make } from "../../base/dom.js";

/** @param {import("../card.js").Showing} showing @param {import("../card.js").MediaItem} item @param {string} [why] */
export function makeDownload(showing, item, why = "") {
  const address = apiAddress([...showing.place, item.digest], { download: 1 });
  const size = item.size.toLocaleString("en");
  return make("p", { class: "download" }, why ? `${why} ` : "", make("a", { href: address, download: true }, `Download ${item.format}, ${size} bytes`));
}

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export function show(host, showing) {
  host.replaceChildren(...showing.items.map((item) => makeDownload(showing, item)));
}
