"""Installed packages, from the names of the folders that they lie in: no pip, no imports."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from hpctrack.telemetry.provenance.files import below, list_names, read_text
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.repository import find_repository, mask_url

PACKAGES_MAX = 4000
METADATA_MAX_BYTES = 16 * 1024
"""Name and version come first; what follows is the project's description."""

_INSTALLED = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-.*)?\.(?:dist|egg)-info\Z")
_EGG = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)(?:-.*)?\.egg\Z")
_CONDA = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.json\Z")


class Package(NamedTuple):
    """One installed package.

    Parameters
    ----------
    name : str
        As an index of packages writes it: lower case, dashes.
    version : str
    origin : str
        ``direct_url.json``, if it came from elsewhere than an index.
    """

    name: str
    version: str
    origin: str = ""


def read_packages(
    path: Sequence[str], masker: Masker, *, cwd: str = "", root: Path = Path("/")
) -> dict[str, Any]:
    """Return what a Python with this ``sys.path`` has installed.

    Parameters
    ----------
    path : sequence of str
        Of several packages with one name the first one counts, as for Python.
    masker : Masker
        Leaves out secrets in addresses.
    cwd : str
        What relative folders are relative to.
    root : Path, optional
        Where absolute paths of the process begin for us.

    Returns
    -------
    dict
        ``packages``: version by name; ``direct``: where those came from that no index knows, by
        name: ``url``, ``editable``, ``commit``.
    """
    found: dict[str, Package] = {}
    for entry in path:
        folder = below(root, entry if entry.startswith("/") else os.path.join(cwd, entry))  # noqa: PTH118 - may be empty
        for one in _list_packages(folder):
            found.setdefault(one.name, one)
    ordered = [found[name] for name in sorted(found)[:PACKAGES_MAX]]
    direct = {one.name: _read_origin(one.origin, masker, root) for one in ordered if one.origin}
    return {
        "packages": {one.name: one.version for one in ordered},
        **({"direct": direct} if direct else {}),
    }


def read_conda(environ: Mapping[str, str], prefix: str, root: Path = Path("/")) -> dict[str, Any]:
    """Return the conda environment that a program ran in, with its packages; empty if in none."""
    for where in (environ.get("CONDA_PREFIX", ""), prefix):
        names = list_names(below(root, where) / "conda-meta") if where else []
        matches = [found for found in map(_CONDA.match, names) if found]
        if matches:
            return {
                "prefix": where,
                "name": environ.get("CONDA_DEFAULT_ENV") or Path(where).name,
                "packages": {one["name"]: f"{one['version']}={one['build']}" for one in matches},
            }
    return {}


def _list_packages(folder: Path) -> tuple[Package, ...]:
    try:
        changed_ns = folder.stat().st_mtime_ns
    except OSError:
        return ()
    return _list_unchanged(folder, changed_ns)


@lru_cache(maxsize=64)
def _list_unchanged(folder: Path, _changed_ns: int) -> tuple[Package, ...]:
    """List a folder once: an agent serves many short runs of one job."""
    return tuple(_iter_packages(folder))


def _iter_packages(folder: Path) -> Iterator[Package]:
    for name in list_names(folder):
        if not name.endswith(("-info", ".egg")):
            continue
        found = _INSTALLED.match(name) or _EGG.match(name)
        if found:
            is_wheel = name.endswith(".dist-info")
            origin = read_text(folder / name / "direct_url.json") if is_wheel else None
            yield Package(_normal(found["name"]), found["version"], origin or "")
        elif name.endswith(".egg-info"):
            # `setup.py develop`: the version is inside.
            yield from _read_metadata(folder / name / "PKG-INFO", folder)


def _read_metadata(path: Path, folder: Path) -> Iterator[Package]:
    told = dict(
        line.split(": ", 1)
        for line in (read_text(path, METADATA_MAX_BYTES) or "").splitlines()
        if re.match(r"(?:Name|Version): ", line)
    )
    if "Name" in told:
        origin = json.dumps({"url": f"file://{folder}", "dir_info": {"editable": True}})
        yield Package(_normal(told["Name"]), told.get("Version", ""), origin)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_origin(text: str, masker: Masker, root: Path) -> dict[str, Any]:
    try:
        told = json.loads(text)
        url = str(told["url"])
        is_editable = bool((told.get("dir_info") or {}).get("editable"))
        commit = str((told.get("vcs_info") or {}).get("commit_id", ""))
        vcs = str((told.get("vcs_info") or {}).get("vcs", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    if url.startswith("file://") and is_editable:
        repository = find_repository(url.removeprefix("file://"), root)
        commit = repository.head()[1] if repository else ""
    facts = {
        "url": masker.anything(mask_url(url)),
        "editable": is_editable,
        "vcs": vcs,
        "commit": commit,
    }
    return {key: value for key, value in facts.items() if value}
