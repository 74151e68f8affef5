// What a page listens to: all of it over one WebSocket, because a browser has six connections to a
// server for all its tabs, and sockets do not count among them. Where a proxy lets none pass, each
// topic has an EventSource.
import { apiAddress } from "./api.js";
import { say } from "./message.js";

const OPEN_MS = 3000;
const RETRY_MS = 2000;
const RETRY_MAX_MS = 10_000;
/** How long a socket stays that nothing listens to: charts end a topic and begin the next. */
const IDLE_MS = 1000;
/** A server that begins anew is back before anybody needs to be told. */
const LOST_MS = 5000;

/** @typedef {{url: string, on: Record<string, (said: any) => void>, isWorthStream: boolean, source: EventSource | null}} Topic */

/** @type {Map<number, Topic>} */
const topics = new Map();
let lastId = 0;
/** @type {WebSocket | null} */
let socket = null;
let isReady = false;
/** A message has come over a socket: what fails later is the server, and no proxy. */
let hasWorked = false;
let isBarred = false;
let tries = 0;
let timer = 0;
let lost = 0;
/** @type {(() => void) | null} */
let unsay = null;

/**
 * Listens while the page can be seen; after a break it is told as at first.
 * @param {string} url of an event stream
 * @param {Record<string, (said: any) => void>} on what to do, by the name of the event
 * @param {{isWorthStream?: boolean}} [how] false: where no socket passes it is rather not told
 * @returns {() => void} ends it
 */
export function listenTo(url, on, { isWorthStream = true } = {}) {
  const id = ++lastId;
  const topic = { url, on, isWorthStream, source: null };
  topics.set(id, topic);
  if (isReady) ask(id, topic);
  else open();
  return () => {
    if (!topics.delete(id)) return;
    closeSource(topic);
    if (isReady) socket?.send(JSON.stringify({ end: id }));
    setTimeout(() => topics.size || pause(), IDLE_MS);
  };
}

function open() {
  if (document.hidden || !topics.size) return;
  if (isBarred) topics.forEach(openSource);
  else if (!socket && !timer) openSocket();
}

function pause() {
  close();
  endLost();
}

function beginLost() {
  lost ||= setTimeout(() => {
    unsay = say("No connection to the dashboard; trying again.", { isLasting: true });
  }, LOST_MS);
}

function endLost() {
  clearTimeout(lost);
  lost = 0;
  unsay?.();
  unsay = null;
}

function close() {
  clearTimeout(timer);
  timer = 0;
  leaveSocket();
  topics.forEach(closeSource);
}

function leaveSocket() {
  const left = socket;
  socket = null;
  isReady = false;
  // One that is not open yet would complain in the console.
  if (left?.readyState === WebSocket.CONNECTING) left.addEventListener("open", () => left.close());
  else left?.close();
}

function openSocket() {
  const url = new URL(apiAddress(["socket"]), location.href);
  url.protocol = url.protocol.replace("http", "ws");
  let mine;
  try {
    mine = new WebSocket(url);
  } catch {
    bar(); // an old browser, to which "self" is no socket
    return;
  }
  socket = mine;
  const patience = setTimeout(() => {
    if (socket === mine) hasWorked ? fail(mine) : bar();
  }, OPEN_MS);
  mine.addEventListener("close", () => {
    clearTimeout(patience);
    fail(mine);
  });
  mine.addEventListener("message", ({ data }) => {
    if (socket !== mine) return;
    const { id, event, data: said } = JSON.parse(data);
    if (event === "open") {
      clearTimeout(patience);
      isReady = hasWorked = true;
      isBarred = false; // it was only slow
      tries = 0;
      topics.forEach(closeSource);
      endLost();
      topics.forEach((topic, one) => ask(one, topic));
    } else topics.get(id)?.on[event]?.(said);
  });
}

/** @param {number} id @param {Topic} topic */
function ask(id, topic) {
  socket?.send(JSON.stringify({ listen: topic.url, id }));
}

/** @param {WebSocket} failed */
function fail(failed) {
  if (socket !== failed) return;
  leaveSocket();
  if (!hasWorked) bar();
  else if (!document.hidden) {
    beginLost();
    const waitMs = Math.min(RETRY_MS * 1.5 ** tries++, RETRY_MAX_MS);
    timer = setTimeout(() => {
      timer = 0;
      open();
    }, waitMs);
  }
}

// Streams from now on, unless the socket is only slow.
function bar() {
  isBarred = true;
  open();
}

/** @param {Topic} topic */
function openSource(topic) {
  if (topic.source || !topic.isWorthStream) return;
  const source = new EventSource(topic.url);
  topic.source = source;
  source.addEventListener("open", endLost);
  source.addEventListener("error", () => source.readyState === EventSource.CONNECTING && beginLost());
  for (const [name, work] of Object.entries(topic.on)) {
    if (name === "error") continue; // of a stream it is the connection's, which has nothing to say
    source.addEventListener(name, (event) => work(JSON.parse(/** @type {MessageEvent} */ (event).data)));
  }
}

/** @param {Topic} topic */
function closeSource(topic) {
  topic.source?.close();
  topic.source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? pause() : open()));
addEventListener("pagehide", pause);
addEventListener("pageshow", open);
