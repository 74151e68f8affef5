"""Scripts, styles, fonts and the figure, from memory: only what is listed can be fetched."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from bokeh.settings import settings as bokeh_settings

from hpctrack.errors import NotFoundError
from hpctrack_server.components.figures.catalogue import FIGURES, figure_json
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.services import Services

CACHE_MAX_AGE_S = 31_536_000
"""A year: the address holds a hash of everything, so what it names never changes."""

CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True, repr=False)
class Asset:
    """One file."""

    body: bytes
    content_type: str

    @property
    def is_packable(self) -> bool:
        """Whether compressing makes it smaller; fonts are compressed already."""
        return not self.content_type.startswith("font/")


@dataclass(frozen=True, slots=True, repr=False)
class Assets:
    """All files that pages refer to.

    Parameters
    ----------
    version : str
        Hash over all of them. It is a folder in their address, so that scripts and styles that
        refer to each other by relative names carry it along.
    """

    version: str
    files: Mapping[str, Asset]

    def path(self, name: str) -> str:
        """Return the address of a file.

        Raises
        ------
        NotFoundError
            There is no such file.
        """
        if name not in self.files:
            raise NotFoundError(f"no asset {name!r}")
        return f"/assets/{self.version}/{name}"


@cache
def load_assets() -> Assets:
    """Read the package's files, Bokeh's script and the figure; once per process."""
    bodies = dict(_iter_files(files("hpctrack_server") / "static", ""))
    bodies["bokeh.min.js"] = (bokeh_settings.bokehjs_path() / "js" / "bokeh.min.js").read_bytes()
    bodies.update({f"figures/{name}.json": figure_json(name) for name in FIGURES})
    digest = hashlib.blake2b(digest_size=6)
    found = {}
    for name in sorted(bodies):
        digest.update(name.encode() + b"\0" + bodies[name])
        kind = name.rpartition(".")[2]
        if kind in CONTENT_TYPES:
            found[name] = Asset(bodies[name], CONTENT_TYPES[kind])
    return Assets(digest.hexdigest(), found)


@lru_cache(maxsize=64)
def pack(asset: Asset) -> bytes:
    """Compress an asset when it is first asked for: 31 ms of CPU for Bokeh's script."""
    return gzip.compress(asset.body, 6, mtime=0)


def _iter_files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for one in folder.iterdir():
        if one.is_dir():
            found += _iter_files(one, f"{prefix}{one.name}/")
        else:
            found.append((f"{prefix}{one.name}", one.read_bytes()))
    return found


class AssetPage(Guarded):
    """One asset; public, because the page for visitors without a token uses them too."""

    is_public = True
    assets: Assets

    def initialize(self, services: Services, assets: Assets | None = None) -> None:
        """Take what Tornado hands over."""
        super().initialize(services)
        self.assets = assets or Assets("", {})

    def get(self, version: str, name: str) -> None:
        """Answer with the file."""
        asset = self.assets.files.get(name)
        if asset is None:
            raise NotFoundError("There is no such file.")
        if version == self.assets.version:
            self.set_header("Cache-Control", f"public, max-age={CACHE_MAX_AGE_S}, immutable")
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Vary", "Accept-Encoding")
        if asset.is_packable and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.finish(pack(asset))
        else:
            self.finish(asset.body)
