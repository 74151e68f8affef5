// A list of any length of which only what is seen is in the page: rows of one height.

/** Browsers draw no element higher than some 17 or 33 million pixels; beyond this the bar is scaled. */
const SPACE_MAX_PX = 8_000_000;

/**
 * The height of the space that the bar scrolls over.
 * @param {number} total @param {number} rowPx
 */
function spaceOf(total, rowPx) {
  return Math.min(total * rowPx, SPACE_MAX_PX);
}

export class Scroller {
  /**
   * @param {HTMLElement} view scrolls; has `.console-space` and `.console-rows`
   * @param {{rowPx: number, draw: (top: number, count: number, rows: HTMLElement) => void, onMove: (byReader: boolean) => void}} given
   */
  constructor(view, { rowPx, draw, onMove }) {
    this.view = view;
    this.space = /** @type {HTMLElement} */ (view.querySelector(".console-space"));
    this.rows = /** @type {HTMLElement} */ (view.querySelector(".console-rows"));
    this.rowPx = rowPx;
    this.draw = draw;
    this.onMove = onMove;
    this.total = 0;
    this.top = 0;
    this.expected = 0;
    view.addEventListener("scroll", () => this.follow(), { passive: true });
    view.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    view.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.moveTo(this.top)).observe(view);
  }

  /** Rows that fit whole. */
  get seen() {
    return Math.max(1, Math.floor(this.view.clientHeight / this.rowPx));
  }

  /** The row at the top when the last one is at the foot; the first one may be cut. */
  get lastTop() {
    return Math.max(0, this.total - this.view.clientHeight / this.rowPx);
  }

  /** Pixels of the bar per row: its two ends are the first and the last row, however many there are. */
  get barPx() {
    const longest = spaceOf(this.total, this.rowPx) - this.view.clientHeight;
    return this.lastTop > 0 ? Math.max(longest, 0) / this.lastTop : this.rowPx;
  }

  get isAtEnd() {
    return this.top >= this.lastTop - 0.5;
  }

  /** @param {number} total */
  setTotal(total) {
    this.total = total;
    this.space.style.height = `${spaceOf(total, this.rowPx)}px`;
    this.moveTo(this.top);
  }

  /** @param {number} row which comes to the top, as far as there are rows below it */
  moveTo(row) {
    this.top = Math.min(Math.max(row, 0), this.lastTop);
    this.expected = Math.round(this.top * this.barPx);
    if (Math.abs(this.view.scrollTop - this.expected) > 1) this.view.scrollTop = this.expected;
    this.paint();
  }

  /** @param {number} row which comes to the middle */
  centre(row) {
    this.moveTo(row - Math.floor(this.seen / 2));
  }

  paint() {
    const first = Math.floor(this.top);
    this.rows.style.transform = `translateY(${-(this.top - first) * this.rowPx}px)`;
    this.draw(first, this.seen + 2, this.rows);
  }

  /** The bar was moved. */
  follow() {
    if (Math.abs(this.view.scrollTop - this.expected) <= 1) return;
    this.expected = this.view.scrollTop;
    this.top = Math.min(this.expected / this.barPx, this.lastTop);
    this.paint();
    this.onMove(true);
  }

  /** Where the bar is scaled, a notch of the wheel would be hundreds of lines. @param {WheelEvent} event */
  wheel(event) {
    if (this.total * this.rowPx <= SPACE_MAX_PX || event.ctrlKey || Math.abs(event.deltaY) < Math.abs(event.deltaX)) return;
    event.preventDefault();
    const px = event.deltaMode === 1 ? event.deltaY * this.rowPx : event.deltaY;
    this.moveTo(this.top + px / this.rowPx);
    this.onMove(true);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    /** @type {Record<string, number>} */
    const places = {
      ArrowDown: this.top + 1, ArrowUp: this.top - 1, PageDown: this.top + this.seen - 1,
      PageUp: this.top - this.seen + 1, Home: 0, End: this.total, " ": this.top + this.seen - 1,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    this.moveTo(Math.round(places[event.key] ?? 0));
    this.onMove(true);
  }
}
