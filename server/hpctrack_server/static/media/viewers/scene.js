// What is seen of a shape: a camera that circles it, and programs for points, balls and triangles.
import { parseHex, SERIES, token } from "../../base/tokens.js";

const POINTS = `#version 300 es
in vec3 position; in vec3 colour; in float size;
uniform mat4 view; uniform float scale;
out vec3 tint;
void main() { gl_Position = view * vec4(position, 1.0); tint = colour; gl_PointSize = max(2.0, size * scale / gl_Position.w); }`;

const BALLS = `#version 300 es
precision mediump float; in vec3 tint; uniform float isBall; out vec4 pixel;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0; float off = dot(at, at);
  if (off > 1.0) discard;
  float light = isBall > 0.5 ? 0.35 + 0.65 * max(0.0, dot(normalize(vec3(at.x, -at.y, sqrt(1.0 - off))), normalize(vec3(-0.4, 0.6, 0.7)))) : 1.0;
  pixel = vec4(tint * light, 1.0);
}`;

const MESH = `#version 300 es
in vec3 position; in vec3 colour; in vec3 normal;
uniform mat4 view; uniform mat4 turn; out vec3 tint;
void main() { gl_Position = view * vec4(position, 1.0); tint = colour * (0.3 + 0.7 * abs(dot(normalize(mat3(turn) * normal), normalize(vec3(-0.4, 0.6, 0.7))))); }`;

const FLAT = `#version 300 es
precision mediump float; in vec3 tint; out vec4 pixel; void main() { pixel = vec4(tint, 1.0); }`;

/** Colours of elements as chemists know them, by atomic number. @type {Record<number, number[]>} */
const ELEMENTS = {
  1: [0.85, 0.85, 0.85], 6: [0.38, 0.4, 0.44], 7: [0.2, 0.35, 0.9], 8: [0.88, 0.15, 0.13], 9: [0.35, 0.75, 0.3],
  15: [0.95, 0.55, 0.1], 16: [0.9, 0.78, 0.15], 17: [0.25, 0.75, 0.25], 26: [0.8, 0.42, 0.15], 35: [0.6, 0.2, 0.12], 53: [0.5, 0.1, 0.6],
};
const OTHER = [0.75, 0.4, 0.65];
const BALL_SHARE = 0.42;
const POINT_SIZE = 0.012;
const TURN_PER_PX = 0.008;
const KEY_TURN = 0.15;
const FOV = 0.7;
const DISTANCE = 4.4;
const MARGIN = 1.05;

export class Scene {
  /** @param {HTMLCanvasElement} canvas @param {"points" | "mesh" | "atoms"} kind @param {Record<string, any>} data */
  constructor(canvas, kind, data) {
    this.canvas = canvas;
    this.kind = kind;
    this.data = data;
    const gl = canvas.getContext("webgl2", { antialias: true });
    if (!gl) throw new Error("this browser cannot draw in 3D.");
    this.gl = gl;
    /** @type {[number, number]} */
    this.angles = [0.6, 0.35];
    this.home = DISTANCE;
    this.distance = DISTANCE;
  }

  reset() {
    this.angles = [0.6, 0.35];
    this.distance = this.home;
    this.draw();
  }

