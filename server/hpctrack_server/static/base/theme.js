// Runs before anything is painted, so that a dark page never flashes white.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("hpctrack-theme");
  } catch {
    // Storage can be forbidden; the system's preference then decides.
  }
  const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = chosen ?? (prefersDark ? "dark" : "light");
})();
