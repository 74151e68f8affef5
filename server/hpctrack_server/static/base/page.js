// What every page has: the theme switch, times in the reader's zone, "/" for the search.
const root = document.documentElement;
const button = document.getElementById("theme");

/** @param {string | undefined} theme */
function showTheme(theme) {
  root.dataset.theme = theme;
  button?.setAttribute("aria-pressed", String(theme === "dark"));
}

if (button) {
  button.hidden = false;
  showTheme(root.dataset.theme);
  button.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    showTheme(theme);
    try {
      localStorage.setItem("hpctrack-theme", theme);
    } catch {
      // Storage can be forbidden; the choice then lasts as long as the page.
    }
    dispatchEvent(new Event("themechange"));
  });
}

/** @type {Intl.DateTimeFormatOptions} */
const DAY = { month: "short", day: "numeric" };
const shortTime = new Intl.DateTimeFormat(undefined, { ...DAY, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const otherYear = new Intl.DateTimeFormat(undefined, { ...DAY, year: "numeric" });
const longTime = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** Shows times in the reader's zone. @param {ParentNode} [part] */
export function localiseTimes(part = document) {
  const year = new Date().getFullYear();
  for (const element of /** @type {NodeListOf<HTMLTimeElement>} */ (part.querySelectorAll("time[datetime]"))) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    element.textContent = (moment.getFullYear() === year ? shortTime : otherYear).format(moment);
    element.title = longTime.format(moment);
  }
}
localiseTimes();

addEventListener("keydown", (event) => {
  const isTyping = /** @type {Element} */ (event.target).closest?.("input, select, textarea");
  const search = /** @type {HTMLInputElement | null} */ (document.querySelector("input[type=search]"));
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
