"""Which files a pattern of ``run.save`` means; for the rank and for its agent."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath

from hpctrack.core.names import METRIC_MAX_BYTES, clean
from hpctrack.errors import is_of_a_signal

REQUEST_MAX_FILES = 1000
"""More files than anybody looks at in a run; they belong into an artifact."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it was when it was looked at.

    Parameters
    ----------
    path : Path
    name : str
        In the run.
    size_bytes, mtime_ns : int
        When both are the same, the file is the same.
    """

    path: Path
    name: str
    size_bytes: int
    mtime_ns: int

    @property
    def suffix(self) -> str:
        """The extension in lower case, with its dot."""
        return self.path.suffix.lower()

    def describe(self, policy: str, *, kind: str = "file", name: str = "") -> dict[str, object]:
        """Return the description under which it is kept."""
        return {
            "key": name or self.name,
            "step": -1,
            "type": kind,
            "format": self.suffix.lstrip("."),
            "meta": {"path": str(self.path), "policy": policy, "mtime_s": self.mtime_ns / 1e9},
        }


def find_files(pattern: str, base: str) -> tuple[list[FoundFile], bool]:
    """Return the regular files that match, by name, and whether there were too many.

    Parameters
    ----------
    pattern : str
        An absolute path, with ``*``, ``?`` and ``**``; a folder stands for all files below it.
    base : str
        Names are relative to it.
    """
    found = list(islice(_iter_files(pattern, Path(base)), REQUEST_MAX_FILES + 1))
    found.sort(key=lambda file: file.name)
    return found[:REQUEST_MAX_FILES], len(found) > REQUEST_MAX_FILES


def _iter_files(pattern: str, root: Path) -> Iterator[FoundFile]:
    for one in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - the pattern is absolute text
        path = Path(one)
        inner = sorted(path.rglob("*")) if path.is_dir() and not glob.has_magic(pattern) else [path]
        for each in inner:
            file = look_at(each, root)
            if file is not None:
                yield file


def look_at(path: Path, root: Path) -> FoundFile | None:
    """Return a regular file; None if it is something else, or gone."""
    try:
        facts = path.stat()
    except OSError as error:
        if is_of_a_signal(error):
            raise
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    try:
        name = safe_name(path.relative_to(root))
    except ValueError:
        name = safe_name(PurePath(path.name))
    return FoundFile(path, name, facts.st_size, facts.st_mtime_ns)


def safe_name(path: PurePath) -> str:
    """Return a name that stays inside whatever folder it is unpacked into."""
    parts = [clean(one) for one in path.parts if one not in {"", ".", "..", "/"}]
    text = "/".join(parts).encode("utf-8", "replace")[-METRIC_MAX_BYTES:].decode("utf-8", "ignore")
    return text.lstrip("/") or "file"


def read_small(path: Path, size_max_bytes: int) -> bytes | None:
    """Return what is in a file; None if it cannot be read, or is longer."""
    try:
        # A pipe that has taken the file's place must not make the training wait.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123 - the handle is open already
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return None
            body = file.read(size_max_bytes + 1)
    except OSError as error:
        if is_of_a_signal(error):
            raise
        return None
    return body if len(body) <= size_max_bytes else None
