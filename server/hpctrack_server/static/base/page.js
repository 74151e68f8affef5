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

// Paper is light.
/** @type {string | undefined} */
let shownTheme;
/** @param {string | undefined} theme */
function wear(theme) {
  if (theme === root.dataset.theme) return;
  root.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}
addEventListener("beforeprint", () => {
  shownTheme = root.dataset.theme;
  wear("light");
});
addEventListener("afterprint", () => wear(shownTheme));

/** @type {Intl.DateTimeFormatOptions} */
const DAY = { month: "short", day: "numeric" };
/** Made when the first time is shown: that takes some 10 ms. @type {{short: Intl.DateTimeFormat, otherYear: Intl.DateTimeFormat, long: Intl.DateTimeFormat} | null} */
let formats = null;

function makeFormats() {
  return {
    short: new Intl.DateTimeFormat(undefined, { ...DAY, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
    otherYear: new Intl.DateTimeFormat(undefined, { ...DAY, year: "numeric" }),
    long: new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" }),
  };
}

/** Shows times in the reader's zone. @param {ParentNode} [part] */
export function localiseTimes(part = document) {
  const year = new Date().getFullYear();
  for (const element of /** @type {NodeListOf<HTMLTimeElement>} */ (part.querySelectorAll("time[datetime]"))) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    formats ??= makeFormats();
    element.textContent = (moment.getFullYear() === year ? formats.short : formats.otherYear).format(moment);
    element.title = formats.long.format(moment);
  }
}
// What the page is about comes first.
if ("requestIdleCallback" in window) requestIdleCallback(() => localiseTimes(), { timeout: 300 });
else setTimeout(localiseTimes);

addEventListener("keydown", (event) => {
  const isTyping = /** @type {Element} */ (event.target).closest?.("input, select, textarea");
  const search = /** @type {HTMLInputElement | null} */ (document.querySelector("input[type=search]"));
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
