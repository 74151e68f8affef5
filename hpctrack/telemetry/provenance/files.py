"""Reading small files that may not be there, not be ours, or not be small."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

FILE_MAX_BYTES = 1024 * 1024


def read_bytes(path: Path, max_bytes: int = FILE_MAX_BYTES) -> bytes | None:
    """Return at most so many bytes of a file; None if it cannot be read.

    A pipe or a device in its place is not waited for.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    parts: list[bytes] = []
    left = max_bytes
    try:
        while left > 0:
            part = os.read(handle, left)
            if not part:
                break
            parts.append(part)
            left -= len(part)
    except OSError:
        return None
    finally:
        os.close(handle)
    return b"".join(parts)


def read_text(path: Path, max_bytes: int = FILE_MAX_BYTES) -> str | None:
    """Return a file's text, what is no UTF-8 kept as it is; None if it cannot be read."""
    found = read_bytes(path, max_bytes)
    return None if found is None else decode(found)


def decode(data: bytes) -> str:
    """Return bytes as text; `encode` gives back the same bytes."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes that a text was made of."""
    return text.encode("utf-8", "surrogateescape")


def list_names(folder: Path) -> list[str]:
    """Return what is in a folder, sorted; nothing if it cannot be read."""
    try:
        return sorted(one.name for one in folder.iterdir())
    except OSError:
        return []


def below(root: Path, path: str | Path) -> Path:
    """Return where an absolute path is below a root."""
    return root / str(path).lstrip("/")


def first_text(paths: Iterable[Path], max_bytes: int = FILE_MAX_BYTES) -> str:
    """Return the text of the first file that can be read; empty if none can."""
    for path in paths:
        found = read_text(path, max_bytes)
        if found is not None:
            return found
    return ""
