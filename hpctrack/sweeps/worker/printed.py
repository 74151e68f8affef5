"""What a program prints: copied to its log, and searched for values of the sweep's metrics.

For programs that know nothing of hpctrack: Fortran, shell, a vendor's solver.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hpctrack.errors import StoreError
from hpctrack.sweeps.schema.sweep_file import MetricGoal

LINE_MAX_BYTES = 65_536
"""A longer line is cut: progress bars end theirs with carriage returns only."""

READ_BYTES = 65_536
READS_MAX = 4
"""At a turn: a program that prints faster than we copy must not keep us from all else."""

REST_READS_MAX = 1024
"""After its end: what it has left running may print for ever."""

TAIL_BYTES = 4096
TAIL_LINES = 20

_SEPARATORS = re.compile(rb"[\r\n]+")
_FORTRAN_EXPONENT = re.compile(r"(?<=[0-9.])[dD](?=[-+]?[0-9])")


class PrintedValues:
    """Finds values in a stream of text.

    Parameters
    ----------
    metrics : tuple of MetricGoal
        Those with a pattern are looked for.
    """

    def __init__(self, metrics: tuple[MetricGoal, ...]) -> None:
        self._patterns = [(one.name, re.compile(one.pattern)) for one in metrics if one.pattern]
        self._rest = b""
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether anything is looked for."""
        return bool(self._patterns)

    def feed(self, data: bytes) -> Iterator[tuple[str, int, float]]:
        """Yield metric, step and value of each find in the lines that ``data`` completes.

        Parameters
        ----------
        data : bytes
            The next part of the stream; empty at its end, which completes the last line.
        """
        lines = _SEPARATORS.split(self._rest + data)
        self._rest = lines.pop() if data else b""
        if len(self._rest) > LINE_MAX_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            yield from self._search(line[:LINE_MAX_BYTES].decode("utf-8", "replace"))

    def _search(self, line: str) -> Iterator[tuple[str, int, float]]:
        for name, pattern in self._patterns:
            for found in pattern.finditer(line):
                groups = found.groupdict()
                text = groups["value"] if "value" in groups else found[1]
                value = read_number(text or "")
                if value is None:
                    continue
                self._counts[name] = self._counts.get(name, -1) + 1
                step = read_number(groups.get("step") or "")
                is_told = step is not None and math.isfinite(step)
                yield name, int(step or 0) if is_told else self._counts[name], value


def read_number(text: str) -> float | None:
    """Return a number as programs print it, Fortran's ``1.5D-03`` too; None if it is none."""
    try:
        return float(_FORTRAN_EXPONENT.sub("e", text.strip()))
    except (ValueError, OverflowError):
        return None


class OutputPump:
    """Copies a program's output from a pipe to its log, and to `PrintedValues`.

    Also to our own stdout, so that the last lines are known if the program fails.

    Parameters
    ----------
    log : Path or None
        Where it is appended; None for our own stdout.
    values : PrintedValues
        What looks at it.
    """

    def __init__(self, log: Path | None, values: PrintedValues) -> None:
        self._values = values
        self._is_over = False
        self._last = b""
        if log is None:
            self._log_fd = os.dup(1)
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            self._log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.fd, write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        self.writer: IO[bytes] = os.fdopen(write_fd, "wb", buffering=0)

    def read(self, reads_max: int = READS_MAX) -> list[tuple[str, int, float]]:
        """Copy what is there; return what was found in it. Never waits."""
        found: list[tuple[str, int, float]] = []
        for _ in range(reads_max):
            if self._is_over:
                break
            try:
                data = os.read(self.fd, READ_BYTES)
            except BlockingIOError:
                break
            self._copy(data)
            self._last = (self._last + data)[-TAIL_BYTES:]
            found += self._values.feed(data)
            self._is_over = not data
        return found

    @property
    def tail(self) -> str:
        """The last lines of it."""
        return cut_tail(self._last)

    def finish(self) -> list[tuple[str, int, float]]:
        """Copy the rest once the program has ended.

        What it has left running may hold the pipe open, so the end of the stream is not waited for.
        """
        self.writer.close()
        found = self.read(REST_READS_MAX)
        if not self._is_over:
            found += self._values.feed(b"")
        os.close(self.fd)
        os.close(self._log_fd)
        return found

    def _copy(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._log_fd, view) :]
            except OSError:
                return  # a full disk takes the log, not the trial


def begin_log(log: Path) -> None:
    """Make a log that its program can be started with.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    except OSError as error:
        raise StoreError(f"cannot write {log}: {error.strerror}") from None


def read_tail(log: Path, since_bytes: int = 0) -> str:
    """Return the last lines of a log; empty if it cannot be read.

    Parameters
    ----------
    log : Path
        The file.
    since_bytes : int, optional
        What lies before belongs to somebody else.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - TAIL_BYTES, since_bytes, 0))
            data = file.read(TAIL_BYTES)
    except OSError:
        return ""
    return cut_tail(data)


def cut_tail(data: bytes) -> str:
    """Return the last lines of some output."""
    lines = data.decode("utf-8", "replace").rstrip().splitlines()
    return "\n".join(lines[-TAIL_LINES:])
