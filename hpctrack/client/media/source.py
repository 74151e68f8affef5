"""Files that are logged: small ones are read at once, the agent reads large ones."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

from hpctrack.client.media.formats import HEAD_BYTES, recognise
from hpctrack.client.media.value import Piece, check_size, make_meta
from hpctrack.errors import UsageError, is_of_a_signal

IN_RANK_MAX_BYTES = 16 * 1024 * 1024
"""Up to here a file is read at once: from the page cache that is a copy of a few milliseconds, and
a temporary file may be removed on the next line. A larger one is named to the agent, which reads
it a moment later."""

FILE_MAX_BYTES = 1024**3
"""Larger files are artifacts, not something to look at."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file.

    Parameters
    ----------
    name : str
        For messages.
    extension : str
        Without the dot, in lower case; two parts for ``.pts.json``.
    head : bytes
        The first bytes.
    data : bytes
        All bytes; empty if the agent is to read them.
    source : dict or None
        ``path`` and ``size`` for the agent.
    """

    name: str
    extension: str
    head: bytes
    data: bytes = b""
    source: dict[str, Any] | None = None

    def make_piece(
        self, kind: str, allowed: frozenset[str], *, file_type: str | None = None, **meta: Any
    ) -> Piece:
        """Make a piece that is the file as it is; its format is recognised.

        Raises
        ------
        UsageError
            The format is not allowed.
        """
        form = recognise(self.head, file_type or self.extension, allowed, self.name)
        kept, warnings = make_meta(**meta)
        facts = {"type": kind, "encode": "copy", "format": form, "meta": kept}
        if self.source:
            return Piece({**facts, "source": self.source}, (), warnings)
        return Piece(facts, (self.data,), warnings)


def is_path(value: object) -> bool:
    """Tell whether a value names a file."""
    return isinstance(value, (str, os.PathLike))


def read_file(path: object) -> Content:
    """Read a file, or make a note of it for the agent if it is large.

    Parameters
    ----------
    path : str or path-like
        The file.

    Raises
    ------
    UsageError
        There is no such file, or it is empty, too large or none.
    """
    name = os.fsdecode(os.path.abspath(path))  # type: ignore[call-overload]  # noqa: PTH100 - the string
    try:
        # A pipe or device must not make the training wait.
        handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        if is_of_a_signal(error):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"the file {name!r} cannot be opened: {reason}",
            hint="give an existing file; text goes into Text, Html or Markdown",
        ) from None
    try:
        return _read(handle, name)
    except OSError as error:
        if is_of_a_signal(error):
            raise
        raise UsageError(f"the file {name!r} cannot be read: {error.strerror or error}") from None
    finally:
        os.close(handle)


def _read(handle: int, name: str) -> Content:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{name!r} is not a regular file")
    size = found.st_size
    if size == 0:
        raise UsageError(f"the file {name!r} is empty", hint="close it before it is logged")
    if size > FILE_MAX_BYTES:
        raise UsageError(
            f"the file {name!r} has {size / 2**30:.1f} GiB, at most 1 can be logged",
            hint="log it as an artifact",
        )
    extension = extension_of(name)
    if size > IN_RANK_MAX_BYTES:
        source = {"path": name, "size": size}
        return Content(name, extension, os.pread(handle, HEAD_BYTES, 0), source=source)
    pieces, left = [], size
    while left > 0:
        piece = os.read(handle, left)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    data = b"".join(pieces)
    return Content(name, extension, data[:HEAD_BYTES], data)


def extension_of(name: str) -> str:
    """Return a file name's extension without the dot; ``pts.json`` counts as one."""
    lower = name.lower()
    return "pts.json" if lower.endswith(".pts.json") else os.path.splitext(lower)[1][1:]  # noqa: PTH122 - a string


def take_bytes(data: object, extension: str, what: str) -> Content:
    """Take bytes, text or an open file in place of a path.

    Raises
    ------
    UsageError
        It is too large, empty, or none of these.
    """
    read = getattr(data, "read", None)
    if callable(read):
        name = getattr(data, "name", "")
        extension = extension or (extension_of(name) if isinstance(name, str) else "")
        data = read()
    if isinstance(data, str):
        data = data.encode()
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise UsageError(
            f"{what} cannot be made of a value of type {type(data).__name__}",
            hint="give a path, bytes, text or an open file",
        )
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    check_size(size, what, "write it to a file and log the path")
    if not size:
        raise UsageError(f"{what} is empty")
    kept = bytes(data)
    return Content(what, extension, kept[:HEAD_BYTES], kept)
