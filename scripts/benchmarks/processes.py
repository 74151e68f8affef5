"""What processes cost, read from /proc: standard library only, for the measured programs too."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

TOKEN_NAME = "BENCH_TOKEN"  # noqa: S105 - no secret: it marks the processes of one measurement
"""Variable of the environment that helpers inherit (an agent, wandb's service), detached or not."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def find_processes(token: str, *, but: tuple[int, ...] = ()) -> list[int]:
    """Return the live processes that carry a token, by number, less some."""
    mark = f"{TOKEN_NAME}={token}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in but:
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return sorted(found)


def find_agents(token: str) -> list[int]:
    """Return our agents among the processes with a token."""
    found = []
    for pid in find_processes(token):
        with contextlib.suppress(OSError):
            if b"hpctrack.agents" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def read_cpu_s(pid: int) -> float:
    """Return the CPU that a process has used, all its threads, seconds; 0 if it is gone.

    From the scheduler's nanoseconds where the kernel keeps them: a tick of ``stat`` is 10 ms.
    """
    total_ns = 0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total_ns += int((task / "schedstat").read_text().split()[0])
    except OSError:
        return _read_ticks_s(pid)
    return total_ns / 1e9


def _read_ticks_s(pid: int, *, is_with_waited: bool = False) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(one) for one in fields[11 : 15 if is_with_waited else 13]) * _TICK_S


def read_memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Return a process's resident memory (``VmHWM``: its peak), MB of 10^6 bytes; 0 if gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def read_command(pid: int) -> str:
    """Return a process's command line, its words parted by spaces; nothing if it is gone."""
    with contextlib.suppress(OSError):
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    return ""


def list_tree(pid: int) -> list[int]:
    """Return a process, its children, theirs, and so on; nothing if it is gone."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def read_tree_ticks_s(pid: int) -> float:
    """Return the CPU of a process, of its children and of those that have ended, seconds."""
    return sum(_read_ticks_s(one, is_with_waited=True) for one in list_tree(pid))


def is_there(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def end_processes(token: str, *, timeout_s: float = 10.0) -> None:
    """Kill whatever still carries a token, and wait until it is gone."""
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in find_processes(token, but=(os.getpid(),)) if is_there(pid)]:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {left} do not end")
        time.sleep(0.005)


def sum_cpu_s(pids: list[int]) -> float:
    """Return the CPU of several processes, seconds."""
    return sum(read_cpu_s(pid) for pid in pids)
