"""A metric over two parameters as a surface: triangles between runs, and lines of equal height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from contourpy import LineType, contour_generator

from hpctrack_server.components.panels.column import FloatArray

GRID_POINTS = 96
LINES_MAX = 12
POINTS_MAX = 3000
"""Of more, those in the same cell of a grid are put together: their triangles cannot be seen."""

CELLS = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Heights on a grid, and lines between them.

    Parameters
    ----------
    heights : ndarray, shape (GRID_POINTS, GRID_POINTS)
        By row of y from below; NaN outside of the runs' hull: nothing is extrapolated.
    lines : list of (level, points)
        Points are ndarrays of shape (m, 2) in places from 0 to 1.
    places : int
        Different places of runs.
    """

    heights: FloatArray
    lines: list[tuple[float, Any]]
    places: int


def fit_surface(x: FloatArray, y: FloatArray, z: FloatArray) -> Surface | None:
    """Return the surface over the unit square, or None if the runs lie on one line.

    Parameters
    ----------
    x, y : ndarrays, shape (n,)
        Places of runs from 0 to 1, as the axes show them.
    z : ndarray, shape (n,)
        Finite. The mean counts where runs lie at the same place.

    Notes
    -----
    Linear between the three runs around (Delaunay's triangles), so that it never shows a height
    that no run has.
    """
    # A fifth of a second, for those only who draw a surface.
    from scipy.interpolate import LinearNDInterpolator  # noqa: PLC0415
    from scipy.spatial import QhullError  # noqa: PLC0415

    places, heights = _join_places(np.stack([x, y], axis=1), z)
    if len(places) < 3:  # noqa: PLR2004 - a triangle has three corners
        return None
    try:
        interpolate = LinearNDInterpolator(places, heights)
    except QhullError:
        return None
    side = np.linspace(0, 1, GRID_POINTS)
    grid = np.asarray(interpolate(*np.meshgrid(side, side)), np.float64)
    known = grid[np.isfinite(grid)]
    if not len(known):
        return None
    lines: list[tuple[float, Any]] = []
    if known.max() > known.min():
        generator = contour_generator(
            side, side, np.ma.masked_invalid(grid), line_type=LineType.Separate
        )
        for level in choose_levels(float(known.min()), float(known.max())):
            lines += [(level, points) for points in generator.lines(level)]
    return Surface(heights=grid, lines=lines, places=len(places))


def choose_levels(low: float, high: float, *, most: int = LINES_MAX) -> list[float]:
    """Return round numbers between two: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    if not np.isfinite(rough) or rough <= 0:
        return []
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
    first = np.ceil(low / step)
    found = (np.arange(most + 2) + first) * step
    return [float(one) for one in found if low < one < high]


def _join_places(places: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Put runs at the same place together, and thin what is more than can be triangulated."""
    shown = np.round(places, 9) if len(places) <= POINTS_MAX else np.round(places * CELLS) / CELLS
    found, index = np.unique(shown, axis=0, return_inverse=True)
    index = index.reshape(-1)
    sums = np.bincount(index, weights=z, minlength=len(found))
    return found, sums / np.bincount(index, minlength=len(found))
