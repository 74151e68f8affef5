// Putting a figure that the server has built into the page.

/** @type {Map<string, Promise<string>>} */
const fetched = new Map();

/**
 * A figure's models by their names.
 * @typedef {object} Figure
 * @property {any} view of the plot
 * @property {any} model of the plot
 * @property {(name: string) => any} find
 */

/**
 * @param {string} url of the figure's JSON
 * @param {HTMLElement} host
 * @returns {Promise<Figure>}
 */
export async function mountFigure(url, host) {
  if (!fetched.has(url)) fetched.set(url, fetch(url).then((answer) => answer.text()));
  const item = JSON.parse(await /** @type {Promise<string>} */ (fetched.get(url)));
  const views = await Bokeh.embed.embed_item(item, host);
  const view = [...views][0] ?? views.roots[0];
  const { model } = view;
  return { view, model, find: (name) => model.document.get_model_by_name(name) };
}

/**
 * Where a pointer is in a figure, in the units of its axes; null outside of the frame.
 * @param {Figure} figure
 * @param {MouseEvent} event
 */
export function placeOf(figure, event) {
  const box = figure.view.canvas_view.el.getBoundingClientRect();
  const [sx, sy] = [event.clientX - box.left, event.clientY - box.top];
  const { frame } = figure.view;
  const { left, right, top, bottom } = frame.bbox;
  if (sx < left || sx > right || sy < top || sy > bottom) return null;
  return { x: frame.x_scale.invert(sx), y: frame.y_scale.invert(sy) };
}
