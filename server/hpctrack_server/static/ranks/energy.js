// What a run has used: in all, and by host.
import { apiAddress, getJson } from "../base/api.js";
import { explain, make, prose } from "../base/dom.js";
import { formatNumber } from "../base/format.js";
import { formatReading } from "./units.js";

const HOSTS_SHOWN = 400;
const LINES_SHOWN = 6;
const J_PER_KWH = 3.6e6;

/** @param {HTMLElement} card @param {string[]} run project and id */
export async function showEnergy(card, run) {
  const body = /** @type {HTMLElement} */ (card.querySelector(".energy"));
  let found;
  try {
    found = await getJson(apiAddress(["runs", ...run, "system", "energy"]));
  } catch (error) {
    card.hidden = false;
    body.replaceChildren(make("p", { class: "bad" }, ...explain(error)));
    return;
  }
  card.hidden = false;
  if (!found.known) {
    body.replaceChildren(make("p", { class: "muted" }, ...explain(found)));
    return;
  }
  const pairs = [
    ["Energy", `${formatNumber(Number(found.kwh.toPrecision(4)))} kWh`],
    ["CO\u2082", `${formatNumber(Number((found.co2_g / 1000).toPrecision(4)))} kg`],
    ["GPUs idle", found.idle_frac === null ? "" : formatReading(found.idle_frac, "", "_frac")],
    ["per step", found.j_per_step === null ? "" : formatReading(found.j_per_step, "J", "")],
  ].filter(([, value]) => value);
  const facts = make("dl", {}, ...pairs.flatMap(([label, value]) => [make("dt", {}, label), make("dd", {}, value)]));
  const most = Math.max(...found.by_host.map((/** @type {[string, number]} */ one) => one[1]), 1);
  const hosts = make("ul", { class: "hosts", "aria-label": "Energy of each host" }, ...found.by_host.slice(0, HOSTS_SHOWN).map((/** @type {[string, number]} */ [host, joules]) => {
    const bar = make("u", { "aria-hidden": "true" });
    bar.style.width = `${(100 * joules) / most}%`;
    return make("li", {}, bar, make("bdi", { title: host }, host), make("b", {}, `${formatNumber(Number((joules / J_PER_KWH).toPrecision(3)))} kWh`));
  }));
  if (found.by_host.length > HOSTS_SHOWN) hosts.append(make("li", { class: "muted" }, `and ${found.by_host.length - HOSTS_SHOWN} more`));
  const notes = [`CO\u2082 with ${formatNumber(found.intensity_g_per_kwh)} g per kWh (${found.intensity_source})`, ...found.missing.slice(0, LINES_SHOWN).map((/** @type {string} */ one) => `not in it: ${one}`)];
  if (found.missing.length > LINES_SHOWN) notes.push(`and ${found.missing.length - LINES_SHOWN} more lines like these`);
  body.replaceChildren(facts, hosts, make("p", { class: "muted" }, ...prose(notes.join("; "))));
  /** @type {HTMLElement} */ (body.lastElementChild).style.gridColumn = "1 / 3";
  card.dataset.ready = "true";
}
