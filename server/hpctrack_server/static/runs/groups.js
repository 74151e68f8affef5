// By which keys runs are put together.
import { byId, make } from "../base/dom.js";
import { sayError } from "../base/message.js";
import { loadColumns } from "./columns.js";
import { makePanel } from "./dialog.js";
import { addressWith, currentPlace, joinKeys, splitKeys } from "./place.js";
import { go } from "./refresh.js";

const BUT_SEED = "@config-but-seed";
const DISTINCT_MAX = 500;
/** A key with more values makes a group of each run; it can still be found by searching. */

const KEYS_MAX = 200;

export function tendGroups() {
  byId("open-groups").addEventListener("click", () => openPanel().catch(sayError));
}

async function openPanel() {
  const known = await loadColumns();
  const panel = makePanel("Group runs", { isAtSide: true });
  const search = make("input", { type: "search", placeholder: "Search keys", "aria-label": "Search keys", autocomplete: "off" });
  const list = make("ul", { "aria-label": "Keys" });
  let keys = splitKeys(currentPlace().group);
  const change = (/** @type {string[]} */ next) => {
    keys = next;
    paint();
    go(addressWith({ group: joinKeys(keys), open: "" }), { history: "replace" });
  };
  const paint = () => {
    const word = search.value.trim().toLowerCase();
    const all = [{ key: BUT_SEED, count: 0, distinct: 1 }, ...known];
    const chosen = keys.map((key) => all.find((one) => one.key === key) ?? { key, count: 0, distinct: 0 });
    const rest = all.filter(({ key, distinct }) => !keys.includes(key) && key.toLowerCase().includes(word) && (word || (distinct <= DISTINCT_MAX && distinct > 1) || key === BUT_SEED));
    list.replaceChildren(
      ...[...chosen, ...rest].slice(0, KEYS_MAX).map((one) => {
        const isOn = keys.includes(one.key);
        const toggle = () => change(isOn ? keys.filter((key) => key !== one.key) : [...keys, one.key]);
        const label = one.key === BUT_SEED ? "Everything but the seed" : one.key.replace(/^(config|summary|slurm)\./, "");
        const note = one.key === BUT_SEED ? "equal configurations" : `${one.distinct.toLocaleString("en")}${one.distinct >= 1000 ? " or more" : ""} values`;
        return make(
          "li",
          { class: `option ${/^(config|summary)\./.exec(one.key)?.[1] ?? "fact"}` },
          make("label", {}, make("input", { type: "checkbox", checked: isOn, on: { change: toggle } }), make("span", { title: one.key }, label)),
          make("small", {}, isOn && keys.length > 1 ? `${keys.indexOf(one.key) + 1}.` : note),
        );
      }),
    );
  };
  search.addEventListener("input", paint);
  const none = () => {
    panel.close();
    go(addressWith({ group: "", open: "" }));
  };
  panel.append(
    make("div", { class: "search" }, search),
    make("div", { class: "body" }, list),
    make("footer", {}, make("button", { type: "button", class: "button", on: { click: none } }, "No groups")),
  );
  paint();
  panel.showModal();
  search.focus();
}
