"""Several processes behind one address: they share the listening sockets and nothing else.

Each has its own event loop, watcher and caches; the kernel hands a connection to one that is free.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

RESTARTS_MAX = 10
"""A dashboard that falls over and over again has a fault that starting it does not mend."""

RESTART_REST_S = 0.5


@dataclass(slots=True)
class Crew:
    """Forks processes that all do the same, starts those again that fall, and ends them together.

    Parameters
    ----------
    work : callable
        What a process does until it is told to end by a signal, or the descriptor that it is given
        can be read: then this process is gone, however it was ended. Returns its exit status.
    size : int
        How many.
    """

    work: Callable[[int], int]
    size: int
    _members: set[int] = field(default_factory=set)
    _is_ending: bool = False
    _life: tuple[int, int] = field(default_factory=os.pipe)

    def run(self) -> int:
        """Work until told to end by a signal; return an exit status: 0, or 1 if they kept falling.

        Notes
        -----
        To be called before any thread or event loop is there: both do not survive a fork.
        """
        before = {one: signal.signal(one, self._end) for one in ENDING}
        try:
            for _ in range(self.size):
                self._start()
            return self._watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for one in self._life:
                os.close(one)

    def _start(self) -> None:
        # A signal that came between fork and the child's own handlers must not be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            member = os.fork()
            if member == 0:
                self._be_member()
            self._members.add(member)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def _be_member(self) -> None:
        status = 1
        try:
            for number in ENDING:
                signal.signal(number, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            os.close(self._life[1])
            status = self.work(self._life[0])
        except KeyboardInterrupt:
            status = 0
        finally:
            os._exit(status)

    def _watch(self) -> int:
        restarts = 0
        while self._members:
            member, status = os.wait()
            self._members.discard(member)
            if self._is_ending or status == 0:
                continue
            restarts += 1
            if restarts > RESTARTS_MAX:
                self._end(signal.SIGTERM, None)
                continue
            time.sleep(RESTART_REST_S)
            if not self._is_ending:
                self._start()
        return 1 if restarts > RESTARTS_MAX else 0

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._is_ending = True
        for member in self._members:
            try:
                os.kill(member, signal.SIGTERM)
            except ProcessLookupError:
                continue
