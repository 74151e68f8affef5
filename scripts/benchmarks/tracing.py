"""Counting the files that a process opens, with strace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CALLS = "open,openat,openat2,creat,clone,clone3,fork,vfork"
OPENING = re.compile(r"^(?:open|openat|openat2|creat)\(")
CLONING = re.compile(r"^(?:clone|clone3)\(")
RESULT = re.compile(r"= (\d+)(?: |$)")


def strace_command(trace: Path, command: list[str]) -> list[str]:
    """Return the command line that traces a program with its threads and children."""
    return ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace), *command]


def count_opened(trace: Path, mark: str) -> int:
    """Count what a process and its threads opened with success before they looked for a name.

    Parameters
    ----------
    trace : Path
        What strace has written; its first line is the process's.
    mark : str
        The name.
    """
    calls = list(_iter_calls(trace))
    ours = {calls[0][0]}
    for task, text in calls:
        result = RESULT.search(text)
        if task in ours and result and CLONING.match(text) and "CLONE_THREAD" in text:
            ours.add(result[1])
    opened = 0
    for task, text in calls:
        if task not in ours:
            continue
        if mark in text:
            return opened
        opened += bool(OPENING.match(text) and RESULT.search(text))
    raise ValueError(f"{mark!r} is not in the trace")


def _iter_calls(trace: Path) -> Iterator[tuple[str, str]]:
    """Yield task and call, the halves of interrupted ones joined where the second stands."""
    halves: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        task, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            halves[task] = text
        elif text.startswith("<... "):
            yield task, halves.pop(task, "") + text
        else:
            yield task, text
