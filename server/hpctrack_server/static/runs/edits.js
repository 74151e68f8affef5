// Changing what people say of runs: name, tags, notes, archived, deleted.
import { apiAddress, sendJson } from "../base/api.js";
import { formatCount } from "../base/format.js";
import { say, sayError } from "../base/message.js";
import { currentQuery, matches, project } from "./place.js";
import { refresh } from "./refresh.js";

const AT_ONCE = 1000;
/** How many runs one request changes: each is a file that is written. */

/**
 * @param {string[]} ids
 * @param {{name?: string, notes?: string, add_tags?: string[], remove_tags?: string[], archived?: boolean, deleted?: boolean, was?: {name?: string, notes?: string}}} change
 */
export async function edit(ids, change) {
  const failed = [];
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const url = apiAddress(["projects", project(), "edit"]);
    const { runs } = await sendJson("POST", url, { ids: ids.slice(start, start + AT_ONCE), ...change });
    failed.push(...runs.filter((/** @type {{error?: string}} */ one) => one.error));
  }
  if (failed.length) say(`${formatCount(failed.length, "run")} could not be changed: ${failed[0].error}`, { kind: "bad" });
}

/**
 * Changes runs, shows it, and offers to undo it.
 * @param {string} done what is said then, such as "Deleted 3 runs"
 * @param {() => Promise<void>} work
 * @param {() => Promise<void>} undo
 */
async function editWithUndo(done, work, undo) {
  try {
    await work();
    const onAction = () => undo().then(refresh, sayError);
    say(done, { action: "Undo", onAction });
  } catch (error) {
    sayError(error);
  }
  await refresh();
}

/** The ids of all runs that match. @returns {Promise<string[]>} */
export async function findAllIds() {
  const asked = { ...currentQuery(), keys: ["id"], count: matches() };
  return (await askTable(asked)).ids;
}

/** @param {string[]} ids @returns {Promise<Map<string, string[]>>} */
export async function findTags(ids) {
  const { ids: found, columns } = await askTable({ keys: ["tags"], ids, scope: "all", count: ids.length });
  return new Map(found.map((/** @type {string} */ id, /** @type {number} */ i) => [id, columns.tags[i] ?? []]));
}

/** @param {object} asked @returns {Promise<any>} */
function askTable(asked) {
  return sendJson("POST", apiAddress(["projects", project(), "table"]), asked);
}

/** @param {string[]} ids @param {"archived" | "deleted"} mark @param {boolean} isMarked */
export function markRuns(ids, mark, isMarked) {
  const verb = { archived: ["Restored", "Archived"], deleted: ["Restored", "Deleted"] }[mark][Number(isMarked)];
  return editWithUndo(
    `${verb} ${formatCount(ids.length, "run")}`,
    () => edit(ids, { [mark]: isMarked }),
    () => edit(ids, { [mark]: !isMarked }),
  );
}

/** @param {string[]} ids @param {string} tag */
export async function addTag(ids, tag) {
  const before = await findTags(ids);
  const without = ids.filter((id) => !before.get(id)?.includes(tag));
  return editWithUndo(
    `Tagged ${formatCount(without.length, "run")} ${tag}`,
    () => edit(without, { add_tags: [tag] }),
    () => edit(without, { remove_tags: [tag] }),
  );
}

/** @param {string[]} ids @param {string} tag */
export async function removeTag(ids, tag) {
  const before = await findTags(ids);
  const having = ids.filter((id) => before.get(id)?.includes(tag));
  return editWithUndo(
    `Took ${tag} off ${formatCount(having.length, "run")}`,
    () => edit(having, { remove_tags: [tag] }),
    () => edit(having, { add_tags: [tag] }),
  );
}
