// Points of runs that go on, taken into the curves that a panel holds.
import { LiveLine, xOfPiece } from "../charts/live_points.js";

/** @typedef {import("./line_columns.js").Curve} Curve */
/** @typedef {import("../charts/live_points.js").Piece} Piece */
/** @typedef {import("./line_settings.js").Effective} Effective */

/** @type {WeakMap<Curve, LiveLine>} */
const growing = new WeakMap();

/**
 * Whether points can be added to what was fetched: smoothed and grouped lines are computed from all
 * points, so they have to be fetched again.
 * @param {Effective} how
 */
function canGrow(how) {
  const isPlain = how.smooth.kind === "none" && !how.group?.by.length;
  return isPlain && how.ranks !== "all" && ["step", "time", "relative"].includes(how.x);
}

/**
 * Whether a panel shows anything of it.
 * @param {Piece} piece @param {Effective} how
 */
export function isAbout(piece, how) {
  return how.y.includes(piece.metric) || how.x === piece.metric;
}

/**
 * @param {Curve[]} curves
 * @param {Piece[]} pieces
 * @param {Effective} how
 * @param {Record<string, number>} begun when the runs began, UTC seconds
 * @param {number} width buckets
 * @returns {boolean | null} whether a curve has changed; null if they have to be fetched again
 */
export function addPieces(curves, pieces, how, begun, width) {
  let isChanged = false;
  for (const piece of pieces) {
    if (!isAbout(piece, how)) continue;
    const xOf = xOfPiece(how.x, begun[piece.run] ?? 0);
    const isOurs = piece.metric === how.y && String(piece.ranks) === how.ranks;
    if (!isOurs || !xOf || !canGrow(how)) return null;
    const curve = curves.find((one) => one.run === piece.run);
    // A run whose first points these are has no line yet.
    if (!curve) return null;
    // How many points of a shortened line are cut off, or where along time, only the server knows.
    if (piece.cut !== undefined && (how.x !== "step" || curve.drawn < curve.total)) return null;
    const line = growing.get(curve) ?? new LiveLine(curve.x, curve.y, width);
    growing.set(curve, line);
    const before = line.added;
    if (!line.add(piece, xOf)) continue;
    isChanged = true;
    curve.total += line.added - before;
    curve.x = line.x;
    curve.y = line.y;
    curve.drawn = curve.x.length;
  }
  return isChanged;
}