  start() {
    this.place();
    this.program = this.link(this.kind === "mesh" ? MESH : POINTS, this.kind === "mesh" ? FLAT : BALLS);
    this.lines = this.kind === "atoms" ? this.link(MESH, FLAT) : null;
    this.fill();
    this.listen();
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.canvas);
    this.draw();
  }

  /** Finds the middle and the size, to show all of it. */
  place() {
    const { position } = this.data;
    const low = [Infinity, Infinity, Infinity];
    const high = [-Infinity, -Infinity, -Infinity];
    for (let at = 0; at < position.length; at++) {
      const axis = at % 3;
      if (position[at] < low[axis]) low[axis] = position[at];
      if (position[at] > high[axis]) high[axis] = position[at];
    }
    this.middle = low.map((one, axis) => (one + high[axis]) / 2);
    this.reach = Math.max(...high.map((one, axis) => one - low[axis]), 1e-9) / 2 || 1;
    this.placed = new Float32Array(position.length);
    for (let at = 0; at < position.length; at++) this.placed[at] = (position[at] - this.middle[at % 3]) / this.reach;
    this.home = this.distance = this.findDistance(this.placed);
  }

  /** From where all of it is seen, whichever way it is turned. @param {Float32Array} placed */
  findDistance(placed) {
    const { radius } = this.data;
    let farthest = 0;
    for (let at = 0; at + 2 < placed.length; at += 3) {
      const ball = radius ? (radius[at / 3] * BALL_SHARE) / (this.reach ?? 1) : 0;
      farthest = Math.max(farthest, Math.hypot(placed[at], placed[at + 1], placed[at + 2]) + ball);
    }
    return Math.max(2, (MARGIN * farthest) / Math.sin(FOV / 2));
  }

  /** @param {string} vertex @param {string} fragment */
  link(vertex, fragment) {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of /** @type {[number, string][]} */ ([[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]])) {
      const shader = gl.createShader(type);
      if (!shader) throw new Error("the 3D viewer cannot start");
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`the 3D viewer cannot start: ${gl.getProgramInfoLog(program)}`);
    return program;
  }

  /** @param {WebGLProgram} program @param {Record<string, [Float32Array, number]>} columns */
  bind(program, columns) {
    const { gl } = this;
    const held = gl.createVertexArray();
    gl.bindVertexArray(held);
    for (const [name, [values, width]] of Object.entries(columns)) {
      const at = gl.getAttribLocation(program, name);
      if (at < 0) continue;
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, width, gl.FLOAT, false, 0, 0);
    }
    return held;
  }

  fill() {
    const { position, radius, bonds } = this.data;
    const count = position.length / 3;
    const placed = this.placed ?? new Float32Array();
    const colour = this.colours(count);
    if (!this.program) return;
    if (this.kind === "mesh") {
      this.held = this.bind(this.program, { position: [placed, 3], colour: [colour, 3], normal: [normalsOf(placed), 3] });
      return;
    }
    const size = new Float32Array(count).fill(POINT_SIZE);
    if (radius) for (let at = 0; at < count; at++) size[at] = (radius[at] * BALL_SHARE * 2) / (this.reach ?? 1);
    this.held = this.bind(this.program, { position: [placed, 3], colour: [colour, 3], size: [size, 1] });
    if (bonds?.length && this.lines) {
      const ends = new Float32Array(bonds.length * 3);
      const tints = new Float32Array(bonds.length * 3).fill(0.55);
      for (let at = 0; at < bonds.length; at++) ends.set(placed.subarray(bonds[at] * 3, bonds[at] * 3 + 3), at * 3);
      const up = new Float32Array(ends.length).fill(0.577);
      this.heldLines = this.bind(this.lines, { position: [ends, 3], colour: [tints, 3], normal: [up, 3] });
    }
  }

  /** @param {number} count */
  colours(count) {
    const { colour, category } = this.data;
    const found = new Float32Array(count * 3);
    const palette = Array.from({ length: SERIES }, (_, at) => readToken(`--series-${at}`));
    const accent = readToken("--accent");
    for (let at = 0; at < count; at++) {
      let tint = accent;
      if (colour) tint = [colour[at * 3] / 255, colour[at * 3 + 1] / 255, colour[at * 3 + 2] / 255];
      else if (category) tint = this.kind === "atoms" ? (ELEMENTS[category[at]] ?? OTHER) : palette[category[at] % palette.length];
      found.set(tint, at * 3);
    }
    return found;
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      this.turn(event.movementX * TURN_PER_PX, event.movementY * TURN_PER_PX);
    });
    // Only with ctrl, as in charts: a wheel that zooms hijacks the scrolling of the page.
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * 0.002));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (turns) this.turn(turns[0] * KEY_TURN, turns[1] * KEY_TURN);
      else if (event.key === "+" || event.key === "=") this.zoom(0.85);
      else if (event.key === "-") this.zoom(1.18);
      else return;
      event.preventDefault();
    });
  }

  /** @param {number} across @param {number} up */
  turn(across, up) {
    const [yaw, pitch] = this.angles;
    this.angles = [yaw + across, Math.max(-1.55, Math.min(1.55, pitch + up))];
    this.draw();
  }

  /** @param {number} factor */
  zoom(factor) {
    this.distance = Math.max(0.3, Math.min(20, this.distance * factor));
    this.draw();
  }

  draw() {
    if (!this.program || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { gl, canvas } = this;
    const ratio = Math.min(devicePixelRatio, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    gl.viewport(0, 0, canvas.width, canvas.height);
    const back = readToken("--bg");
    gl.clearColor(back[0], back[1], back[2], 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    const turn = turnOf(this.angles);
    const view = multiply(lens(canvas.width / canvas.height), multiply(shift(-this.distance), turn));
    if (this.heldLines && this.lines) {
      this.use(this.lines, view, turn);
      gl.bindVertexArray(this.heldLines);
      gl.drawArrays(gl.LINES, 0, this.data.bonds.length);
    }
    if (!this.program || !this.held) return;
    this.use(this.program, view, turn);
    gl.bindVertexArray(this.held);
    gl.drawArrays(this.kind === "mesh" ? gl.TRIANGLES : gl.POINTS, 0, this.data.position.length / 3);
  }

  /** @param {WebGLProgram} program @param {Float32Array} view @param {Float32Array} turn */
  use(program, view, turn) {
    const { gl } = this;
    gl.useProgram(program);
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "view"), false, view);
    gl.uniformMatrix4fv(gl.getUniformLocation(program, "turn"), false, turn);
    gl.uniform1f(gl.getUniformLocation(program, "scale"), this.canvas.height / (2 * Math.tan(FOV / 2)));
    gl.uniform1f(gl.getUniformLocation(program, "isBall"), this.kind === "atoms" ? 1 : 0);
  }

  remove() {
    this.watcher?.disconnect();
    if (this.frame) cancelAnimationFrame(this.frame);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

/** @param {string} name of a token that is a colour of six digits */
function readToken(name) {
  return parseHex(token(name)).map((one) => one / 255);
}

/** One normal for each corner of each triangle. @param {Float32Array} corners */
function normalsOf(corners) {
  const found = new Float32Array(corners.length);
  for (let at = 0; at + 8 < corners.length; at += 9) {
    const [ax, ay, az] = [0, 1, 2].map((axis) => corners[at + 3 + axis] - corners[at + axis]);
    const [bx, by, bz] = [0, 1, 2].map((axis) => corners[at + 6 + axis] - corners[at + axis]);
    const normal = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
    for (let corner = 0; corner < 3; corner++) found.set(normal, at + corner * 3);
  }
  return found;
}

// Matrices lie column by column, as WebGL wants them.

/** @param {Float32Array} a @param {Float32Array} b */
function multiply(a, b) {
  const found = new Float32Array(16);
  for (let row = 0; row < 4; row++) {
    for (let column = 0; column < 4; column++) {
      for (let k = 0; k < 4; k++) found[column * 4 + row] += a[k * 4 + row] * b[column * 4 + k];
    }
  }
  return found;
}

/** @param {number} z */
function shift(z) {
  return new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, z, 1]);
}

/** @param {number[]} angles */
function turnOf([yaw, pitch]) {
  const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return new Float32Array([c, s * t, -s * d, 0, 0, d, t, 0, s, -c * t, c * d, 0, 0, 0, 0, 1]);
}

/** @param {number} aspect */
function lens(aspect) {
  const [near, far, f] = [0.02, 50, 1 / Math.tan(FOV / 2)];
  return new Float32Array([f / Math.max(aspect, 1), 0, 0, 0, 0, f * Math.min(aspect, 1), 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, (2 * far * near) / (near - far), 0]);
}
