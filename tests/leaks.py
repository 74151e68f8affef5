"""What a process has open, counted while others in it go on: dashboards of other tests look at
their stores all the time."""

from __future__ import annotations

import os
import time

LOOKS = 10


def count_files() -> int:
    """Return how many files are open, of some looks the fewest: what leaks is there at each."""
    counts = []
    for _look in range(LOOKS):
        counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        time.sleep(0.002)
    return min(counts)
