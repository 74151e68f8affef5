"""Sending a signal to ranks that are prepared for it: the default of most ends a program."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_MASK = re.compile(r"^Sig(Blk|Ign|Cgt):\s*([0-9a-fA-F]+)\s*$", re.MULTILINE)

GONE = "gone"

HARMLESS = frozenset({signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH})
"""What these do by default ends no program."""


class Masks(NamedTuple):
    """What a thread does with signals, a bit for each: blocked, ignored, caught."""

    blocked: int = 0
    ignored: int = 0
    caught: int = 0


def parse_masks(status: str) -> Masks:
    """Read ``/proc/PID/status``."""
    found = {name: int(digits, 16) for name, digits in _MASK.findall(status)}
    return Masks(found.get("Blk", 0), found.get("Ign", 0), found.get("Cgt", 0))


def judge(threads: Iterable[Masks], number: int) -> str:
    """Return why a signal must not be sent to a process; empty if it may.

    Parameters
    ----------
    threads : iterable of Masks
        Of all threads of the process; handlers are common to them.
    number : int
        The signal's.

    Notes
    -----
    A program may also wait for a signal, on a thread or a file descriptor: then all its threads
    block it, and it has no handler.
    """
    bit = 1 << (number - 1)
    masks = list(threads)
    if not masks:
        return GONE
    if any(one.caught & bit for one in masks) or number in HARMLESS:
        return ""
    if any(one.ignored & bit for one in masks):
        return "it is ignored"
    return "" if all(one.blocked & bit for one in masks) else "no handler for it"


def read_threads(pid: int, root: Path = Path("/")) -> list[Masks]:
    """Return what the threads of a process do with signals; none of a process that is gone."""
    found = []
    try:
        tasks = list((root / "proc" / str(pid) / "task").iterdir())
    except OSError:
        return []
    for task in tasks:
        try:
            found.append(parse_masks((task / "status").read_text()))
        except OSError:
            continue  # a thread that has ended meanwhile
    return found


def send(pid: int, number: int, root: Path = Path("/")) -> str:
    """Send a signal if the process is prepared for it; return why not, or nothing.

    Never raises.
    """
    if pid <= 0:
        return "its process number is not known here"  # a container of its own
    obstacle = judge(read_threads(pid, root), number)
    if obstacle:
        return obstacle
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return GONE
    except OSError as error:
        return error.strerror or str(error)
    return ""


class SignalTask:
    """Sends one signal to the ranks of a node, each as soon as it is prepared.

    A rule may fire while a program is still starting: before a rank has come to the agent, or
    has set up its handler.

    Parameters
    ----------
    name : str
        ``USR1``.
    find_ranks : callable
        Returns the process number of each rank that is here now.
    expected : int
        How many ranks there will be.
    until_s : float
        When to give up those that are not prepared.
    root : Path
        What stands for ``/``.
    """

    def __init__(
        self,
        name: str,
        find_ranks: Callable[[], Mapping[int, int]],
        *,
        expected: int,
        until_s: float,
        root: Path = Path("/"),
    ) -> None:
        self._name = name
        self._number = int(getattr(signal, f"SIG{name}"))
        self._find_ranks = find_ranks
        self._expected = expected
        self._until_s = until_s
        self._root = root
        self._sent: set[int] = set()
        self._obstacles: dict[int, str] = {}
        self.is_done = False

    def try_again(self, now_s: float, *, is_last: bool = False) -> list[str]:
        """Send to those that are prepared now; return what is to be told.

        Parameters
        ----------
        now_s : float
        is_last : bool
            There will be no other try.
        """
        sent = []
        for rank, pid in self._find_ranks().items():
            if rank in self._sent:
                continue
            obstacle = send(pid, self._number, self._root)
            if not obstacle:
                sent.append(rank)
                self._obstacles.pop(rank, None)
            elif obstacle != GONE or rank not in self._obstacles:
                self._obstacles[rank] = obstacle
        self._sent.update(sent)
        told = [f"SIG{self._name} sent to {name_ranks(sent)}"] if sent else []
        if is_last or now_s >= self._until_s:
            told += self._give_up()
        self.is_done |= len(self._sent) >= self._expected and not self._obstacles
        return told

    def _give_up(self) -> list[str]:
        self.is_done = True
        groups: dict[str, list[int]] = {}
        for rank, obstacle in self._obstacles.items():
            groups.setdefault(obstacle, []).append(rank)
        if not (groups or self._sent):
            return [f"SIG{self._name} not sent: no rank of this node is there any more"]
        return [
            f"SIG{self._name} not sent to {name_ranks(ranks)}: {obstacle}"
            for obstacle, ranks in groups.items()
        ]


def name_ranks(ranks: Iterable[int]) -> str:
    """Return ``rank 3`` or ``ranks 0-3, 7``."""
    spans: list[tuple[int, int]] = []
    for rank in sorted(ranks):
        if spans and rank == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], rank)
        else:
            spans.append((rank, rank))
    words = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    is_one = len(spans) == 1 and spans[0][0] == spans[0][1]
    return f"rank{'' if is_one else 's'} {', '.join(words)}"
