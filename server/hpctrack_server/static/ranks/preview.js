// The first picture, painted before Bokeh's script has run: the same pixels in the same place.
// The figure with its axes takes over as soon as it has painted them too.
import { parseHex } from "../base/tokens.js";
import { makePalette } from "./palette.js";

/** The borders of the figure: hpctrack_server/components/figures/heatmap.py has the same. */
export const BORDER = { left: 124, top: 6, right: 6, bottom: 30 };

/**
 * @param {HTMLElement} host
 * @param {any} head of the answer
 * @param {Uint8Array} codes one per pixel
 * @returns {HTMLCanvasElement | null} null if there is nothing to paint
 */
export function showPreview(host, head, codes) {
  const width = host.clientWidth - BORDER.left - BORDER.right;
  const height = host.clientHeight - BORDER.top - BORDER.bottom;
  const place = new URLSearchParams(location.search);
  const begin = Number(place.get("x0") ?? head.begin);
  const end = Number(place.get("x1") ?? head.end);
  if (!head.rows || head.lowest === null || width < 1 || height < 1 || !(end > begin)) return null;
  const ratio = devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.className = "preview";
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  Object.assign(canvas.style, { left: `${BORDER.left}px`, top: `${BORDER.top}px`, width: `${width}px`, height: `${height}px` });
  const paint = canvas.getContext("2d");
  if (!paint) return null;
  paint.imageSmoothingEnabled = false;
  const each = canvas.width / (end - begin);
  paint.drawImage(makeBitmap(head, codes), (head.x0 - begin) * each, 0, (head.x1 - head.x0) * each, canvas.height);
  host.append(canvas);
  return canvas;
}

/** The picture in its own pixels; what has no value stays clear. @param {any} head @param {Uint8Array} codes */
function makeBitmap(head, codes) {
  const bitmap = document.createElement("canvas");
  bitmap.width = head.columns;
  bitmap.height = head.rows;
  const image = new ImageData(head.columns, head.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = makePalette().map((one) => {
    const [red, green, blue] = parseHex(one);
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian, as all of them are
  });
  for (let at = 0; at < codes.length; at++) pixels[at] = colours[codes[at]] ?? 0;
  bitmap.getContext("2d")?.putImageData(image, 0, 0);
  return bitmap;
}
