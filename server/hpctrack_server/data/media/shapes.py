"""What a 3D viewer draws: points with colours, or triangles. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.errors import StoreFormatError
from hpctrack.store.media_decode import decode_points

FloatArray = NDArray[np.float32]

POINTS_MAX = 200_000
"""What a browser without a graphics card still turns; of more, some are left out at random."""

TRIANGLES_MAX = 400_000

SEED = 1
"""Of what is left out: the same points each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Something to draw.

    Parameters
    ----------
    kind : {"points", "mesh", "atoms"}
    position : ndarray of float32, shape (n, 3)
        Of points, of corners (three make a triangle), or of atoms.
    colour : ndarray of uint8, shape (n, 3), optional
    category : ndarray of uint8, shape (n,), optional
        Of a point, for a palette of the page; of an atom the atomic number.
    radius : ndarray of float32, shape (n,), optional
        Of atoms.
    bonds : ndarray of uint32, shape (m, 2), optional
        Which atoms are joined.
    total : int
        How many points, triangles or atoms there are.
    drawn : int
        How many of them are here.
    """

    kind: str
    position: FloatArray
    total: int
    drawn: int
    colour: NDArray[np.uint8] | None = None
    category: NDArray[np.uint8] | None = None
    radius: FloatArray | None = None
    bonds: NDArray[np.uint32] | None = None


def read_points(body: bytes) -> Shape:
    """Return a point cloud as hpctrack keeps it.

    Raises
    ------
    StoreFormatError
        It is none.
    """
    return make_points(decode_points(body))


def make_points(values: NDArray[Any]) -> Shape:
    """Return points of an array: x, y, z and nothing, a category, or red, green and blue."""
    total = len(values)
    kept = np.isfinite(values[:, :3]).all(axis=1)
    values = values[kept]
    if len(values) > POINTS_MAX:
        chosen = np.random.default_rng(SEED).choice(len(values), POINTS_MAX, replace=False)
        values = values[np.sort(chosen)]
    width = values.shape[1]
    return Shape(
        kind="points",
        position=np.ascontiguousarray(values[:, :3], np.float32),
        colour=clip_bytes(values[:, 3:6]) if width >= 6 else None,  # noqa: PLR2004 - x y z r g b
        category=clip_bytes(values[:, 3]) if width == 4 else None,  # noqa: PLR2004 - x y z c
        total=total,
        drawn=len(values),
    )


def clip_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values as bytes; what is no number is 0."""
    return np.ascontiguousarray(np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8))


def make_mesh(corners: NDArray[Any]) -> Shape:
    """Return triangles of their corners, shape (3 n, 3).

    Raises
    ------
    StoreFormatError
        There are none.
    """
    total = len(corners) // 3
    if not total:
        raise StoreFormatError("the mesh has no triangles")
    triangles = np.asarray(corners[: 3 * total], np.float32).reshape(total, 3, 3)
    triangles = triangles[np.isfinite(triangles).all(axis=(1, 2))]
    if len(triangles) > TRIANGLES_MAX:
        triangles = triangles[:: -(-len(triangles) // TRIANGLES_MAX)]
    return Shape(
        kind="mesh",
        position=np.ascontiguousarray(triangles.reshape(-1, 3)),
        total=total,
        drawn=len(triangles),
    )
