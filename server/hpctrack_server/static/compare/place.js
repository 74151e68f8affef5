// The settings of the page as parameters of its address, and back. Pure.

import { escapeKey, unescapeKey } from "../base/place.js";

/** @typedef {import("../panels/panel.js").Shared} Shared */

/** @type {Shared} */
export const DEFAULTS = {
  x: "step", smooth: { kind: "none", amount: 0.6 }, group: null, clip: false, logX: false, logY: false, ranks: "mean", zoom: null,
};

const SMOOTHINGS = ["none", "ema", "twema", "gaussian", "mean"];
const CENTERS = ["mean", "median"];
const BANDS = ["none", "minmax", "std", "stderr", "ci"];
const AMOUNT_MAX = 1000;

/** Parameters that say which runs the page is about. */
export const RUN_PARAMETERS = ["runs", "selection", "filter", "search", "sort", "limit", "value"];

/**
 * @param {URLSearchParams} place
 * @param {Shared} base what holds where the address says nothing
 * @returns {Shared}
 */
export function readShared(place, base) {
  return {
    x: place.get("x") || base.x,
    smooth: readSmooth(place.get("smooth"), base.smooth),
    group: readGroup(place, base.group),
    clip: readFlag(place.get("clip"), base.clip),
    logX: readFlag(place.get("logx"), base.logX),
    logY: readFlag(place.get("logy"), base.logY),
    ranks: place.get("ranks") || base.ranks,
    zoom: readZoom(place.get("zoom")),
  };
}

/**
 * The parameters that say how `shared` differs from `base`; null takes one out.
 * @param {Shared} shared @param {Shared} base
 * @returns {Record<string, string | null>}
 */
export function writeShared(shared, base) {
  const unlessSame = (/** @type {string} */ now, /** @type {string} */ then) => (now === then ? null : now);
  const flag = (/** @type {boolean} */ on) => (on ? "1" : "0");
  const [group, before] = [writeGroup(shared.group), writeGroup(base.group)];
  return {
    x: unlessSame(shared.x, base.x),
    smooth: unlessSame(writeSmooth(shared.smooth), writeSmooth(base.smooth)),
    group: unlessSame(group.by, before.by),
    center: group.by && shared.group ? unlessSame(group.center, before.center) : null,
    band: group.by && shared.group ? unlessSame(group.band, before.band) : null,
    clip: unlessSame(flag(shared.clip), flag(base.clip)),
    logx: unlessSame(flag(shared.logX), flag(base.logX)),
    logy: unlessSame(flag(shared.logY), flag(base.logY)),
    ranks: unlessSame(shared.ranks, base.ranks),
    zoom: shared.zoom ? shared.zoom.join(",") : null,
  };
}

/** @param {string | null} text @param {Shared["smooth"]} base @returns {Shared["smooth"]} */
function readSmooth(text, base) {
  if (!text) return base;
  const [kind, amount] = text.split(":");
  if (!SMOOTHINGS.includes(kind)) return base;
  const number = Number(amount);
  const isAmount = amount !== undefined && Number.isFinite(number) && number >= 0 && number <= AMOUNT_MAX;
  return { kind: /** @type {Shared["smooth"]["kind"]} */ (kind), amount: isAmount ? number : base.amount };
}

/** @param {Shared["smooth"]} smooth */
function writeSmooth({ kind, amount }) {
  return kind === "none" ? kind : `${kind}:${amount}`;
}

const NO_GROUPS = "-";

/** @param {URLSearchParams} place @param {Shared["group"]} base @returns {Shared["group"]} */
function readGroup(place, base) {
  const text = place.get("group");
  const by = text === null ? base?.by ?? [] : text === NO_GROUPS ? [] : text.split(",").filter(Boolean).map(unescapeKey);
  if (!by.length) return null;
  const center = oneOf(place.get("center"), CENTERS, base?.center ?? "mean");
  const band = oneOf(place.get("band"), BANDS, base?.band ?? "minmax");
  return /** @type {Shared["group"]} */ ({ by, center, band });
}

/** @param {Shared["group"]} group */
function writeGroup(group) {
  // Keys are names of users: a comma in one must not part it.
  const by = group?.by.length ? group.by.map(escapeKey).join(",") : NO_GROUPS;
  return { by, center: group?.center ?? "mean", band: group?.band ?? "minmax" };
}

/** @param {string | null} text @returns {[number, number] | null} */
function readZoom(text) {
  const ends = (text ?? "").split(",").map(Number);
  const isRange = text && ends.length === 2 && ends.every(Number.isFinite) && ends[0] < ends[1];
  return isRange ? [ends[0], ends[1]] : null;
}

/** @param {string | null} text @param {boolean} base */
function readFlag(text, base) {
  return text === "1" ? true : text === "0" ? false : base;
}

/** @param {string | null} text @param {string[]} known @param {string} otherwise */
function oneOf(text, known, otherwise) {
  return text !== null && known.includes(text) ? text : otherwise;
}
