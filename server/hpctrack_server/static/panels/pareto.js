// The runs that no other run beats in both of two columns.

/**
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y NaN counts as no run
 * @param {{isLessX: boolean, isLessY: boolean}} better whether less is better
 * @returns {number[]} rows, from the best x on
 */
export function findFront(x, y, { isLessX, isLessY }) {
  const [sx, sy] = [isLessX ? 1 : -1, isLessY ? 1 : -1];
  const rows = [];
  for (let i = 0; i < x.length; i++) if (!Number.isNaN(x[i]) && !Number.isNaN(y[i])) rows.push(i);
  rows.sort((a, b) => sx * (x[a] - x[b]) || sy * (y[a] - y[b]));
  const front = [];
  let best = Infinity;
  let last = NaN;
  for (const row of rows) {
    const height = sy * y[row];
    // Equal runs are all on the front: none of them beats another.
    const isEqual = height === best && x[row] === last;
    if (height < best || isEqual) {
      front.push(row);
      best = height;
      last = x[row];
    }
  }
  return front;
}
