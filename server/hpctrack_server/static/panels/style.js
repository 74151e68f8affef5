// Style sheets of panels that a page may not have: fetched with the first panel that needs one.

const ASSETS = new URL("..", import.meta.url);

/** @param {string} name below static @returns {Promise<void>} when it holds */
export function addStyle(name) {
  const { href } = new URL(name, ASSETS);
  const known = [...document.querySelectorAll("link[rel=stylesheet]")].some((one) => one instanceof HTMLLinkElement && one.href === href);
  if (known) return Promise.resolve();
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  return new Promise((resolve) => {
    link.addEventListener("load", () => resolve(), { once: true });
    link.addEventListener("error", () => resolve(), { once: true });
    document.head.append(link);
  });
}
