"""A program that logs at a pace until it is killed, and says outside itself how far it came."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.programs.entry import answer
from scripts.benchmarks.programs.writers import open_writer

ENTRY = struct.Struct("<d")
"""When ``log`` returned, at the place of its step; 0 where it has not. The page cache keeps it."""


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Log for ever; the page is full after ``calls`` calls, which nobody waits for."""
    calls, hz = int(told["calls"]), float(told["hz"])
    path = Path(told["page"])
    path.write_bytes(bytes(ENTRY.size * calls))
    writer = open_writer(told["tool"], told["folder"])
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        due = time.perf_counter()
        for step in range(calls):
            writer.log({"loss": step * 1e-3}, step)
            ENTRY.pack_into(page, step * ENTRY.size, time.time())
            due += 1 / hz
            time.sleep(max(0.0, due - time.perf_counter()))
    return {}


if __name__ == "__main__":
    answer(main)
