// Sounds: the browser's player, and the wave of a WAV file.
import { apiAddress } from "../../base/api.js";
import { make } from "../../base/dom.js";
import { token } from "../../base/tokens.js";

const WAVE_MAX_BYTES = 8e6;
const COLUMNS = 480;

/** @param {HTMLElement} host @param {import("../card.js").Showing} showing */
export function show(host, showing) {
  const parts = showing.items.map((item) => {
    const source = apiAddress([...showing.place, item.digest]);
    const label = String(item.meta.caption ?? `sound at step ${showing.step}`);
    const wave = make("canvas", { class: "wave", width: COLUMNS, height: 56, "aria-hidden": "true" });
    if (item.format === "wav" && item.size <= WAVE_MAX_BYTES) drawWave(wave, source);
    else wave.hidden = true;
    const facts = [
      item.meta.sample_rate ? `${Number(item.meta.sample_rate).toLocaleString("en")} Hz` : "",
      item.meta.duration_s ? `${Number(item.meta.duration_s).toFixed(2)} s` : "",
      item.meta.clipped ? `${item.meta.clipped} samples clipped` : "",
    ].filter(Boolean).join(", ");
    return make("figure", {}, wave, make("audio", { controls: true, preload: "metadata", src: source, "aria-label": label }), make("figcaption", { class: "muted" }, [showing.items.length > 1 && item.meta.caption, facts].filter(Boolean).join(" · ")));
  });
  host.replaceChildren(...parts);
}

/** @param {HTMLCanvasElement} canvas @param {string} source */
async function drawWave(canvas, source) {
  const answer = await fetch(source).catch(() => null);
  if (!answer?.ok) return;
  const audio = new OfflineAudioContext(1, 1, 44100);
  const sound = await audio.decodeAudioData(await answer.arrayBuffer()).catch(() => null);
  const context = canvas.getContext("2d");
  if (!sound || !context) return;
  const samples = sound.getChannelData(0);
  const middle = canvas.height / 2;
  context.fillStyle = token("--accent");
  for (let column = 0; column < canvas.width; column++) {
    const from = Math.floor((column * samples.length) / canvas.width);
    const to = Math.max(from + 1, Math.floor(((column + 1) * samples.length) / canvas.width));
    let [low, high] = [0, 0];
    for (let i = from; i < to; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    context.fillRect(column, middle - high * middle, 1, Math.max(1, (high - low) * middle));
  }
}
