// Asking the server: addresses under the prefix, JSON, changes, and binary arrays.

/** The path before all addresses; empty without a proxy. */
export const prefix = document.documentElement.dataset.base ?? "";

/** What the server said when it could not answer: a sentence for people, and what to do. */
export class ServerError extends Error {
  /** @param {number} status @param {{error?: string, message?: string, hint?: string, at?: number}} body */
  constructor(status, body) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    this.code = body.error ?? "";
    this.hint = body.hint ?? "";
    /** Where in what was sent the fault is, in characters. */
    this.at = body.at;
  }
}

/**
 * An address: each part stays one part, whatever it holds.
 * @param {string[]} parts
 * @param {Record<string, string | number | boolean | null | undefined>} [query] without what is null
 */
export function address(parts, query = {}) {
  const path = `${prefix}/${parts.map(encodeURIComponent).join("/")}`;
  const wanted = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") wanted.set(name, String(value));
  }
  const text = wanted.toString();
  return text ? `${path}?${text}` : path;
}

/** @param {string[]} parts below /api/v1 @param {Parameters<typeof address>[1]} [query] */
export function apiAddress(parts, query) {
  return address(["api", "v1", ...parts], query);
}

/** @param {string} url @param {RequestInit} [options] */
async function ask(url, options = {}) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerError(0, { error: "unreachable", message: "the server does not answer" });
  }
  if (answer.ok) return answer;
  throw new ServerError(answer.status, await answer.json().catch(() => ({})));
}

/** @param {string} url @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function getJson(url, signal) {
  return (await ask(url, { signal })).json();
}

/**
 * Sends JSON; the header shows that it was a script of ours.
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} url
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 */
function send(method, url, body, signal) {
  const headers = { "Content-Type": "application/json", "X-Hpctrack": "1" };
  return ask(url, { method, headers, body: JSON.stringify(body ?? {}), signal });
}

/**
 * @param {"POST" | "PUT" | "PATCH" | "DELETE"} method
 * @param {string} url
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} null for an empty answer
 */
export async function sendJson(method, url, body, signal) {
  const answer = await send(method, url, body, signal);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/**
 * Numbers: by GET, or by POST if there is a body.
 * @param {string} url @param {object | null} [body] @param {AbortSignal} [signal]
 */
export async function fetchArrays(url, body = null, signal) {
  const answer = body ? await send("POST", url, body, signal) : await ask(url, { signal });
  return decodeArrays(await answer.arrayBuffer());
}

const ALIGNMENT = 8;
/** @type {Record<string, any>} */
const TYPES = {
  f4: Float32Array, f8: Float64Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array,
};

/**
 * Reads what hpctrack_server/data/encode.py writes.
 * @param {ArrayBuffer} buffer
 * @returns {{head: any, arrays: any[]}} `arrays` has the entries of the header, each with its `values`
 */
export function decodeArrays(buffer) {
  const headBytes = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headBytes)));
  let offset = 4 + headBytes;
  const arrays = head.arrays.map((/** @type {any} */ entry) => {
    const values = new TYPES[entry.type](buffer, offset, entry.length);
    offset += Math.ceil(values.byteLength / ALIGNMENT) * ALIGNMENT;
    return { ...entry, values };
  });
  return { head, arrays };
}
