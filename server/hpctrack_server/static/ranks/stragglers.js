// Who is slow: the verdict in words, with what it cost and a way to look.
import { address, apiAddress, getJson } from "../base/api.js";
import { explain, make, prose } from "../base/dom.js";
import { formatCount, formatNumber } from "../base/format.js";

const SHOWN = 12;
const POLL_MS = 500;

/**
 * @param {HTMLElement} box
 * @param {string[]} run project and id
 * @param {{metric: string, better: string}} what
 * @param {(ranks: number[], step: number | null) => void} look shows these ranks in the heat map
 * @returns {Promise<void>}
 */
export async function showStragglers(box, run, what, look) {
  if (!what.metric) {
    box.replaceChildren(make("p", { class: "muted" }, "No metric tells how fast a rank is: log the time of each step, without waiting for the others, as step_time."));
    return;
  }
  let found;
  try {
    found = await getJson(apiAddress(["runs", ...run, "stragglers"], what));
  } catch (error) {
    box.replaceChildren(make("p", { class: "bad" }, ...explain(error)));
    return;
  }
  if (found.pending) {
    box.replaceChildren(make("p", { class: "muted" }, "reading\u2026"));
    setTimeout(() => showStragglers(box, run, what, look), POLL_MS);
    return;
  }
  /** @type {HTMLElement[]} */
  const parts = [makeSummary(found)];
  const lines = [
    ...found.stragglers.slice(0, SHOWN).map((/** @type {any} */ one) => makeSlow(one, found.each > 1, run, look)),
    ...found.silent.slice(0, SHOWN).map((/** @type {any} */ one) => makeSilent(one, run, look)),
  ];
  if (lines.length) parts.push(make("ul", { class: "verdict" }, ...lines));
  const hidden = Math.max(0, found.stragglers.length - SHOWN) + Math.max(0, found.silent.length - SHOWN);
  if (hidden) parts.push(make("p", { class: "muted" }, `and ${hidden} more; `, make("code", {}, "hpctrack stragglers"), " lists them all"));
  for (const one of found.missing) parts.push(make("p", { class: "muted" }, ...prose(`not recorded: ${one}`)));
  box.replaceChildren(...parts);
  box.dataset.ready = "true";
}

/** @param {any} found */
function makeSummary(found) {
  const compared = `${formatCount(found.ranks, "rank")} in ${found.each > 1 ? `${count(found.steps)} means of ${found.each} steps` : formatCount(found.steps, "step")} of `;
  const text = make("p", { class: "muted" }, compared, make("bdi", {}, found.metric), ". ");
  if (found.reason) text.append(make("b", {}, found.reason));
  else if (!found.stragglers.length) text.append(make("b", {}, "Nobody stands out."));
  else text.append(`${seconds(found.lost_s)} lost through them, of ${seconds(found.waited_s)} between the median and the slowest of each step.`);
  return text;
}

/** @param {any} one @param {boolean} isAbout steps are known to a bucket only @param {string[]} run @param {(ranks: number[], step: number | null) => void} look */
function makeSlow(one, isAbout, run, look) {
  const who = one.kind === "node" ? `${one.host || `node ${one.node}`}, ${formatCount(one.ranks.length, "rank")}` : `rank ${one.rank}${one.host ? ` on ${one.host}` : ""}`;
  const about = isAbout ? "about " : "";
  const when = one.until_step === null ? `since ${about}step ${count(one.since_step)}` : `from ${about}step ${count(one.since_step)} until ${count(one.until_step)}`;
  const times = one.intervals.length > 1 ? `, ${one.intervals.length} times` : "";
  const reason = `${formatNumber(one.factor)} \u00d7 the time of the median rank ${when}${times}`;
  return makeLine({ "data-ranks": one.ranks.join(",") }, who, `${formatNumber(one.factor)} \u00d7, ${seconds(one.lost_s)} lost`,
    make("span", { class: "why" }, reason, " (", makeTime(one.since_wall_s), "), ", formatCount(one.slow_steps, "slow step")),
    make("span", { class: "why" }, `confidence ${confidence(one.confidence)}, ${formatNumber(one.score)} standard deviations above the others`),
    makeLinks(one.ranks, one.since_step, run, look));
}

/** @param {any} one @param {string[]} run @param {(ranks: number[], step: number | null) => void} look */
function makeSilent(one, run, look) {
  return makeLine({ class: "silent" }, `rank ${one.rank}${one.host ? ` on ${one.host}` : ""}`, "silent",
    make("span", { class: "why" }, `logged nothing after step ${count(one.last_step)} (`, makeTime(one.last_wall_s), "), while most others went on"),
    makeLinks([one.rank], one.last_step, run, look));
}

/** A line that opens. @param {Record<string, string>} attributes @param {string} who @param {string} cost @param {...Node} why */
function makeLine(attributes, who, cost, ...why) {
  const head = make("summary", {}, make("b", {}, make("bdi", {}, who)), make("span", { class: "cost" }, cost));
  return make("li", attributes, make("details", {}, head, ...why));
}

/** @param {number[]} ranks @param {number | null} step @param {string[]} run @param {(ranks: number[], step: number | null) => void} look */
function makeLinks(ranks, step, run, look) {
  const consoles = ranks.slice(0, 4).map((rank) => make("a", { href: consoleOf(run, rank) }, `console of rank ${rank}`));
  return make("span", { class: "links" },
    make("button", { type: "button", class: "link", on: { click: () => look(ranks, step) } }, "Show in the heat map"), ...consoles);
}

/** @param {string[]} run project and id @param {number} rank */
export function consoleOf([project, id], rank) {
  return address(["p", project, "runs", id, "console"], { rank });
}

/** @param {number} wallS */
function makeTime(wallS) {
  const moment = new Date(wallS * 1000);
  if (Number.isNaN(moment.getTime())) return "at an unknown time";
  return make("time", { datetime: moment.toISOString() }, moment.toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }));
}

/** @param {number} share */
function confidence(share) {
  return share > 0.9999 ? "> 99.99 %" : `${(100 * share).toFixed(2)} %`;
}

/** @param {number} s */
function seconds(s) {
  if (s < 120) return `${formatNumber(s)} s`;
  return s < 7200 ? `${formatNumber(s / 60)} min` : `${formatNumber(s / 3600)} h`;
}

/** @param {number} n */
function count(n) {
  return n.toLocaleString("en");
}
