"""Nodes that were written down in `tests/assets/nodes`, for readers that take another root."""

from __future__ import annotations

import re
from pathlib import Path

from hpctrack.core.clock import Clock
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Happening, Reading, Watch, WatchedRank

FOLDER = Path(__file__).parent / "assets" / "nodes"

FREE = Clock(wall_s=lambda: 0.0, mono_s=lambda: 0.0, cpu_s=lambda: 0.0)
"""A clock by which no reading costs anything: everybody has his turn."""

_HEAD = re.compile(r"==> (?P<path>\S+) <==")


class Node:
    """A node's /proc and /sys in a folder, as written down, to be changed by a test."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        self.files = KernelFiles(root)
        for name in names:
            self._unpack((FOLDER / f"{name}.txt").read_text())

    def write(self, name: str, text: str | float) -> None:
        """Let a file say something else."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n" if isinstance(text, int | float) else text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a part of what a file says."""
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def _unpack(self, text: str) -> None:
        path, lines = "", list[str]()
        for line in [*text.splitlines(), "==> end <=="]:
            head = _HEAD.fullmatch(line)
            if head is None:
                lines.append(line)
                continue
            if path:
                self.write(path, "".join(f"{one}\n" for one in lines))
            path, lines = head["path"], []


def watch(mono_s: float, *pids: int) -> Watch:
    """Return what a source is told: ranks from 0 on with these pids."""
    ranks = tuple(WatchedRank(pid, rank) for rank, pid in enumerate(pids))
    return Watch(1.76e9 + mono_s, mono_s, ranks)


def values(reading: Reading, *, pid: int = 0) -> dict[str, float]:
    """Return the samples of a process, or of the node, by ``name`` or ``name device``."""
    return {
        f"{one.name} {one.device}".strip(): one.value for one in reading.samples if one.pid == pid
    }


def codes(happenings: list[Happening]) -> list[str]:
    return [one.code for one in happenings]
