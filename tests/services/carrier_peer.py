"""The other side of a carrier, for tests: run with a word that says what it does.

Whatever follows (``receive --store PATH``) is written to the file that the word names after a
colon, if it does.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

SIZE_BYTES = 5_000_000
GREETING = b"hello, I am the peer\n"
STATUS = 7


def main() -> None:
    """Do what the first word says."""
    word, _colon, file = sys.argv[1].partition(":")
    if file:
        Path(file).write_text(f"{os.getpid()}\n{sys.argv[2:]}\n")
    sys.exit(globals()[f"do_{word}"]())


def do_echo() -> int:
    """Greet, and say everything again until there is no more."""
    os.write(1, GREETING)
    while data := os.read(0, 65536):
        _write(data)
    return STATUS


def do_shout() -> int:
    """Say 5 MB before listening to anything, then tell the hash of what was said here."""
    _write(bytes(range(250)) * (SIZE_BYTES // 250))
    heard = hashlib.sha256()
    left = SIZE_BYTES
    while left and (data := os.read(0, 65536)):
        heard.update(data)
        left -= len(data)
    _write(heard.hexdigest().encode())
    return 0


def do_complain() -> int:
    """Say much on the other stream, then greet."""
    for _number in range(5000):
        os.write(2, b"x" * 99 + b"\n")
    os.write(2, b"last words\n")
    return do_echo()


def do_die() -> int:
    """Greet and be killed."""
    os.write(1, GREETING)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def do_wait() -> int:
    """Greet and listen to nothing for long."""
    os.write(1, GREETING)
    time.sleep(120)
    return 0


def do_mark() -> int:
    """Greet, and leave a file when the input has ended."""
    os.write(1, GREETING)
    while os.read(0, 65536):
        pass
    Path(sys.argv[1].partition(":")[2] + ".ended").touch()
    return 0


def do_nothing() -> int:
    """End at once."""
    return 0


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
