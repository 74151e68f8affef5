"""Reading the files that ranks asked to keep, now or when the rank ends."""

from __future__ import annotations

import glob
import os
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from hpctrack.client.saved_files import CODE_MAX_FILES, iter_code_files
from hpctrack.core.names import METRIC_MAX_BYTES, clean
from hpctrack.errors import StoreError
from hpctrack.store.schema import Place

FILE_MAX_BYTES = 256 * 1024 * 1024
"""A longer file is an artifact's business: it is held in memory on its way."""

REQUEST_MAX_FILES = 1000
CODE_MAX_BYTES = 50_000_000

GIT_TIMEOUT_S = 10.0

_TEXT_SUFFIXES = frozenset(
    {".cfg", ".csv", ".err", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".out"}
    | {".py", ".rst", ".sh", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)
"""Stored where it will be compressed; what is not text mostly is compressed already."""

Saved = tuple[dict[str, Any], Place, bytes]
Work = Callable[[], Iterable[Saved]]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    name: str
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class SavedFiles:
    """What the ranks of one run asked this node's agent to keep.

    Attributes
    ----------
    problems : list of str
        What could not be kept, for the run's warnings; the caller empties it.
    """

    problems: list[str] = field(default_factory=list)
    _later: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    _read: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, request: Mapping[str, Any], owner: int) -> list[tuple[Work, int]]:
        """Take a request, as `client.saved_files` makes them.

        Parameters
        ----------
        request : mapping
            ``path`` (a pattern), ``base``, ``policy`` and ``type``.
        owner : int
            Number of the session that asks.

        Returns
        -------
        list of (callable, int)
            Work for another thread and the bytes that it will hold; each returns descriptions of
            media, where their bytes belong, and the bytes.
        """
        if request.get("type") == "code":
            return [(partial(read_code, dict(request)), CODE_MAX_BYTES)]
        policy = str(request.get("policy", "now"))
        if policy != "now":
            self._later.setdefault(owner, []).append(dict(request))
        return [] if policy == "end" else self._plan(request, is_last=policy == "now")

    def take_leave(self, owner: int) -> list[tuple[Work, int]]:
        """Return the work that is due when a rank ends; of ``live`` files what has changed."""
        due = self._later.pop(owner, [])
        return [work for request in due for work in self._plan(request, is_last=True)]

    def _plan(self, request: Mapping[str, Any], *, is_last: bool) -> list[tuple[Work, int]]:
        pattern = str(request.get("path", ""))
        works: list[tuple[Work, int]] = []
        found = list(
            islice(_iter_files(pattern, str(request.get("base", ""))), REQUEST_MAX_FILES + 1)
        )
        found.sort(key=lambda file: file.name)
        if not found and is_last:
            self.problems.append(f"no file matches {pattern}")
        if len(found) > REQUEST_MAX_FILES:
            self.problems.append(f"{pattern}: only the first {REQUEST_MAX_FILES} files are kept")
        for file in found[:REQUEST_MAX_FILES]:
            version = (file.size_bytes, file.mtime_ns)
            if self._read.get(str(file.path)) == version:
                continue
            if file.size_bytes > FILE_MAX_BYTES:
                self.problems.append(
                    f"{file.path} has {file.size_bytes:,} bytes, {FILE_MAX_BYTES:,} can be kept"
                )
                continue
            self._read[str(file.path)] = version
            works.append((partial(_read_one, file, str(request.get("policy"))), file.size_bytes))
        return works


def read_code(request: Mapping[str, Any]) -> list[Saved]:
    """Read the program's code: what Git would track, or what lies in folders that are not hidden.

    Parameters
    ----------
    request : mapping
        ``path`` (the root), ``name`` (a folder for the names) and perhaps ``files``, relative to
        the root.

    Raises
    ------
    StoreError
        There is nothing to keep.
    """
    root = Path(str(request.get("path", "")))
    tracked = _ask_git(root)
    asked = request.get("files")
    names = [str(one) for one in asked] if isinstance(asked, list) else None
    if names is None:
        names = [one for one in tracked or iter_code_files(str(root)) if one.endswith(".py")]
    elif tracked is not None:
        known = set(tracked)
        names = [one for one in names if one in known]
    found: list[Saved] = []
    left_bytes = CODE_MAX_BYTES
    for name in names[:CODE_MAX_FILES]:
        file = _look_at(root / name, root)
        if file is None or file.size_bytes > left_bytes:
            continue
        left_bytes -= file.size_bytes
        shown = PurePath(str(request.get("name") or ""), file.name)
        (saved,) = _read_one(file, "now", kind="code", name=_safe_name(shown))
        found.append(saved)
    if not found:
        raise StoreError(f"no code was found in {root}", hint="log_code(root=...) says where it is")
    return found


def _ask_git(root: Path) -> list[str] | None:
    """Return what Git knows or would add below a folder, or None if it cannot say."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    names = dict.fromkeys(os.fsdecode(done.stdout).split("\0"))
    return [one for one in names if one and not any(p.startswith(".") for p in one.split("/")[:-1])]


def _iter_files(pattern: str, base: str) -> Iterator[_File]:
    """Yield the regular files that match; a folder stands for all files below it."""
    root = Path(base)
    for found in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - the pattern is absolute text
        path = Path(found)
        inner = sorted(path.rglob("*")) if path.is_dir() and not glob.has_magic(pattern) else [path]
        for one in inner:
            file = _look_at(one, root)
            if file is not None:
                yield file


def _look_at(path: Path, root: Path) -> _File | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    try:
        name = _safe_name(path.relative_to(root))
    except ValueError:
        name = _safe_name(PurePath(path.name))
    return _File(path, name, facts.st_size, facts.st_mtime_ns)


def _safe_name(path: PurePath) -> str:
    """Return a name that stays inside whatever folder it is unpacked into."""
    parts = [clean(one) for one in path.parts if one not in {"", ".", "..", "/"}]
    text = "/".join(parts).encode("utf-8", "replace")[-METRIC_MAX_BYTES:].decode("utf-8", "ignore")
    return text.lstrip("/") or "file"


def _read_one(file: _File, policy: str, *, kind: str = "file", name: str = "") -> list[Saved]:
    with file.path.open("rb") as source:
        body = source.read(FILE_MAX_BYTES + 1)
    if len(body) > FILE_MAX_BYTES:
        raise StoreError(f"{file.path} has grown beyond {FILE_MAX_BYTES:,} bytes: not kept")
    suffix = file.path.suffix.lower()
    described = {
        "key": name or file.name,
        "step": -1,
        "type": kind,
        "format": suffix.lstrip("."),
        "meta": {"path": str(file.path), "policy": policy, "mtime_s": file.mtime_ns / 1e9},
    }
    place = Place.TEXT if kind == "code" or suffix in _TEXT_SUFFIXES else Place.BLOBS
    return [(described, place, body)]
