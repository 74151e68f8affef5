// Which two of several columns a chart shows: two lists in the heading of its card, kept in the address.
import { make } from "../base/dom.js";
import { onPlaceChange, readPlace, writePlace } from "../base/place.js";

/**
 * @param {HTMLElement} card
 * @param {string} id of the chart in the address: ID.x and ID.y
 * @param {string[]} names two or more
 * @param {() => void} onChange
 * @returns {() => [string, string]} what is chosen, across and up
 */
export function chooseAxes(card, id, names, onChange) {
  const read = (/** @type {string} */ part, /** @type {string} */ otherwise) => {
    const wanted = readPlace().get(`${id}.${part}`) ?? "";
    return names.includes(wanted) ? wanted : otherwise;
  };
  const choice = () => /** @type {[string, string]} */ ([read("x", names[0]), read("y", names[1])]);
  if (names.length < 3) return choice;
  const lists = [["x", "across"], ["y", "up"]].map(([part, label], at) => {
    const list = make("select", { on: { change: () => (writePlace({ [`${id}.${part}`]: list.value === names[at] ? null : list.value }, { isStep: true }), onChange()) } });
    list.append(...names.map((name) => make("option", { value: name }, name.length > 60 ? `${name.slice(0, 59)}\u2026` : name)));
    list.value = choice()[at];
    return { list, label: make("label", { class: "axis" }, make("span", {}, label), list) };
  });
  card.querySelector("header")?.append(...lists.map((one) => one.label));
  onPlaceChange(() => {
    lists.forEach(({ list }, at) => (list.value = choice()[at]));
    onChange();
  });
  return choice;
}
