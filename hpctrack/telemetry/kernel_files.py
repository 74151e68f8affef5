"""Reading the kernel's small files, below a root that tests can replace."""

from __future__ import annotations

import os
from pathlib import Path

CHUNK_BYTES = 64 * 1024

NUMBER_CHARS = 32
"""A blank and more digits than a number of the kernel has."""

NONE_AT_ALL = 2**60
"""Limits from here on mean that there is none: cgroup v1 says 9223372036854771712 for that."""


class KernelFiles:
    """The files of /proc and /sys, named without a slash at the front.

    Parameters
    ----------
    root : Path
        What stands for ``/``.

    Notes
    -----
    Files are read as one would read any; nothing is kept open here. `read`, `open` and `entries`
    tell why they could not, `peek` and the like answer that there is nothing.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._prefix = f"{str(root).rstrip('/')}/"

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return Path(self._prefix + name)

    def open(self, name: str) -> int:
        """Return a descriptor to read a file by; the caller closes it.

        Raises
        ------
        OSError
            It is not there, or not for us; a process has ended.
        """
        return os.open(self._prefix + name, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, name: str) -> str:
        """Return what a file says.

        Raises
        ------
        OSError
            It is not there, or not for us; a process has ended.
        """
        handle = self.open(name)
        try:
            data = os.read(handle, CHUNK_BYTES)
            piece = data
            while piece:
                piece = os.read(handle, CHUNK_BYTES)
                data += piece
        finally:
            os.close(handle)
        return data.decode("utf-8", "replace")

    def read_small(self, name: str) -> str:
        """Return what a file says that the kernel tells in one piece, as it does of a process.

        Raises
        ------
        OSError
            It is not there, or not for us; a process has ended.
        """
        handle = self.open(name)
        try:
            return os.read(handle, CHUNK_BYTES).decode("utf-8", "replace")
        finally:
            os.close(handle)

    def peek(self, name: str) -> str | None:
        """Return what a file says, or None if it cannot be read."""
        try:
            return self.read(name)
        except OSError:
            return None

    def peek_small(self, name: str) -> str | None:
        """Return what `read_small` does, or None if it cannot be read."""
        try:
            return self.read_small(name)
        except OSError:
            return None

    def number(self, name: str) -> int | None:
        """Return the whole number that a file begins with, or None."""
        return first_number(self.peek(name))

    def entries(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted.

        Raises
        ------
        OSError
            It is not there, or not for us.
        """
        return sorted(os.listdir(self._prefix + folder))  # noqa: PTH208 - asked often

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; none if it cannot be read."""
        try:
            return self.entries(folder)
        except OSError:
            return []

    def numbers(self, folder: str) -> set[int]:
        """Return the names that are numbers: processes, threads; none if it cannot be read.

        For folders with thousands of names, which need not be sorted.
        """
        try:
            names = os.listdir(self._prefix + folder)  # noqa: PTH208 - asked often
        except OSError:
            return set()
        return {int(name) for name in names if name.isdecimal()}

    def has(self, name: str) -> bool:
        """Tell whether a file or folder is there."""
        return os.path.exists(self._prefix + name)  # noqa: PTH110 - asked often

    def why(self, name: str) -> str:
        """Return in a few words why a file or folder cannot be read; empty if it can.

        A file that is there and cannot be read says why; one that is not there says so.
        """
        try:
            if self.path(name).is_dir():
                self.entries(name)
            else:
                self.read(name)
        except FileNotFoundError:
            return "not there"
        except PermissionError:
            return "permission denied"
        except OSError as error:
            return (error.strerror or str(error)).lower()
        return ""


def first_number(text: str | None) -> int | None:
    """Return the whole number at the beginning of a text, or None if there is none."""
    words = (text or "").split(maxsplit=1)
    try:
        return int(words[0]) if words else None
    except ValueError:
        return None


def parse_pairs(text: str) -> dict[str, int]:
    """Return lines of a name and a whole number: ``memory.events``, ``cpu.stat``, ``meminfo``.

    Numbers in kB are given in bytes. Lines of another form are passed over.
    """
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2:  # noqa: PLR2004 - a name and a number
            continue
        try:
            number = int(words[1])
        except ValueError:
            continue
        factor = 1024 if words[-1] == "kB" else 1
        found[words[0].rstrip(":")] = number * factor
    return found


def find_number(text: str, name: str) -> int | None:
    """Return the number in the one line of `parse_pairs` that begins with a name, or None.

    For one of hundreds of lines. Not for numbers in kB.
    """
    at = f"\n{text}".find(f"\n{name} ")
    return None if at < 0 else first_number(text[at + len(name) : at + len(name) + NUMBER_CHARS])


def parse_cpu_list(text: str) -> frozenset[int]:
    """Return the numbers of a list such as ``0-3,8,10-11``; of CPUs or of NUMA nodes."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdecimal() and (not dash or last.isdecimal()):
            found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def format_cpu_list(numbers: frozenset[int]) -> str:
    """Return the shortest list, ``0-3,8``, for a set of numbers."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)
