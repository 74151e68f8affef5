"""Things in space: point clouds, meshes, molecules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from hpctrack.client.media.formats import MOLECULES, SHAPES
from hpctrack.client.media.snapshot import take_snapshot
from hpctrack.client.media.source import Content, is_path, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, make_meta
from hpctrack.core.wire import make_plain
from hpctrack.errors import UsageError

POINT_WIDTHS = (3, 4, 6)
"""x y z; and a category; or red, green and blue."""


class Object3D(Media):
    """A point cloud or a mesh to log. Per-rank.

    Parameters
    ----------
    data : array, mapping, path, text or open file
        Points: an array of shape (n, 3), (n, 4) with a category, or (n, 6) with colours between
        0 and 255; or W&B's ``{"points": array, "boxes": [...], "vectors": [...]}``.
        Meshes: a file, or the text of one: .obj .glb .gltf .stl .babylon .pts.json.
    caption : str, optional
        Shown with it.
    file_type : str, optional
        What text or an open file is.
    **others
        What is not known here: told, and left out.

    Notes
    -----
    Points may have at most 64 MiB, files 1 GiB. Never raises: what is wrong is told by
    ``run.log``.
    """

    kind: ClassVar[str] = "object3d"

    def __init__(
        self,
        data: object,
        caption: str | None = None,
        *,
        file_type: str | None = None,
        **others: object,
    ) -> None:
        def make() -> Piece:
            if isinstance(data, Mapping):
                return _make_scene(data, caption)
            if is_path(data) or isinstance(data, bytes) or hasattr(data, "read"):
                content = _read(data, file_type, "an object")
                return content.make_piece("object3d", SHAPES, file_type=file_type, caption=caption)
            return _make_points(data, caption)

        self._keep(make, others)

    @classmethod
    def from_point_cloud(
        cls, points: object, boxes: object = (), vectors: object = (), caption: str | None = None
    ) -> Self:
        """Take points, boxes and vectors, as W&B's method of this name does."""
        scene = {"points": points, "boxes": boxes, "vectors": vectors}
        return cls(scene, caption=caption)

    @classmethod
    def from_numpy(cls, data: object) -> Self:
        """Take an array of points, as W&B's method of this name does."""
        return cls(data)

    @classmethod
    def from_file(cls, data_or_path: object, file_type: str | None = None) -> Self:
        """Take a file, as W&B's method of this name does."""
        return cls(data_or_path, file_type=file_type)


class Molecule(Media):
    """A molecule to log. Per-rank.

    Parameters
    ----------
    data : path, text, bytes or open file
        .pdb .pqr .cif .mmcif .mcif .sdf .sd .mol .mol2 .gro .mmtf .xyz
    caption : str, optional
        Shown with it.
    file_type : str, optional
        What text or an open file is.
    **others
        What is not known here: told, and left out.

    Notes
    -----
    Kept as it is. Never raises: what is wrong is told by ``run.log``.
    """

    kind: ClassVar[str] = "molecule"

    def __init__(
        self,
        data: object,
        caption: str | None = None,
        *,
        file_type: str | None = None,
        **others: object,
    ) -> None:
        def make() -> Piece:
            content = _read(data, file_type, "a molecule")
            return content.make_piece("molecule", MOLECULES, file_type=file_type, caption=caption)

        self._keep(make, others)


def _read(data: object, file_type: str | None, what: str) -> Content:
    # The text of a file has several lines, a path has one.
    if is_path(data) and "\n" not in str(data):
        return read_file(data)
    return take_bytes(data, file_type or "", what)


def _make_points(data: object, caption: str | None) -> Piece:
    taken = take_snapshot(data, "a point cloud")
    if len(taken.shape) != 2 or taken.shape[1] not in POINT_WIDTHS or not taken.shape[0]:  # noqa: PLR2004 - points by columns
        raise UsageError(f"a point cloud is {taken}", hint="give (n, 3), (n, 4) or (n, 6)")
    meta, warnings = make_meta(caption)
    facts = {
        "type": "object3d",
        "encode": "points",
        "format": "points",
        "raw": taken.raw,
        "meta": meta,
    }
    return Piece(facts, (taken.data,), warnings)


def _make_scene(scene: Mapping[str, Any], caption: str | None) -> Piece:
    if "points" not in scene:
        raise UsageError("a scene has no 'points'", hint="give an array, or {'points': array}")
    piece = _make_points(scene["points"], caption)
    more = {key: list(scene[key]) for key in ("boxes", "vectors") if scene.get(key) is not None}
    if not any(more.values()):
        return piece
    body = json.dumps(more, default=make_plain, separators=(",", ":"), allow_nan=False).encode()
    attachments = [{"name": "overlays", "encode": "copy", "format": "json"}]
    return Piece({**piece.facts, "attachments": attachments}, (*piece.parts, body), piece.warnings)
