// The media of a run: a card for each key, filled when it is scrolled to.
import { apiAddress, getJson } from "../base/api.js";
import { byId, later } from "../base/dom.js";
import { coalesce } from "../base/live.js";
import { sayError } from "../base/message.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";
import { followRun } from "../run/follow.js";
import { MediaCard } from "./card.js";

const root = byId("run");
const { project = "", run = "" } = root.dataset;
const place = ["runs", project, run, "media"];

/** @typedef {import("./card.js").MediaKey} MediaKey */

/** @type {Map<string, MediaCard>} */
const cards = new Map();
const grid = document.getElementById("media-grid");
const find = /** @type {HTMLInputElement | null} */ (document.getElementById("media-find"));
const type = /** @type {HTMLSelectElement | null} */ (document.getElementById("media-type"));
const rank = /** @type {HTMLInputElement | null} */ (document.getElementById("media-rank"));

const mounting = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    mounting.unobserve(target);
    cards.get(/** @type {HTMLElement} */ (target).dataset.key ?? "")?.load();
  }
}, { rootMargin: "300px" });

/** @param {MediaKey[]} keys */
function showKeys(keys) {
  const wanted = readPlace();
  for (const key of keys) {
    const known = cards.get(key.key);
    if (known) {
      known.update(key);
      continue;
    }
    const step = wanted.get("key") === key.key ? Number(wanted.get("step")) : null;
    const card = new MediaCard(key, { place, rank: rankOf(), step, onStep: keepStep });
    cards.set(key.key, card);
    grid?.append(card.element);
    mounting.observe(card.element);
  }
  filter();
}

/** @param {string} key @param {number} step */
function keepStep(key, step) {
  writePlace({ key, step });
}

function rankOf() {
  return rank?.value ? Number(rank.value) : null;
}

function filter() {
  const word = find?.value.trim().toLowerCase() ?? "";
  let shown = 0;
  for (const card of cards.values()) {
    const fits = card.key.key.toLowerCase().includes(word) && (!type?.value || card.key.type === type.value);
    card.element.hidden = !fits;
    if (fits) shown += 1;
  }
  byId("media-count").textContent = `${shown.toLocaleString("en")} of ${cards.size.toLocaleString("en")} keys`;
  byId("media-none").hidden = shown > 0;
}

function readControls() {
  const wanted = readPlace();
  if (find) find.value = wanted.get("find") ?? "";
  if (type) type.value = wanted.get("type") ?? "";
  if (rank) rank.value = wanted.get("rank") ?? "";
}

async function refresh() {
  const { keys } = await getJson(apiAddress(place));
  showKeys(keys);
}

if (grid && find && type) {
  readControls();
  find.addEventListener("input", later(() => {
    writePlace({ find: find.value });
    filter();
  }, 120));
  type.addEventListener("change", () => {
    writePlace({ type: type.value }, { isStep: true });
    filter();
  });
  rank?.addEventListener("change", () => {
    writePlace({ rank: rank.value }, { isStep: true });
    for (const card of cards.values()) card.setRank(rankOf());
  });
  onPlaceChange(() => {
    readControls();
    filter();
    for (const card of cards.values()) card.setRank(rankOf());
  });
  addEventListener("themechange", () => {
    for (const card of cards.values()) card.repaint();
  });
  refresh()
    .then(() => {
      const wanted = cards.get(readPlace().get("key") ?? "");
      wanted?.element.scrollIntoView({ block: "start" });
    })
    .catch(sayError);
}
const again = coalesce(async () => {
  if (grid) await refresh();
  // The page of a run without media has no place for them.
  else if ((await getJson(apiAddress(["runs", project, run, "media"]))).keys.length) location.reload();
}, 1000);
followRun(again);
