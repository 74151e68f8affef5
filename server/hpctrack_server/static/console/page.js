// The console: a window on lines that stay on the server, with search, ranks and live follow.
import { apiAddress } from "../base/api.js";
import { byId, explain, later, make } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { followRun } from "../run/follow.js";
import { Finder } from "./finder.js";
import { Lines } from "./lines.js";
import { makeRank, makeRow, makeText } from "./row.js";
import { Scroller } from "./scroller.js";

const POLL_MS = 120;
const LIVE_REST_MS = 700;
const ROW_PX = 19;
const root = byId("run");
const view = byId("console");
const caption = byId("console-caption");
const size = Number(root.dataset.size);
const path = ["runs", root.dataset.project ?? "", root.dataset.run ?? ""];
const rankInput = /** @type {HTMLSelectElement | HTMLInputElement | null} */ (document.getElementById("rank"));

const state = {
  rank: "",
  stream: "",
  hasTimes: false,
  isFollowing: false,
  /** The line that is marked: a hit, or one that the address names. */
  at: -1,
  total: 0,
  isComplete: false,
};
let facts = /** @type {any} */ ({ ranks: [] });

const lines = new Lines(path, shownView, takeAnswer, showError);
const scroller = new Scroller(view, { rowPx: ROW_PX, draw, onMove });
const finder = new Finder({ lines, scroller, mark, shownView: baseView, onChange: changeView });

function baseView() {
  return { rank: state.rank, stream: state.stream };
}

function shownView() {
  return { ...baseView(), ...finder.view() };
}

// -- drawing -------------------------------------------------------------------------------------

/** @param {number} first @param {number} count @param {HTMLElement} rows */
function draw(first, count, rows) {
  const end = Math.min(first + count, state.total);
  const how = { hasRank: size > 1 && state.rank === "", hasTime: state.hasTimes };
  const made = [];
  for (let at = first; at < end; at++) made.push(makeRow(lines.get(at), at, { ...how, isAt: at === state.at }));
  rows.replaceChildren(...made);
  view.style.setProperty("--digits", String(state.total.toLocaleString("en").length));
  view.style.setProperty("--rank-digits", String(String(Math.max(size - 1, 0)).length));
}

const redraw = coalesceFrames(() => scroller.paint());

/** @param {() => void} work */
function coalesceFrames(work) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      work();
    });
  };
}

/** @param {any} answer */
function takeAnswer(answer) {
  facts = answer;
  const hasGrown = answer.total !== state.total;
  const wasAtEnd = state.isFollowing && hasGrown;
  state.total = answer.total;
  state.isComplete = answer.complete;
  if (hasGrown) scroller.setTotal(answer.total);
  if (wasAtEnd) scroller.moveTo(answer.total);
  finder.show(answer);
  showOpen(answer.open);
  showCaption();
  redraw();
  if (!answer.complete || !answer.searched) poll();
}

function showCaption() {
  const parts = [];
  if (!state.isComplete) parts.push(`reading … ${state.total.toLocaleString("en")} lines so far`);
  else parts.push(`${state.total.toLocaleString("en")} line${state.total === 1 ? "" : "s"}`);
  if (size > 1) parts.push(`${facts.ranks.length.toLocaleString("en")} of ${size.toLocaleString("en")} ranks have printed`);
  if (state.isComplete && facts.ranks.length > 1 && state.rank === "") parts.push("in the order of time");
  if (facts.unreadable) parts.push(`${facts.unreadable} of the run's files cannot be read`);
  if (facts.began_wall_s) parts.push(`from ${when(facts.began_wall_s)} to ${when(facts.ended_wall_s, facts.began_wall_s)}`);
  caption.textContent = parts.join(" · ");
  caption.classList.remove("bad");
  view.dataset.ready = String(state.isComplete);
  view.dataset.total = String(state.total);
  showEmpty();
}

/** @param {number} wallS @param {number} [since] a moment that is told before it, whose day is known then */
function when(wallS, since) {
  const moment = new Date(wallS * 1000);
  const isSameDay = since !== undefined && new Date(since * 1000).toDateString() === moment.toDateString();
  const time = moment.toLocaleTimeString("en", { hourCycle: "h23" });
  return isSameDay ? time : `${moment.toLocaleDateString("en-GB", { month: "short", day: "numeric" })}, ${time}`;
}

function showEmpty() {
  view.querySelector(".console-empty")?.remove();
  if (state.total || !state.isComplete || facts.open?.length) return;
  const isFiltered = state.rank !== "" || state.stream !== "";
  const text = isFiltered ? "Nothing was printed there." : "Nothing was printed, or the console was not recorded (setting console).";
  view.append(make("p", { class: "console-empty" }, text));
}

/** @param {any[]} open */
function showOpen(open) {
  const box = byId("open-lines");
  box.hidden = !open.length;
  box.replaceChildren(...open.map((one) => {
    const row = make("div", { class: `row ${one.stream}` }, make("span", { class: "n", title: "has not ended yet" }, "⋯"));
    if (size > 1 && state.rank === "") row.append(makeRank(one.rank));
    row.append(makeText(one));
    return row;
  }));
}

/** @param {any} error */
function showError(error) {
  caption.replaceChildren(...explain(error));
  caption.classList.add("bad");
  finder.fail(error);
}

// -- moving --------------------------------------------------------------------------------------

/** @param {boolean} byReader */
function onMove(byReader) {
  if (byReader) setFollowing(state.isFollowing && scroller.isAtEnd);
  keepPlace();
}

