// @ts-nocheck until its next change
// What every page has: the theme switch, times in the reader's zone, "/" for the search.
const root = document.documentElement;
const button = document.getElementById("theme");

function showTheme(theme) {
  root.dataset.theme = theme;
  button.setAttribute("aria-pressed", String(theme === "dark"));
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

const shortTime = new Intl.DateTimeFormat(undefined, {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const longTime = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function localiseTimes(part = document) {
  for (const element of part.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    element.textContent = shortTime.format(moment);
    element.title = longTime.format(moment);
  }
}
localiseTimes();

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, select, textarea");
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
