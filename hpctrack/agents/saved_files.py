"""Reading the files that ranks asked to keep, now or when the rank ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from hpctrack.client.file_search import (
    REQUEST_MAX_FILES,
    FoundFile,
    find_files,
    look_at,
    safe_name,
)
from hpctrack.client.saved_files import CODE_MAX_FILES, iter_code_files
from hpctrack.errors import ProtocolError, StoreError
from hpctrack.store.schema import Place

FILE_MAX_BYTES = 256 * 1024 * 1024
"""A longer file is an artifact's business: it is held in memory on its way."""

CODE_MAX_BYTES = 50_000_000

GIT_TIMEOUT_S = 10.0

_TEXT_SUFFIXES = frozenset(
    {".cfg", ".csv", ".err", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".out"}
    | {".py", ".rst", ".sh", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml"}
)
"""Stored where it will be compressed; what is not text mostly is compressed already."""

Saved = tuple[dict[str, Any], Place, bytes]
Work = Callable[[], Iterable[Saved]]


@dataclass(slots=True)
class SavedFiles:
    """What the ranks of one run asked this node's agent to keep.

    Attributes
    ----------
    problems : list of str
        What could not be kept, for the run's warnings; the caller empties it.
    unmatched : int
        Requests until here that no file has matched, for the ledger.
    """

    problems: list[str] = field(default_factory=list)
    unmatched: int = 0
    _later: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    _read: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self, request: Mapping[str, Any], owner: int) -> list[tuple[Work, int]]:
        """Take a request, as `client.saved_files` makes them.

        Parameters
        ----------
        request : mapping
            ``path`` (a pattern), ``base``, ``policy`` and ``type``; ``matched``, how many files
            the rank found, and ``read``, the paths of those that it has sent itself.
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
        if policy == "end":
            return []
        read = request.get("read")
        skip = {str(one) for one in read} if isinstance(read, list) else set()
        return self._plan(request, is_last=policy == "now", skip=skip)

    def take_content(self, told: Mapping[str, Any], body: bytes) -> Work | None:
        """Take a small file that a rank has read itself; None if another rank sent it before.

        Parameters
        ----------
        told : mapping
            As `client.saved_files.read_now` made it.
        body : bytes
            What was in it.

        Raises
        ------
        ProtocolError
            It does not describe a file.
        """
        key, meta, form = told.get("key"), told.get("meta"), told.get("format")
        size_bytes, mtime_ns = told.get("size_bytes"), told.get("mtime_ns")
        if not isinstance(key, str) or not isinstance(form, str) or not isinstance(meta, dict):
            raise ProtocolError("a saved file is not described as one")
        if not isinstance(size_bytes, int) or not isinstance(mtime_ns, int):
            raise ProtocolError("a saved file has no size or time")
        path, version = str(meta.get("path", "")), (size_bytes, mtime_ns)
        if self._read.get(path) == version:
            return None
        self._read[path] = version
        name = safe_name(PurePath(key))
        described = {"key": name, "step": -1, "type": "file", "format": form[:40], "meta": meta}
        place = Place.TEXT if f".{form}" in _TEXT_SUFFIXES else Place.BLOBS
        return lambda: [(described, place, body)]

    def take_leave(self, owner: int) -> list[tuple[Work, int]]:
        """Return the work that is due when a rank ends; of ``live`` files what has changed."""
        due = self._later.pop(owner, [])
        return [work for request in due for work in self._plan(request, is_last=True)]

    def _plan(
        self, request: Mapping[str, Any], *, is_last: bool, skip: Collection[str] = ()
    ) -> list[tuple[Work, int]]:
        pattern = str(request.get("path", ""))
        works: list[tuple[Work, int]] = []
        found, is_cut = find_files(pattern, str(request.get("base", "")))
        if not found and is_last and not request.get("matched"):
            self.problems.append(f"no file matches {pattern}")
            self.unmatched += 1
        if is_cut:
            self.problems.append(f"{pattern}: only the first {REQUEST_MAX_FILES} files are kept")
        for file in found:
            version = (file.size_bytes, file.mtime_ns)
            if str(file.path) in skip or self._read.get(str(file.path)) == version:
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
        file = look_at(root / name, root)
        if file is None or file.size_bytes > left_bytes:
            continue
        left_bytes -= file.size_bytes
        shown = PurePath(str(request.get("name") or ""), file.name)
        (saved,) = _read_one(file, "now", kind="code", name=safe_name(shown))
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


def _read_one(file: FoundFile, policy: str, *, kind: str = "file", name: str = "") -> list[Saved]:
    with file.path.open("rb") as source:
        body = source.read(FILE_MAX_BYTES + 1)
    if len(body) > FILE_MAX_BYTES:
        raise StoreError(f"{file.path} has grown beyond {FILE_MAX_BYTES:,} bytes: not kept")
    is_text = kind == "code" or file.suffix in _TEXT_SUFFIXES
    described = file.describe(policy, kind=kind, name=name)
    return [(described, Place.TEXT if is_text else Place.BLOBS, body)]
