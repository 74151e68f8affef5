"""What is worked out before it is shown: tables, histograms over steps, shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.store.media_item import MediaItem
from hpctrack_server.data.encode import Packed, pack_arrays
from hpctrack_server.data.media.catalogue import thin
from hpctrack_server.data.media.histograms import STEPS_MAX, Histograms, join_histograms
from hpctrack_server.data.media.library import Shelf, check_digest
from hpctrack_server.data.media.meshes import read_mesh
from hpctrack_server.data.media.molecules import read_molecule
from hpctrack_server.data.media.shapes import Shape, read_points
from hpctrack_server.data.media.tables import ROWS_MAX, TablePart, iter_cells, show_table
from hpctrack_server.language.csv_text import write_csv
from hpctrack_server.pages.media.media import MediaApi
from hpctrack_server.pages.run.files import describe_download

MESHES = frozenset({"obj", "stl", "gltf", "glb"})


class TableApi(MediaApi):
    """``.../media/table``: a logged table, sorted and filtered, a part at a time; or as CSV."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with rows; a cell with media is an object that describes it."""
        key, step, rank = self.key(), self.number("step", 0), self.number("rank")
        part = TablePart(
            sort=self.number("sort"),
            is_descending=self.query("desc") == "1",
            word=self.query("word"),
            start=max(0, self.number("start", 0) or 0),
            count=max(1, min(self.number("count", 50) or 50, ROWS_MAX)),
        )
        if part.sort is not None and part.sort < 0:
            raise UsageError("the parameter 'sort' is below 0")
        is_csv = self.query("format") == "csv"

        def work(shelf: Shelf) -> Any:
            table = find_item(shelf.of(key), step or 0, rank).to_table()
            return list(iter_cells(table)) if is_csv else show_table(table, part)

        found = await self.ask(work, project, run_id)
        if not is_csv:
            self.answer(found)
            return
        for name, value in describe_download(f"{key.rpartition('/')[2]}-{step}.csv").items():
            self.set_header(name, value)
        self.finish(write_csv(found).encode("utf-8", "replace"))


def find_item(items: list[MediaItem], step: int, rank: int | None) -> MediaItem:
    """Return the item of a step, or the last before it.

    Raises
    ------
    NotFoundError
        The rank has logged nothing under the key.
    """
    mine = [one for one in items if rank is None or one.rank == rank]
    if not mine:
        raise NotFoundError(f"rank {rank} has logged nothing here")
    before = [one for one in mine if one.step <= step] or mine[:1]
    last = max(one.step for one in before)
    return next(one for one in before if one.step == last)


class HistogramsApi(MediaApi):
    """``.../media/histograms``: all histograms of a key on common edges, as bytes."""

    async def get(self, project: str, run_id: str) -> None:
        """Answer with ``step``, ``edges`` and ``share``, the last one step after the other."""
        key, rank = self.key(), self.number("rank")
        sent = await self.ask(
            lambda shelf: encode_histograms(*collect_histograms(shelf.of(key), rank)),
            project,
            run_id,
        )
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(sent)


def collect_histograms(items: list[MediaItem], rank: int | None) -> tuple[Histograms, list[str]]:
    """Read the histograms of a rank, and say which could not be read."""
    mine = [one for one in items if one.type == "histogram" and (rank is None or one.rank == rank)]
    lowest = min((one.rank for one in mine), default=0)
    mine = [one for one in mine if one.rank == lowest]
    by_step = {one.step: one for one in mine}
    chosen = thin(sorted(by_step), STEPS_MAX)
    steps, parts, problems = [], [], []
    for step in chosen:
        try:
            counts, edges = by_step[step].to_histogram()
        except HpctrackError as error:
            problems.append(f"step {step}: {error.message}")
            continue
        steps.append(step)
        parts.append((np.asarray(counts, np.float64), np.asarray(edges, np.float64)))
    return join_histograms(steps, parts, total=len(by_step)), problems


def encode_histograms(found: Histograms, problems: list[str]) -> bytes:
    """Return histograms as `static/base/api.js` reads arrays."""
    header = {"steps": len(found.step), "total": found.total, "problems": problems[:20]}
    arrays = [
        ({"name": "step"}, Packed(found.step.astype("<f8"))),
        ({"name": "edges"}, Packed(found.edges.astype("<f8"))),
        ({"name": "share"}, Packed(found.share.astype("<f4").ravel())),
    ]
    return pack_arrays(header, arrays)


class ShapeApi(MediaApi):
    """``.../media/<digest>/shape``: points, triangles or atoms for the 3D viewer, as bytes."""

    async def get(self, project: str, run_id: str, digest: str) -> None:
        """Answer with arrays: ``position`` and what belongs to it."""
        check_digest(digest)
        body, payload = await self.ask(lambda shelf: shelf.read(digest), project, run_id)
        sent = await self.calculate(
            lambda: encode_shape(read_shape(body, payload.format, payload.type))
        )
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(sent)


def read_shape(body: bytes, form: str, kind: str) -> Shape:
    """Return what a file shows.

    Raises
    ------
    HpctrackError
        It cannot be read, or not here.
    """
    if form == "points":
        return read_points(body)
    if form in MESHES:
        return read_mesh(body, form)
    if kind == "molecule":
        return read_molecule(body, form)
    raise UsageError(f"{form} files are not drawn", hint="download it")


def encode_shape(shape: Shape) -> bytes:
    """Return a shape as `static/base/api.js` reads arrays."""
    arrays = [({"name": "position"}, Packed(shape.position.ravel()))]
    for name in ("colour", "category", "radius", "bonds"):
        values = getattr(shape, name)
        if values is not None:
            arrays.append(({"name": name}, Packed(np.ascontiguousarray(values).ravel())))
    header = {"kind": shape.kind, "total": shape.total, "drawn": shape.drawn}
    return pack_arrays(header, arrays)
