// What a run has kept: files and code. While it goes on, more comes; what is read stays in place.
import "./copy.js";
import { followRun } from "./follow.js";

/** A preview is read again with each page. */
const REST_MS = 5000;

const parts = [...document.querySelectorAll("[data-part]")].map((one) => /** @type {HTMLElement} */ (one).dataset.part ?? "");
followRun(() => {}, parts, { restMs: REST_MS });