const keepPlace = later(() => {
  const line = Math.round(scroller.top);
  writePlace({ line: state.isFollowing || line === 0 ? null : line + 1 });
}, 250);

/** @param {number} at */
function mark(at) {
  state.at = at;
  setFollowing(false);
  scroller.centre(at);
  keepPlace();
}

/** @param {boolean} isOn */
function setFollowing(isOn) {
  state.isFollowing = isOn;
  byId("follow").setAttribute("aria-pressed", String(isOn));
}

/** Another rank, stream or pattern: other lines have these numbers. @param {{keeps?: boolean}} [how] */
function changeView({ keeps = false } = {}) {
  lines.forget();
  if (!keeps) {
    state.at = -1;
    scroller.top = 0;
  }
  scroller.paint();
  load();
  showPlace();
}

const poll = later(() => load(), POLL_MS);

async function load() {
  const round = lines.round;
  try {
    const answer = await lines.ask({ from: Math.max(0, Math.floor(scroller.top)), count: 1 });
    if (round !== lines.round) return;
    if (answer.total !== state.total) lines.forgetEnd();
    takeAnswer(answer);
  } catch (error) {
    if (round === lines.round) showError(error);
  }
}

function showPlace() {
  writePlace({ rank: state.rank, stream: state.stream, times: state.hasTimes ? 1 : null });
  const download = /** @type {HTMLAnchorElement} */ (byId("download"));
  download.href = apiAddress([...path, "console.txt"], { ...baseView() });
}

// -- controls ------------------------------------------------------------------------------------

document.addEventListener("change", ({ target }) => {
  if (target === rankInput && rankInput) state.rank = rankInput.value;
  else if (target instanceof HTMLInputElement && target.name === "stream") state.stream = target.value;
  else return;
  finder.restart();
  changeView();
});

byId("times").addEventListener("click", () => setTimes(!state.hasTimes));
byId("follow").addEventListener("click", () => {
  setFollowing(!state.isFollowing);
  if (state.isFollowing) scroller.moveTo(state.total);
  keepPlace();
});

/** @param {boolean} isOn */
function setTimes(isOn) {
  state.hasTimes = isOn;
  byId("times").setAttribute("aria-pressed", String(isOn));
  redraw();
  showPlace();
}

byId("jump").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = /** @type {HTMLInputElement} */ (byId("goto"));
  const text = field.value.trim().replaceAll(",", "");
  field.setCustomValidity("");
  if (/^\d+$/.test(text)) mark(Math.min(Math.max(Number(text) - 1, 0), Math.max(state.total - 1, 0)));
  else {
    const moment = readTime(text);
    if (moment === null) {
      field.setCustomValidity("Give a line's number, or a time such as 14:05 or 14:05:30");
      field.reportValidity();
      return;
    }
    const answer = await lines.ask({ time: moment, count: 1 }).catch(showError);
    if (answer) mark(Math.min(answer.from, Math.max(answer.total - 1, 0)));
  }
  view.focus({ preventScroll: true });
});
byId("goto").addEventListener("input", ({ target }) => target instanceof HTMLInputElement && target.setCustomValidity(""));

/**
 * A time of day in the reader's zone, on the first day of the console at which it lies within it.
 * @param {string} text @returns {number | null} UTC seconds
 */
function readTime(text) {
  const found = /^(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?$/.exec(text);
  if (!found) {
    const moment = Date.parse(text);
    return Number.isNaN(moment) ? null : moment / 1000;
  }
  const day = new Date((facts.began_wall_s ?? 0) * 1000);
  day.setHours(Number(found[1]), Number(found[2]), 0, 0);
  let wallS = day.getTime() / 1000 + Number(found[3] ?? 0);
  if (wallS < (facts.began_wall_s ?? 0) - 60 && wallS + 86400 <= (facts.ended_wall_s ?? 0)) wallS += 86400;
  return wallS;
}

// -- beginning -----------------------------------------------------------------------------------

/** @param {URLSearchParams} place */
function readState(place) {
  state.rank = /^\d+$/.test(place.get("rank") ?? "") && size > 1 ? String(place.get("rank")) : "";
  state.stream = ["stdout", "stderr"].includes(place.get("stream") ?? "") ? String(place.get("stream")) : "";
  state.hasTimes = place.get("times") === "1";
  if (rankInput) rankInput.value = state.rank;
  const radio = document.querySelector(`input[name="stream"][value="${state.stream}"]`);
  if (radio instanceof HTMLInputElement) radio.checked = true;
  byId("times").setAttribute("aria-pressed", String(state.hasTimes));
  finder.read(place);
}

/** @param {URLSearchParams} place */
async function begin(place) {
  readState(place);
  lines.forget();
  const line = Number(place.get("line"));
  const isAtEnd = place.get("at") === "end" || (root.dataset.live === "true" && !line && !place.get("q"));
  await load();
  if (line > 0) scroller.moveTo(line - 1);
  else if (isAtEnd) {
    await untilRead();
    setFollowing(root.dataset.live === "true");
    scroller.moveTo(state.total);
  } else if (finder.isOn) finder.find("first");
  writePlace({ at: null });
  showPlace();
}

async function untilRead() {
  while (!state.isComplete && !caption.classList.contains("bad")) await new Promise((done) => setTimeout(done, POLL_MS));
}

onPlaceChange(begin);
begin(readPlace());

const refresh = coalesce(load, LIVE_REST_MS);
followRun((change) => {
  refresh();
  byId("follow").hidden = !change.live;
  if (!change.live) setTimeout(load, 2 * LIVE_REST_MS);
});
