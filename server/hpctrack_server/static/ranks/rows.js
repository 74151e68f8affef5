// Labels of a heat map's rows: hosts where neighbours share one, else ranks. Pure.

const HOST_GAP_PX = 15;
const LABEL_MAX = 17;

/** A host without its domain, shortened. @param {string} host @param {number} [most] */
export function nameHost(host, most) {
  const [first] = host.split(".");
  return shorten(/^\d*$/.test(first) ? host : first, most);
}

/** @param {string} text @param {number} [most] */
export function shorten(text, most = LABEL_MAX) {
  const letters = [...text];
  if (letters.length <= most) return text;
  const tail = Math.floor(most / 2) - 1;
  return `${letters.slice(0, most - tail - 1).join("")}\u2026${letters.slice(-tail).join("")}`;
}

/**
 * @param {[string, number, number][]} hosts name, beginning and number of neighbours
 * @param {ArrayLike<number | string>} ranks numbers, or names, in the order of the rows
 * @param {number} first the row that the first one is
 * @param {number} height pixels
 * @returns {Map<number, string>} labels by place on the axis
 */
export function labelRows(hosts, ranks, first, height) {
  const perRow = height / Math.max(ranks.length, 1);
  /** @type {Map<number, string>} */
  const labels = new Map();
  let free = -Infinity;
  const add = (/** @type {number} */ at, /** @type {string} */ label) => {
    if (at * perRow < free) return;
    labels.set(first + at, label);
    free = at * perRow + HOST_GAP_PX;
  };
  if (perRow >= HOST_GAP_PX) {
    for (const [host, begin, count] of hosts) {
      for (let i = 0; i < count; i++) {
        const rank = ranks[begin + i];
        add(begin + i + 0.5, host ? `${nameHost(host, 12)} \u00b7 ${rank}` : nameRank(rank));
      }
    }
    return labels;
  }
  const areBlocks = hosts.length * 2 <= ranks.length && hosts.some(([host]) => host);
  if (areBlocks) {
    for (const [host, begin, count] of hosts) add(begin + count / 2, host ? nameHost(host) : nameRank(ranks[begin]));
  } else {
    for (let i = 0; i < ranks.length; i++) add(i + 0.5, nameRank(ranks[i]));
  }
  return labels;
}

/** @param {number | string} rank */
function nameRank(rank) {
  return typeof rank === "number" ? `rank ${rank}` : shorten(rank);
}
