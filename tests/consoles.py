"""Programs whose console is captured, with the agent's end of it in the test's own process."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.agents.console import ConsoleDrain
from hpctrack.core.wire import read_gap
from tests.programs import ROOT

PROLOGUE = """
import ctypes, os, signal, socket, subprocess, sys, time
from hpctrack.client.console import Console

link = socket.socket(fileno={link})
parts = []
console = Console(lambda stream, data: parts.append((stream, data)), {options})
assert console.start(), console.problem
if {lends}:
    socket.send_fds(link, [b"x"], console.fds)
    assert link.recv(1) == b"x"

def done():
    assert console.stop(60), console.problem
    with open({told!r}, "w") as file:
        file.write(repr(parts))
"""


@dataclass
class CapturedProgram:
    """A program in mid-run, and what the agent has of it."""

    process: subprocess.Popen[bytes]
    drain: ConsoleDrain | None
    told_path: Path
    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    def look(self) -> None:
        if self.drain:
            self.pieces += self.drain.look()

    def end(self, timeout_s: float = 120) -> int:
        """Wait for the program's end as an agent would; return its exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None:
            self.look()
            assert time.monotonic() < deadline, "the program does not end"
            time.sleep(0.02)
        if self.drain:
            self.pieces += self.drain.finish()
        return self.process.returncode

    def drain_all(self, timeout_s: float = 120) -> None:
        """Look until nobody can write any more."""
        deadline = time.monotonic() + timeout_s
        assert self.drain
        while not self.drain.is_done:
            self.look()
            assert time.monotonic() < deadline, "the console never ends"
            time.sleep(0.01)

    def told(self) -> list[tuple[int, bytes]]:
        """Return what the program's own thread recorded; it must have called done()."""
        found = eval(self.told_path.read_text())  # noqa: S307 - our own program's repr
        assert isinstance(found, list)
        return found


@contextlib.contextmanager
def captured(
    code: str,
    folder: Path,
    *,
    stdout: int,
    stderr: int,
    stdin: int = subprocess.DEVNULL,
    options: str = "",
    lends: bool = True,
) -> Iterator[CapturedProgram]:
    """Run a program with a captured console whose originals are two descriptors."""
    ours, theirs = socket.socketpair()
    told = folder / "told"
    prologue = PROLOGUE.format(
        link=theirs.fileno(), options=options, lends=lends, told=os.fspath(told)
    )
    process = subprocess.Popen(
        [sys.executable, "-c", prologue + textwrap.dedent(code)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=[theirs.fileno()],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
    )
    theirs.close()
    ours.settimeout(180)
    drain = None
    try:
        if lends:
            _data, fds, _flags, _address = socket.recv_fds(ours, 1, 8)
            assert fds, "the program did not start"
            drain = ConsoleDrain.from_fds(fds)
            ours.sendall(b"x")
        yield CapturedProgram(process, drain, told)
    finally:
        process.kill()
        process.wait()
        if drain:
            drain.close()
        ours.close()


@contextlib.contextmanager
def captured_to_files(
    code: str,
    folder: Path,
    *,
    stdin: int = subprocess.DEVNULL,
    options: str = "",
    lends: bool = True,
) -> Iterator[tuple[CapturedProgram, Path, Path]]:
    """Run a program with a captured console whose originals are two files."""
    out, err = folder / "out", folder / "err"
    with (
        out.open("wb") as stdout,
        err.open("wb") as stderr,
        captured(
            code,
            folder,
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
            stdin=stdin,
            options=options,
            lends=lends,
        ) as found,
    ):
        yield found, out, err


def joined(pieces: list[tuple[int, bytes]], stream: int) -> bytes:
    """Return what was recorded of one stream, without gaps."""
    return b"".join(data for one, data in pieces if one == stream and not read_gap(data))


def read_terminal(master: int, *, timeout_s: float = 120, until: bytes = b"") -> bytes:
    """Read what a terminal shows until a text is there, or nobody writes to it any more.

    With no time at all, read what is there.
    """
    found = b""
    os.set_blocking(master, False)
    deadline = time.monotonic() + timeout_s
    while not (until and until in found):
        try:
            found += os.read(master, 65536)
        except BlockingIOError:
            if not timeout_s:
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.005)
        except OSError:
            break
    return found


def describe_difference(found: bytes, expected: bytes) -> str:
    """Say which parts of what was expected follow each other in what was found; "" if all do."""
    if found == expected:
        return ""
    parts, position = [], 0
    while position < len(found):
        start = expected.find(found[position : position + 40])
        there = expected[start:] if start >= 0 else b""
        same = len(os.path.commonprefix([found[position:], there])) or 1  # noqa: RUF071 - bytes
        parts.append(f"{start}+{same}")
        position += same
    return f"{len(found)} bytes of {len(expected)}: {', '.join(parts[:20])}"
