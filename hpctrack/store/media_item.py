"""One thing that was logged and is no number, as readers see it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpctrack.errors import StoreError, UsageError
from hpctrack.store.media_decode import (
    Array,
    StoredTable,
    decode_histogram,
    decode_image,
    decode_points,
    decode_table,
)
from hpctrack.store.payloads import Payloads

MEDIA_KEY = "_media"
"""What tells a table's cell with media from a mapping that a user has put there."""

_OVERLAYS = "overlays"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaItem:
    """Something that was logged and is no number.

    Parameters
    ----------
    key : str
        The name under which it was logged.
    step, rank, attempt : int
    wall_s : float
        When the agent had it, UTC seconds.
    type : str
        ``image``, ``audio``, ``video``, ``text``, ``html``, ``markdown``, ``table``,
        ``histogram``, ``object3d``, ``molecule``, ``figure`` or ``plot``.
    format : str
        How it is kept, as a file's extension.
    digest : str
        SHA-256 of the bytes, hexadecimal.
    size : int
        Bytes.
    meta : dict
        Caption and whatever else belongs to the type; ``index`` and ``of`` in a list.
    """

    key: str
    step: int
    rank: int
    attempt: int
    wall_s: float
    type: str
    format: str
    digest: str
    size: int
    meta: dict[str, Any]
    payloads: Payloads = field(repr=False, compare=False)
    before: MediaItem | None = field(default=None, repr=False, compare=False)
    """The increment of the same table that came before."""

    @property
    def caption(self) -> str:
        """What the user wrote under it."""
        return str(self.meta.get("caption", ""))

    def read(self) -> bytes:
        """Return the bytes, checked against their digest.

        Raises
        ------
        StoreFormatError
            They are not there, or damaged.
        """
        return self.payloads.read(self.digest)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the bytes to a file, which appears when it is whole.

        Raises
        ------
        StoreFormatError
            They are not there, or damaged.
        StoreError
            The file cannot be written.
        """
        target = Path(path)
        scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with scratch.open("xb") as file:
                for piece in self.payloads.iter_pieces(self.digest):
                    file.write(piece)
            scratch.replace(target)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error.strerror or error}") from None
        finally:
            scratch.unlink(missing_ok=True)
        return target

    def to_array(self) -> Array:
        """Return a picture as (h, w) or (h, w, c), or a point cloud as (n, 3), (n, 4) or (n, 6).

        Raises
        ------
        UsageError
            It is neither, or of a format that needs Pillow where that is not installed.
        """
        if self.format == "points":
            return decode_points(self.read())
        if self.type not in {"image", "figure"} or "json" in self.format:
            raise self._refusal("an array")
        return decode_image(self.read(), self.format)

    def to_histogram(self) -> tuple[Array, Array]:
        """Return counts and edges, as ``numpy.histogram`` does.

        Raises
        ------
        UsageError
            It is no histogram.
        """
        if self.type != "histogram":
            raise self._refusal("a histogram")
        return decode_histogram(self.read())

    def to_table(self) -> StoredTable:
        """Return a table; of an incremental one all rows up to this.

        Raises
        ------
        UsageError
            It is no table.
        """
        if self.type != "table":
            raise self._refusal("a table")
        increments: list[MediaItem] = []
        one: MediaItem | None = self
        while one is not None:
            increments.append(one)
            one = one.before
        parts = [decode_table(item.read()) for item in reversed(increments)]
        rows = [row for part in parts for row in part.rows]
        for row in rows:
            row[:] = [self._cell(cell) for cell in row]
        expected = int(self.meta.get("first_row", 0)) + len(parts[-1].rows)
        types = [_join_types(kinds) for kinds in zip(*(one.types for one in parts), strict=True)]
        return StoredTable(parts[-1].columns, types, rows, max(0, expected - len(rows)))

    def to_pandas(self) -> Any:
        """Return a table as a pandas DataFrame; see `to_table`."""
        return self.to_table().to_pandas()

    def to_json(self) -> Any:
        """Return what is kept as JSON: plots, figures of plotly and bokeh, histograms.

        Raises
        ------
        UsageError
            It is kept in another format.
        """
        if not self.format.endswith("json"):
            raise self._refusal("JSON")
        return json.loads(self.read())

    def overlays(self) -> dict[str, Any]:
        """Return boxes, classes and the labels of masks; empty if there are none."""
        found = self._attached(_OVERLAYS)
        value = json.loads(self.payloads.read(found)) if found else {}
        return value if isinstance(value, dict) else {}

    def masks(self) -> list[str]:
        """Return the names of a picture's masks."""
        head = "masks/"
        attached = self.meta.get("attachments") or {}
        return [name[len(head) :] for name in attached if name.startswith(head)]

    def mask(self, layer: str) -> Array:
        """Return a mask's class ids, shape (h, w).

        Raises
        ------
        UsageError
            The picture has no mask of this name.
        """
        found = self._attached(f"masks/{layer}")
        if not found:
            raise UsageError(f"{self.key!r} has no mask {layer!r}", hint=f"it has {self.masks()}")
        form = str(self.meta["attachments"][f"masks/{layer}"].get("format", "png"))
        return decode_image(self.payloads.read(found), form)

    def describe(self) -> dict[str, Any]:
        """Return everything but the bytes, for JSON."""
        names = ("key", "step", "rank", "attempt", "wall_s", "type", "format", "digest", "size")
        return {**{name: getattr(self, name) for name in names}, "meta": self.meta}

    def _attached(self, name: str) -> str | None:
        found = (self.meta.get("attachments") or {}).get(name)
        return str(found.get("digest")) if isinstance(found, dict) else None

    def _cell(self, cell: Any) -> Any:
        if not isinstance(cell, dict) or cell.get("digest") not in self.payloads:
            return cell
        if MEDIA_KEY not in cell:
            return cell
        return replace(
            self,
            type=str(cell[MEDIA_KEY]),
            format=str(cell.get("format")),
            digest=str(cell["digest"]),
            size=int(cell.get("size", 0)),
            meta=dict(cell.get("meta") or {}),
            before=None,
        )

    def _refusal(self, what: str) -> UsageError:
        return UsageError(
            f"{self.key!r} at step {self.step} is of type {self.type} ({self.format}), not {what}",
            hint="read() has its bytes, save(path) writes them",
        )


def _join_types(kinds: Sequence[str]) -> str:
    found = {one for one in kinds if one != "empty"}
    return found.pop() if len(found) == 1 else "mixed" if found else "empty"
