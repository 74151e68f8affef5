// One line of the console as elements: text nodes and classes, whatever was printed.
import { make } from "../base/dom.js";

const SERIES = 10;
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/**
 * @param {import("./lines.js").Line | null} line
 * @param {number} at its number, from 0
 * @param {{hasRank: boolean, hasTime: boolean, isAt: boolean}} how
 */
export function makeRow(line, at, { hasRank, hasTime, isAt }) {
  const number = make("span", { class: "n" }, (at + 1).toLocaleString("en"));
  if (!line) return make("div", { class: "row wait" }, number, make("span", { class: "t" }, "…"));
  const row = make("div", { class: `row ${line.stream}${line.missing ? " missing" : ""}${isAt ? " at" : ""}`, "data-line": at }, number);
  if (hasTime) {
    const moment = new Date(line.wall_s * 1000);
    row.append(make("span", { class: "w", title: full.format(moment) }, clock.format(moment)));
  }
  if (hasRank) row.append(makeRank(line.rank));
  row.append(makeText(line));
  if (line.rewrites) row.append(make("span", { class: "note", title: "What a terminal showed at its end" }, `${line.rewrites.toLocaleString("en")} rewrites`));
  if (line.hidden) row.append(make("span", { class: "note", title: "The download has all of it" }, `${line.hidden.toLocaleString("en")} more characters`));
  return row;
}

/** @param {number} rank */
export function makeRank(rank) {
  const label = make("span", { class: "r", title: `rank ${rank}` }, rank);
  label.style.setProperty("--rank-colour", `var(--series-${rank % SERIES})`);
  return label;
}

/** @param {import("./lines.js").Line} line */
export function makeText(line) {
  /** @type {[string, string][]} */
  const spans = line.spans ?? [[line.text ?? "", ""]];
  return make("span", { class: "t" }, ...markSpans(spans, line.places ?? []).map(makeSpan));
}

/** @param {{text: string, classes: string, isHit: boolean}} span */
function makeSpan({ text, classes, isHit }) {
  if (!classes && !isHit) return document.createTextNode(text);
  return make(isHit ? "mark" : "span", { class: classes || null }, text);
}

/**
 * Parts spans at the places of hits. Pure.
 * @param {[string, string][]} spans
 * @param {[number, number][]} places in code points, in order
 * @returns {{text: string, classes: string, isHit: boolean}[]}
 */
function markSpans(spans, places) {
  if (!places.length) return spans.map(([text, classes]) => ({ text, classes, isHit: false }));
  const found = [];
  let begin = 0;
  for (const [text, classes] of spans) {
    const letters = [...text];
    const end = begin + letters.length;
    let at = begin;
    for (const [from, to] of places) {
      if (to <= at || from >= end) continue;
      if (from > at) found.push({ text: letters.slice(at - begin, from - begin).join(""), classes, isHit: false });
      const start = Math.max(from, at);
      at = Math.min(to, end);
      found.push({ text: letters.slice(start - begin, at - begin).join(""), classes, isHit: true });
    }
    if (at < end) found.push({ text: letters.slice(at - begin).join(""), classes, isHit: false });
    begin = end;
  }
  return found;
}
