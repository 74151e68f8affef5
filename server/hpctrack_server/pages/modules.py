"""The scripts of a page, fetched side by side and not one after the other."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files

IMPORT = re.compile(r'^import [^;]*?"(\.[^"]+)";', re.MULTILINE)


def list_modules(entries: tuple[str, ...], read: Callable[[str], str]) -> tuple[str, ...]:
    """Return scripts and all that they import, nearest first. Pure.

    Parameters
    ----------
    entries : tuple of str
        Names of scripts below ``static``.
    read : callable
        Returns the text of a script.
    """
    found = list(entries)
    for name in found:  # it grows
        folder = posixpath.dirname(name)
        for other in IMPORT.findall(read(name)):
            path = posixpath.normpath(posixpath.join(folder, other))
            if path not in found:
                found.append(path)
    return tuple(found)


@cache
def load_modules(*entries: str) -> tuple[str, ...]:
    """Return the scripts of a page, see `list_modules`; read once per process."""
    static = files("hpctrack_server") / "static"
    return list_modules(entries, lambda name: (static / name).read_text("utf-8"))
