// Dates of a filter are UTC, so that an address finds the same for everybody; a page shows local time.
import { zoneName } from "../base/format.js";

const MS = 1000;
const DAY_S = 86_400;
const shown = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Says which local times a day of the filter is, where that is another day. @param {string} filter */
export function tellZone(filter) {
  const found = /\b(\d{4}-\d\d-\d\d)(T[\d:.]+)?(?![\d:.TZ+])|\b(today|yesterday)\b/.exec(filter.replace(/"[^"]*"|'[^']*'/g, ""));
  if (!found) return "";
  const [said, date, clock = "", word] = found;
  const now = Date.now() / MS;
  const start = word ? now - (now % DAY_S) - (word === "today" ? 0 : DAY_S) : Date.parse(`${date}${clock || "T00:00"}Z`) / MS;
  if (Number.isNaN(start) || !new Date(start * MS).getTimezoneOffset()) return "";
  const here = clock ? shown.format(start * MS) : `${shown.format(start * MS)} to ${shown.format((start + DAY_S) * MS)}`;
  return `A filter's dates are UTC: ${said} is ${here} in the times of this page (${zoneName()})`;
}
