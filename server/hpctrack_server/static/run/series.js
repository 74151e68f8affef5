// @ts-nocheck until its next change
// Numbers from the server: a header and typed arrays, see hpctrack_server/data/encode.py.
const TYPES = { f4: Float32Array, f8: Float64Array };
const ALIGNMENT = 8;

export async function fetchSeries(path, wanted, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wanted)) {
    if (value !== null && value !== undefined) query.set(name, value);
  }
  const answer = await fetch(`${path}/series?${query}`, { signal });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ message: answer.statusText }));
    throw new SeriesError(problem.message);
  }
  return decodeSeries(await answer.arrayBuffer());
}

export class SeriesError extends Error {}

export function decodeSeries(buffer) {
  const headBytes = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headBytes)));
  let offset = 4 + headBytes;
  const arrays = head.arrays.map((entry) => {
    const values = new TYPES[entry.type](buffer, offset, entry.length);
    offset += Math.ceil(values.byteLength / ALIGNMENT) * ALIGNMENT;
    return { ...entry, values };
  });
  const series = { ...head, lines: [], band: null };
  if (head.view === "band") {
    series.band = Object.fromEntries(arrays.map((entry) => [entry.name, entry.values]));
  } else {
    for (let i = 0; i + 1 < arrays.length; i += 2) {
      series.lines.push({ rank: arrays[i].rank, x: arrays[i].values, y: arrays[i + 1].values });
    }
  }
  return series;
}
