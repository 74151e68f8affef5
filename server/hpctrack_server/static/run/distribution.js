// How the values of a metric are spread: bars over all of its points, in a dialog.
import { apiAddress, getJson } from "../base/api.js";
import { explain, make } from "../base/dom.js";
import { formatCount, formatNumber } from "../base/format.js";

/**
 * @typedef {object} Distribution
 * @property {number[]} edges
 * @property {number[]} counts
 * @property {number} finite
 * @property {number} left_out
 * @property {number | null} mean
 * @property {number | null} std
 * @property {number | null} low
 * @property {number | null} high
 * @property {number[]} quartiles
 * @property {number} points
 * @property {number} total
 * @property {number} ranks
 * @property {number} all_ranks
 */

/**
 * @param {import("../panels/host.js").PanelCard} card whose menu has asked for it
 * @param {string[]} run project and id
 * @param {{metric: string, ranks: string}} what
 */
export async function showDistribution(card, run, { metric, ranks }) {
  const body = make("div", { class: "distribution-body", role: "status" }, "Counting \u2026");
  const where = ranks === "all" ? "all ranks" : `rank ${ranks}`;
  const dialog = make("dialog", { class: "distribution", "aria-label": `Distribution of ${metric}` },
    make("header", {}, make("h2", {}, make("bdi", { class: "clip", title: metric }, metric), make("span", { class: "muted" }, ` of ${where}`)),
      make("button", { type: "button", class: "button small", on: { click: () => dialog.close() } }, "Close")),
    body);
  const asking = new AbortController();
  dialog.addEventListener("close", () => {
    asking.abort();
    dialog.remove();
    card.menu.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  try {
    const found = await getJson(apiAddress(["runs", ...run, "distribution"], { metric, ranks }), asking.signal);
    body.replaceChildren(...draw(found));
    body.dataset.ready = "true";
  } catch (error) {
    if (!asking.signal.aborted) body.replaceChildren(make("p", { class: "notice bad" }, ...explain(error)));
  }
}

/** @param {Distribution} found @returns {HTMLElement[]} */
function draw(found) {
  const caption = make("p", { class: "caption" }, describe(found));
  if (!found.counts.length) return [make("p", { class: "muted" }, "None of its values is a finite number."), caption];
  const most = Math.max(...found.counts);
  const bars = found.counts.map((count, at) => {
    const bar = make("i", { title: `${formatNumber(found.edges[at])} to ${formatNumber(found.edges[at + 1])}: ${formatCount(count, "value")}` });
    bar.style.height = `${(100 * count) / most}%`;
    return bar;
  });
  const { low, high } = found;
  const middle = low === null || high === null ? 0 : low / 2 + high / 2;
  const label = `${found.counts.length} bars; the highest has ${formatCount(most, "value")}`;
  return [
    make("p", { class: "muted" }, `${formatCount(most, "value")} at most in a bar`),
    make("div", { class: "distribution-bars", role: "img", "aria-label": label }, ...bars),
    make("div", { class: "distribution-axis", "aria-hidden": "true" }, ...[low, middle, high].map((one) => make("span", {}, formatNumber(one ?? 0)))),
    makeFacts(found),
    caption,
  ];
}

/** @param {Distribution} found */
function makeFacts(found) {
  const [first, median, third] = found.quartiles;
  const facts = /** @type {[string, number | null][]} */ ([["Mean", found.mean], ["SD", found.std], ["Min", found.low], ["First quartile", first], ["Median", median], ["Third quartile", third], ["Max", found.high]]);
  return make("dl", { class: "distribution-facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, typeof value === "number" ? formatNumber(value) : "too large"))));
}

/** @param {Distribution} found */
function describe(found) {
  const some = found.points < found.total ? `${found.points.toLocaleString("en")} of ${formatCount(found.total, "point")}` : `all ${formatCount(found.total, "point")}`;
  const ranks = found.ranks < found.all_ranks ? `${found.ranks.toLocaleString("en")} of ${formatCount(found.all_ranks, "rank")}, spread evenly` : formatCount(found.ranks, "rank");
  const parts = [`${some} of ${ranks}`];
  if (found.left_out) parts.push(`${found.left_out.toLocaleString("en")} infinite or not a number left out`);
  return parts.join(" \u00b7 ");
}
