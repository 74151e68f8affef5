// Pictures, with boxes and masks by class; a click shows one large.
import { apiAddress, getJson } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { formatNumber } from "../../base/format.js";
import { colourOf, SERIES, token } from "../../base/tokens.js";

const SMALL_PX = 128;
const BOX_LABEL_PX = 11;
const MASK_ALPHA = 0.45;

/** @typedef {import("../card.js").MediaItem} MediaItem */
/** @typedef {import("../card.js").Showing} Showing */

/** The colour of a class: the palette of the page, again from its beginning. @param {number} id */
function classColour(id) {
  return colourOf(((id % SERIES) + SERIES) % SERIES);
}

/** Which classes are hidden, and the lowest score, per card. @type {WeakMap<object, {hidden: Set<string>, score: number, isOn: boolean}>} */
const choices = new WeakMap();

class Picture {
  /** @param {MediaItem} item @param {Showing} showing @param {{hidden: Set<string>, score: number, isOn: boolean}} choice */
  constructor(item, showing, choice) {
    this.item = item;
    this.showing = showing;
    this.choice = choice;
    this.canvas = make("canvas", { class: "overlay", "aria-hidden": "true" });
    const caption = String(item.meta.caption ?? "");
    const alt = caption || `${showing.key} at step ${showing.step}`;
    this.image = make("img", { src: apiAddress([...showing.place, item.digest]), alt, on: { load: () => this.draw(), error: () => this.fail() } });
    if (Number(item.meta.width) <= SMALL_PX) this.image.classList.add("small");
    const open = make("button", { type: "button", class: "picture", "aria-label": `Enlarge ${alt}`, on: { click: () => this.enlarge() } }, this.image, this.canvas);
    this.element = make("figure", {}, open, make("figcaption", {}, make("bdi", { class: "clip", title: caption }, caption)));
    /** @type {any} */
    this.overlays = {};
    /** @type {Map<string, HTMLImageElement>} */
    this.masks = new Map();
  }

  get attachments() {
    const found = this.item.meta.attachments;
    return found && typeof found === "object" ? found : {};
  }

  async loadOverlays() {
    const { place } = this.showing;
    const told = this.attachments.overlays;
    if (!told) return;
    this.overlays = await getJson(apiAddress([...place, told.digest])).catch(() => ({}));
    const masks = Object.entries(this.attachments).filter(([name]) => name.startsWith("masks/"));
    await Promise.all(masks.map(async ([name, one]) => {
      const image = new Image();
      image.src = apiAddress([...place, /** @type {any} */ (one).digest]);
      await image.decode().catch(() => null);
      if (image.naturalWidth) this.masks.set(name.slice("masks/".length), image);
    }));
    this.draw();
  }

  /** Layers and their classes: what the legend lists. @returns {{layer: string, kind: string, id: number, label: string}[]} */
  classes() {
    /** @type {Map<string, {layer: string, kind: string, id: number, label: string}>} */
    const found = new Map();
    const shared = this.overlays.classes ?? {};
    const add = (/** @type {string} */ kind, /** @type {string} */ layer, /** @type {any} */ labels, /** @type {number} */ id) => {
      const label = String(labels?.[id] ?? shared[id] ?? `class ${id}`);
      found.set(`${kind}/${layer}/${id}`, { kind, layer, id, label });
    };
    for (const [layer, one] of Object.entries(this.overlays.boxes ?? {})) {
      for (const box of one.box_data ?? []) add("boxes", layer, one.class_labels, Number(box.class_id ?? 0));
    }
    for (const [layer, one] of Object.entries(this.overlays.masks ?? {})) {
      for (const id of Object.keys(one.class_labels ?? {})) add("masks", layer, one.class_labels, Number(id));
    }
    return [...found.values()];
  }

