"""How far the ranks are apart over time. Pure."""

from __future__ import annotations

import numpy as np

from hpctrack_server.data.downsample import FloatArray
from hpctrack_server.data.matrix.picture import Wanted, clip_window, measure_spread
from hpctrack_server.data.matrix.plane import Columns, How, Plane, choose_columns, reduce_rows


def measure_bands(plane: Plane, wanted: Wanted) -> tuple[dict[str, FloatArray], Columns]:
    """Return bands over the ranks of a window.

    Returns
    -------
    bands : dict of ndarray, shape (columns,)
        ``x``, the step where each column begins; ``low`` and ``high``, the exact extremes of all
        its points; ``p5``, ``median`` and ``p95`` over the ranks, of each rank's mean in it.
    columns : Columns
    """
    start, stop = clip_window(plane, wanted)
    columns = choose_columns(plane, start, stop, wanted.width)
    means = measure_spread(reduce_rows(plane, columns, How.MEAN))
    with np.errstate(all="ignore"):
        low = np.fmin.reduce(reduce_rows(plane, columns, How.MIN), axis=1)
        high = np.fmax.reduce(reduce_rows(plane, columns, How.MAX), axis=1)
    width = (columns.x1 - columns.x0) / max(len(columns), 1)
    bands = {
        "x": columns.x0 + width * np.arange(len(columns)),
        "low": low, "p5": means[:, 1], "median": means[:, 2], "p95": means[:, 3], "high": high,
    }  # fmt: skip
    return {name: np.asarray(one, np.float64) for name, one in bands.items()}, columns
