// The compare page: a rail of runs, settings that all panels follow, and a board of panels.
import { byId } from "../base/dom.js";
import { ComparePage } from "./compare_page.js";

const root = byId("compare");
if (document.getElementById("board")) {
  const page = new ComparePage(root.dataset.project ?? "", JSON.parse(root.dataset.facts ?? "{}"));
  root.removeAttribute("data-facts");
  page.start();
}