  draw() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    // It is small, and drawn anew with each move of the score: the processor does that as well.
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    if (!width || !context) return;
    // Labels must be readable on small pictures: the canvas is at least as fine as the screen.
    const scale = Math.max(1, Math.round((this.image.clientWidth || width) / width));
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.choice.isOn) return;
    for (const [layer, image] of this.masks) this.drawMask(context, layer, image);
    for (const [layer, one] of Object.entries(this.overlays.boxes ?? {})) {
      for (const box of one.box_data ?? []) this.drawBox(context, layer, one, box);
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {string} layer @param {HTMLImageElement} image */
  drawMask(context, layer, image) {
    const part = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const inner = part.getContext("2d");
    if (!inner) return;
    inner.drawImage(image, 0, 0);
    const pixels = inner.getImageData(0, 0, part.width, part.height);
    /** @type {Map<number, number[]>} */
    const colours = new Map();
    for (let at = 0; at < pixels.data.length; at += 4) {
      const id = pixels.data[at];
      if (id === 0 || this.choice.hidden.has(`masks/${layer}/${id}`)) {
        pixels.data[at + 3] = 0;
        continue;
      }
      let colour = colours.get(id);
      if (!colour) {
        const text = classColour(id);
        colour = [1, 3, 5].map((place) => parseInt(text.slice(place, place + 2), 16));
        colours.set(id, colour);
      }
      pixels.data.set([...colour, Math.round(255 * MASK_ALPHA)], at);
    }
    inner.putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(part, 0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {CanvasRenderingContext2D} context @param {string} layer @param {any} one @param {any} box */
  drawBox(context, layer, one, box) {
    const id = Number(box.class_id ?? 0);
    const scores = Object.values(box.scores ?? {}).map(Number).filter(Number.isFinite);
    if (this.choice.hidden.has(`boxes/${layer}/${id}`) || (scores.length && Math.max(...scores) < this.choice.score)) return;
    const isPixel = box.domain === "pixel";
    const [fx, fy] = isPixel ? [this.canvas.width / this.image.naturalWidth, this.canvas.height / this.image.naturalHeight] : [this.canvas.width, this.canvas.height];
    const { minX = 0, maxX = 0, minY = 0, maxY = 0 } = box.position ?? {};
    const colour = classColour(id);
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(minX * fx, minY * fy, (maxX - minX) * fx, (maxY - minY) * fy);
    const label = [box.box_caption ?? one.class_labels?.[id] ?? this.overlays.classes?.[id] ?? "", ...scores.slice(0, 1).map((score) => formatNumber(score))].filter(Boolean).join(" ");
    if (!label) return;
    context.font = `600 ${BOX_LABEL_PX}px Inter, sans-serif`;
    const wide = context.measureText(label).width + 6;
    const top = Math.max(0, minY * fy - BOX_LABEL_PX - 5);
    context.fillStyle = colour;
    context.fillRect(minX * fx - 1, top, wide, BOX_LABEL_PX + 5);
    context.fillStyle = token("--on-accent");
    context.fillText(label, minX * fx + 2, top + BOX_LABEL_PX);
  }

  fail() {
    this.element.replaceChildren(make("p", { class: "problem" }, "the picture cannot be read"));
  }

  enlarge() {
    const large = make("div", { class: "large" }, this.image.cloneNode());
    const overlay = this.canvas.cloneNode();
    if (overlay instanceof HTMLCanvasElement && this.canvas.width) overlay.getContext("2d")?.drawImage(this.canvas, 0, 0);
    large.append(overlay);
    const close = make("button", { type: "button", class: "button", on: { click: () => dialog.close() } }, "Close");
    const { width, height } = this.item.meta;
    const facts = [this.item.meta.caption, width ? `${width} × ${height}` : "", `step ${this.showing.step}`].filter(Boolean).join(" · ");
    const dialog = make("dialog", { class: "enlarged", "aria-label": this.image.alt, on: { close: () => dialog.remove() } }, large, make("footer", {}, make("span", { class: "muted" }, facts), close));
    document.body.append(dialog);
    dialog.showModal();
  }
}

/** @param {HTMLElement} host @param {Showing} showing @param {object} card */
export async function show(host, showing, card) {
  const choice = choices.get(card) ?? { hidden: new Set(), score: 0, isOn: true };
  choices.set(card, choice);
  const pictures = showing.items.map((item) => new Picture(item, showing, choice));
  const grid = make("div", { class: pictures.length > 1 ? "pictures many" : "pictures" }, ...pictures.map((one) => one.element));
  const legend = make("div", { class: "media-legend" });
  host.replaceChildren(legend, grid);
  const withOverlays = pictures.filter((one) => one.attachments.overlays);
  await Promise.all(withOverlays.map((one) => one.loadOverlays()));
  if (withOverlays.length) fillLegend(legend, withOverlays, choice);
  return { repaint: () => pictures.forEach((one) => one.draw()) };
}

/** @param {HTMLElement} legend @param {Picture[]} pictures @param {{hidden: Set<string>, score: number, isOn: boolean}} choice */
function fillLegend(legend, pictures, choice) {
  const draw = () => pictures.forEach((one) => one.draw());
  /** @type {Map<string, {layer: string, kind: string, id: number, label: string}>} */
  const classes = new Map();
  for (const one of pictures) for (const entry of one.classes()) classes.set(`${entry.kind}/${entry.layer}/${entry.id}`, entry);
  const checks = [...classes].map(([name, entry]) => {
    const check = make("input", {
      type: "checkbox", checked: !choice.hidden.has(name),
      on: {
        change: () => {
          if (check.checked) choice.hidden.delete(name);
          else choice.hidden.add(name);
          draw();
        },
      },
    });
    const dot = make("i", { class: "media-dot" });
    dot.style.background = `var(--series-${((entry.id % SERIES) + SERIES) % SERIES})`;
    return make("label", { title: `${entry.kind} of ${entry.layer}` }, check, dot, make("bdi", {}, entry.label), make("span", { class: "muted" }, entry.layer));
  });
  const hasScores = pictures.some((one) => JSON.stringify(one.overlays.boxes ?? {}).includes('"scores":{"'));
  const score = make("input", { type: "range", min: 0, max: 1, step: 0.01, value: choice.score, "aria-label": "Lowest score" });
  score.addEventListener("input", () => {
    choice.score = Number(score.value);
    draw();
  });
  legend.replaceChildren(...checks, ...(hasScores ? [make("label", {}, "score", score)] : []));
}
