"""``MANIFEST.jsonl`` of a backup: what is in it, and whether it still is.

The first line says what made it; each other line is a file: its path in the backup, its size and
SHA-256, and the modification time and inode that the file in the store had, by which the next
backup knows that it has not changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hpctrack.core import __version__
from hpctrack.errors import NotFoundError, StoreFormatError

MANIFEST_NAME = "MANIFEST.jsonl"
KIND = "hpctrack-backup"
FORMAT = 1


class Entry(NamedTuple):
    """A file of a backup.

    Parameters
    ----------
    path : str
        In the backup.
    size_bytes : int
    sha256 : str
    mtime_ns, inode : int
        Of the file in the store that it is a copy of.
    """

    path: str
    size_bytes: int
    sha256: str
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Parameters
    ----------
    store : str
        Of what it is.
    began_wall_s : float
        When it was begun: nothing that was published before is missing.
    entries : mapping of str and Entry
    """

    store: str
    began_wall_s: float
    entries: Mapping[str, Entry]


def write_manifest(
    folder: Path, store: Path, began_wall_s: float, entries: Iterable[Entry]
) -> None:
    """Write it and bring it to the disk."""
    with (folder / MANIFEST_NAME).open("w", encoding="ascii") as file:
        head = {
            "kind": KIND,
            "format": FORMAT,
            "made_by": f"hpctrack {__version__}",
            "store": str(store),
            "began_wall_s": began_wall_s,
        }
        file.write(json.dumps(head) + "\n")
        for one in entries:
            told = {
                "path": one.path,
                "bytes": one.size_bytes,
                "sha256": one.sha256,
                "mtime_ns": one.mtime_ns,
                "inode": one.inode,
            }
            file.write(json.dumps(told) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read it.

    Raises
    ------
    NotFoundError
        There is none: it is no backup.
    StoreFormatError
        It is damaged.
    """
    path = folder / MANIFEST_NAME
    try:
        with path.open(encoding="ascii") as file:
            head = _check_head(json.loads(next(file, "null")))
            found = [_parse_entry(json.loads(line)) for line in file]
            return Manifest(
                str(head["store"]), float(head["began_wall_s"]), {one.path: one for one in found}
            )
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no backup in {folder}: it has no {MANIFEST_NAME}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StoreFormatError(f"{path} is damaged: {error}") from None


def _check_head(told: Mapping[str, Any]) -> Mapping[str, Any]:
    if told["kind"] != KIND or told["format"] > FORMAT:
        raise ValueError("it is of another kind, or of a newer hpctrack")
    return told


def _parse_entry(told: Mapping[str, Any]) -> Entry:
    path = str(told["path"])
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("a path leads out of the backup")
    numbers = (int(told["bytes"]), int(told["mtime_ns"]), int(told["inode"]))
    return Entry(path, numbers[0], str(told["sha256"]), numbers[1], numbers[2])


def check_backup(
    folder: Path, *, on_bytes: Callable[[int], None] = lambda _size_bytes: None
) -> Iterator[tuple[str, str]]:
    """Compare every file of a backup with its manifest; yield path and what is wrong.

    Parameters
    ----------
    folder : Path
        The backup.
    on_bytes : callable, optional
        For a progress bar: called with the size of each file that is done.

    Raises
    ------
    NotFoundError, StoreFormatError
        It has no manifest, or a damaged one.
    """
    manifest = read_manifest(folder)
    for entry in manifest.entries.values():
        what = _compare(folder / entry.path, entry)
        if what:
            yield entry.path, what
        on_bytes(entry.size_bytes)
    for at, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(at, name), folder)  # noqa: PTH118 - many
            if path not in manifest.entries and path != MANIFEST_NAME:
                yield path, "it is not in the manifest"


def _compare(path: Path, entry: Entry) -> str | None:
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes != entry.size_bytes:
                return f"it has {size_bytes} bytes, not {entry.size_bytes}"
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if found == entry.sha256 else f"its bytes have changed (SHA-256 {found[:12]}...)"
