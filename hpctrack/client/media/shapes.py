"""Things in space: point clouds, meshes, molecules."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from hpctrack.client.media.formats import MOLECULES, SHAPES
from hpctrack.client.media.snapshot import take_snapshot
from hpctrack.client.media.source import Content, is_path, read_file, take_bytes
from hpctrack.client.media.value import Media, Piece, choose_data, make_meta
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
        ``data_or_path`` is W&B's name of ``data``; what is not known here is told, and left out.

    Notes
    -----
    Points may have at most 64 MiB, files 1 GiB. Never raises: what is wrong is told by
    ``run.log``.
    """

    kind: ClassVar[str] = "object3d"

    def __init__(
        self,
        data: object = None,
        caption: str | None = None,
        *,
        file_type: str | None = None,
        **others: object,
    ) -> None:
        content = choose_data(data, others)

        def make() -> Piece:
            if isinstance(content, Mapping):
                return _make_scene(content, caption)
            if is_path(content) or isinstance(content, bytes) or hasattr(content, "read"):
                found = _read(content, file_type, "an object")
                return found.make_piece("object3d", SHAPES, file_type=file_type, caption=caption)
            return _make_points(content, caption)

        self._keep(make, others)

    @classmethod
    def from_point_cloud(
        cls, points: object, boxes: object = (), vectors: object = (), caption: str | None = None
    ) -> Self:
        """Take points, boxes and vectors, as W&B's method of this name does. Per-rank."""
        scene = {"points": points, "boxes": boxes, "vectors": vectors}
        return cls(scene, caption=caption)

    @classmethod
    def from_numpy(cls, data: object) -> Self:
        """Take an array of points, as W&B's method of this name does. Per-rank."""
        return cls(data)

    @classmethod
    def from_file(cls, data_or_path: object, file_type: str | None = None) -> Self:
        """Take a file, as W&B's method of this name does. Per-rank."""
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
        ``data_or_path`` is W&B's name of ``data``; what is not known here is told, and left out.

    Notes
    -----
    Kept as it is. Never raises: what is wrong is told by ``run.log``.
    """

    kind: ClassVar[str] = "molecule"

    def __init__(
        self,
        data: object = None,
        caption: str | None = None,
        *,
        file_type: str | None = None,
        **others: object,
    ) -> None:
        content = choose_data(data, others)

        def make() -> Piece:
            found = _read(content, file_type, "a molecule")
            return found.make_piece("molecule", MOLECULES, file_type=file_type, caption=caption)

        self._keep(make, others)

    @classmethod
    def from_smiles(cls, data: object, caption: str | None = None, **options: Any) -> Self:
        """Take a molecule by its SMILES, as W&B's method of this name does. Per-rank.

        Parameters
        ----------
        data : str
            Such as ``"CCO"``.
        caption : str, optional
            Shown with it.
        **options
            ``sanitize``, ``convert_to_3d_and_optimize`` and
            ``mmff_optimize_molecule_max_iterations``, as in W&B.

        Notes
        -----
        Needs rdkit, which makes a PDB file of it in this process; where it is not installed,
        ``run.log`` tells so.
        """
        from hpctrack.client.media.chemistry import read_smiles  # noqa: PLC0415 - loads rdkit

        made = cls.__new__(cls)
        made._keep(lambda: read_smiles(data, caption, **options))  # noqa: SLF001 - its own class's
        return made

    @classmethod
    def from_rdkit(cls, data_or_path: object, caption: str | None = None, **options: Any) -> Self:
        """Take rdkit's ``Mol``, or a file that rdkit reads, as W&B's method does. Per-rank.

        Parameters
        ----------
        data_or_path : rdkit.Chem.rdchem.Mol or path
            A path ends in .mol, .sdf or .pdb.
        caption : str, optional
            Shown with it.
        **options
            ``convert_to_3d_and_optimize`` and ``mmff_optimize_molecule_max_iterations``.

        Notes
        -----
        As `from_smiles`.
        """
        from hpctrack.client.media.chemistry import read_rdkit  # noqa: PLC0415 - loads rdkit

        made = cls.__new__(cls)
        made._keep(lambda: read_rdkit(data_or_path, caption, **options))  # noqa: SLF001 - as above
        return made


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
