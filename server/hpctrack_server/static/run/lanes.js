// The line below the attempts in the reader's zone, as all times of a page are.
import { zoneName } from "../base/format.js";
import { make } from "../base/dom.js";
import { timeTicks } from "../panels/scale.js";

const TICKS_MAX = 6;
const MS = 1000;
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const long = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function showLocalLanes() {
  const line = document.getElementById("lane-ticks");
  const zone = document.getElementById("lane-zone");
  if (!line || !zone) return;
  const start = Number(line.dataset.start);
  const span = Number(line.dataset.span);
  const ticks = timeTicks(start, start + span, TICKS_MAX).map(({ at, label }) => {
    const place = (100 * (at - start)) / span;
    const side = place > 93 ? " last" : place < 4 ? " first" : "";
    const tick = make("span", { class: `lane-tick${side}` }, make("span", { title: long.format(at * MS) }, label));
    tick.style.left = `${place}%`;
    return tick;
  });
  line.replaceChildren(...ticks);
  zone.textContent = `from ${day.format(start * MS)}, local time`;
  zone.title = zoneName();
}
