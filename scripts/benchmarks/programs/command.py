"""Time a command of ours from its start to its end, as a shell would see it."""

from __future__ import annotations

import resource
import subprocess
import time
from typing import Any

from scripts.benchmarks.programs.entry import answer

START = "from hpctrack.cli.main import main; main()"


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Run it."""
    python, *arguments = told["arguments"]
    wall_s = time.perf_counter()
    done = subprocess.run(
        [python, "-c", START, *arguments, "--store", told["folder"]],
        check=True,
        stdout=subprocess.PIPE,
    )
    wall_s = time.perf_counter() - wall_s
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_ms = (used.ru_utime + used.ru_stime) * 1e3
    found: dict[str, Any] = {"first_ms": wall_s * 1e3, "again_ms": wall_s * 1e3, "cpu_ms": cpu_ms}
    return {**found, "output_bytes": len(done.stdout)}


if __name__ == "__main__":
    answer(main)
