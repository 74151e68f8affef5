"""What /proc says of one process: parsers only."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from hpctrack.telemetry.kernel_files import parse_cpu_list

UNITS = {"kB": 1024}

IO_NAMES = ["rchar:", "wchar:", "syscr:", "syscw:", "read_bytes:", "write_bytes:"]


STAT_WORDS = 37
"""Behind the name, up to "processor", which Linux has had since 2.2."""

_pick_stat = itemgetter(1, 7, 8, 9, 10, 11, 12, 13, 14, 17, 19, 21, 36, 35)


class ProcessStat(NamedTuple):
    """``/proc/PID/stat``, as far as it is used; times in ticks, resident memory in pages.

    Names are the manual's, proc_pid_stat(5).
    """

    state: str
    ppid: int
    minflt: int
    cminflt: int
    majflt: int
    cmajflt: int
    utime: int
    stime: int
    cutime: int
    cstime: int
    threads: int
    starttime: int
    rss: int
    processor: int
    exit_signal: int

    @property
    def is_thread(self) -> bool:
        """Whether it is a thread that is not its process' first: these have numbers, too."""
        return self.exit_signal == -1


def parse_stat(text: str) -> ProcessStat:
    """Return what ``stat`` says.

    The name in it is whatever the program likes, with blanks and brackets: the last closing
    bracket ends it.

    Raises
    ------
    ValueError
        It is torn.
    """
    words = text[text.rindex(")") + 2 :].split(None, STAT_WORDS)
    if len(words) < STAT_WORDS:
        raise ValueError(text)
    return ProcessStat(words[0], *map(int, _pick_stat(words)))


class ProcessIo(NamedTuple):
    """``/proc/PID/io`` in bytes.

    Parameters
    ----------
    read, written : int
        Through system calls: files of any kind, sockets, pipes, whether cached or not.
    disk_read, disk_written : int
        What the block layer had to fetch and to store for it. File systems of the network that
        do not account for it leave these at zero.
    """

    read: int
    written: int
    disk_read: int
    disk_written: int


def parse_io(text: str) -> ProcessIo:
    """Return what ``io`` says.

    Raises
    ------
    ValueError
        It is torn.
    """
    words = text.split()
    if words[0:12:2] != IO_NAMES:
        raise ValueError(text)
    return ProcessIo(int(words[1]), int(words[3]), int(words[9]), int(words[11]))


class ProcessStatus(NamedTuple):
    """``/proc/PID/status``, as far as it is used. What a kernel does not tell is None.

    Parameters
    ----------
    cores, nodes : frozenset of int
        CPUs and NUMA nodes that it may use.
    namespace_pids : tuple of int
        Its number in each nested PID namespace, from that of /proc inwards.
    rss_peak_bytes, swap_bytes : int or None
    """

    cores: frozenset[int]
    nodes: frozenset[int]
    namespace_pids: tuple[int, ...]
    rss_peak_bytes: int | None
    swap_bytes: int | None


def parse_status(text: str) -> ProcessStatus:
    """Return what ``status`` says."""
    return ProcessStatus(
        cores=_parse_cpu_list(_find_field(text, "Cpus_allowed_list")),
        nodes=_parse_cpu_list(_find_field(text, "Mems_allowed_list")),
        namespace_pids=tuple(int(one) for one in _find_field(text, "NSpid").split()),
        rss_peak_bytes=_parse_bytes(_find_field(text, "VmHWM")),
        swap_bytes=_parse_bytes(_find_field(text, "VmSwap")),
    )


_parse_cpu_list = lru_cache(64)(parse_cpu_list)
"""Ranks share a few lists, some of them of hundreds of cores."""


def _find_field(text: str, name: str) -> str:
    """Return what stands behind a name at the beginning of a line, but the first; else nothing.

    The first line is the program's name for itself, which may be anything.
    """
    at = text.find(f"\n{name}:")
    if at < 0:
        return ""
    at += len(name) + 2
    end = text.find("\n", at)
    return text[at:end] if end >= 0 else text[at:]


def _parse_bytes(text: str) -> int | None:
    words = text.split()
    if not words or not words[0].isdecimal():
        return None
    return int(words[0]) * (UNITS[words[1]] if words[1:] else 1)


def parse_switches(text: str) -> tuple[int, int] | None:
    """Return a thread's voluntary and involuntary context switches, of its ``status``, or None.

    They are its last two lines.
    """
    numbers = []
    for name in ("\nvoluntary_ctxt_switches:", "\nnonvoluntary_ctxt_switches:"):
        at = text.rfind(name)
        words = text[at + len(name) :].split(maxsplit=1) if at >= 0 else ()
        if not words or not words[0].isdecimal():
            return None
        numbers.append(int(words[0]))
    return numbers[0], numbers[1]


def parse_pss(text: str) -> int | None:
    """Return the proportional set size of ``smaps_rollup`` in bytes, or None.

    Memory that several processes share counts for each with its part: the sum over all ranks is
    what they use together.
    """
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None


def parse_schedstat(text: str) -> tuple[float, float] | None:
    """Return the seconds that a thread ran, and that it was ready but waited for a core."""
    words = text.split()
    if len(words) < 2 or not (words[0].isdecimal() and words[1].isdecimal()):  # noqa: PLR2004
        return None
    return int(words[0]) / 1e9, int(words[1]) / 1e9


def parse_numa_maps(text: str) -> dict[int, int]:
    """Return the bytes that a process has on each NUMA node, of ``numa_maps``.

    Each line is of one mapping: ``N0=12 N1=3`` are pages, ``kernelpagesize_kB=4`` is their size.
    """
    found: dict[int, int] = {}
    for line in text.splitlines():
        if " N" not in line:
            continue
        pages: list[tuple[int, int]] = []
        page_kb = 4
        for word in line.split():
            name, equals, value = word.partition("=")
            if not (equals and value.isdecimal()):
                continue
            if name[0] == "N" and name[1:].isdecimal():
                pages.append((int(name[1:]), int(value)))
            elif name == "kernelpagesize_kB":
                page_kb = int(value)
        for node, count in pages:
            found[node] = found.get(node, 0) + count * page_kb * 1024
    return found
