"""Stand between sshd and ``hpctrack receive``, and note what goes by and when.

Told the file to write and then the program's words. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

PIECE_BYTES = 1 << 16
TO, FROM = "to", "from"
"""Directions, as the receiver sees them."""


def main(file: Path, command: list[str]) -> int:
    """Relay until the program has ended, and return its exit status."""
    (its_in, there), (back, its_out) = os.pipe(), os.pipe()
    child = subprocess.Popen(command, stdin=its_in, stdout=its_out)
    os.close(its_in)
    os.close(its_out)
    seen: list[tuple[float, str, int]] = []

    def carry(source: int, target: int, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(source, PIECE_BYTES):
                seen.append((time.monotonic(), way, len(data)))
                while data:
                    data = data[os.write(target, data) :]
        with contextlib.suppress(OSError):
            os.close(target)

    # Each way has a thread: neither may wait for the other.
    threading.Thread(target=carry, args=(0, there, TO), daemon=True).start()
    carry(back, 1, FROM)
    code = child.wait()
    file.write_text(json.dumps(seen))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
