"""The rank's thread that passes console bytes on to where they were meant to go."""

from __future__ import annotations

import errno
import os
import select
import time
from _thread import allocate_lock, start_new_thread  # see hpctrack.client.channel

from hpctrack.client.console_mover import Mover
from hpctrack.client.console_page import Page
from hpctrack.client.console_route import Route
from hpctrack.client.descriptors import close_all, raise_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
else:
    import _signal as signal  # the same functions and numbers, without 3 ms of enumerations

BURST_BYTES = 1024 * 1024
"""What one stream may move before it is the other one's turn."""

BURST_INTERVAL_S = 0.001
"""A program that prints line by line wakes the thread this often, not once per line; nobody sees a
millisecond, but each wake-up costs the program its interpreter lock (measured: docs)."""

WINDOW_INTERVAL_S = 0.25
"""How often a terminal is asked for its size, while something is printed."""

ANSWER_LOOK_S = 0.05
"""How often somebody who waits for the thread looks whether it is still there."""

STAND_BACK_S = 0.005
CLAIM_MAX_S = 3.0
"""How long the agent's claim is respected: an agent that is stopped in mid-claim must not stop the
terminal. A healthy one keeps it while it moves bytes and the thread stands still."""

_GONE = frozenset({errno.EPIPE, errno.ENXIO, errno.ECONNRESET})
"""Whoever read the original has left; a terminal says EIO."""

_SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


class Flag:
    """What one thread waits for until another one has raised it: `threading.Event` for a few."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def raise_(self) -> None:
        """Let all go on who wait, now or later."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is up

    def lower(self) -> None:
        """Let those wait who come from now on."""
        self._lock.acquire(blocking=False)

    def is_up(self) -> bool:
        """Whether nobody would have to wait."""
        return not self._lock.locked()

    def wait(self, timeout_s: float) -> bool:
        """Wait, for so long at most; say whether it is up."""
        if self._lock.acquire(timeout=timeout_s):
            self.raise_()
            return True
        return False


class Pump:
    """Moves bytes along routes until nobody can write to them any more.

    A process that is killed, or dies in C code, has each byte either still in the pipe, where the
    agent finds it, or at the terminal, see `Mover`.

    Parameters
    ----------
    routes : list of Route
        Taken over.
    page : Page
        Shared with the agent.
    record : callable
        Called with stream and bytes when they have been passed on, in this thread; must not block.
    """

    def __init__(
        self, routes: list[Route], page: Page, record: Callable[[int, bytes], None]
    ) -> None:
        self._routes = routes
        self._page = page
        self._record = record
        self._mover = Mover(page)
        self._wake_fd = raise_fd(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
        self._is_asked = False
        self._answer = Flag()
        self._is_over = Flag()
        self._burst_s = self._window_s = 0.0
        self.problem = ""

    def start(self) -> None:
        """Start the thread.

        Raises
        ------
        RuntimeError
            The system allows no more threads.
        """
        start_new_thread(self._run, ())

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that had been written has been passed on; say whether it is."""
        if self._is_over.is_up():
            return not self._routes
        deadline = time.monotonic() + timeout_s
        self._answer.lower()
        self._is_asked = True
        os.eventfd_write(self._wake_fd, 1)
        while not self._answer.wait(min(ANSWER_LOOK_S, max(0.0, deadline - time.monotonic()))):
            if self._is_over.is_up():
                return True
            if time.monotonic() >= deadline:
                return False
        return True

    def end(self, timeout_s: float) -> bool:
        """Join the thread if nobody can write to it any more; else it stays for who can.

        Returns
        -------
        bool
            Whether the thread has ended and its files are closed.
        """
        if self._routes:
            return False
        if not self._is_over.wait(max(0.0, timeout_s)):
            return False
        os.close(self._wake_fd)
        return True

    def forget(self) -> None:
        """In a forked child, which has no such thread: close what it has inherited."""
        for route in self._routes:
            route.close()
        close_all((self._wake_fd,))

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        # The program's signals are for the program's threads: one that only we could take would
        # not wake a main thread that sleeps.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _SYNCHRONOUS)
        try:
            while self._routes:
                self._step()
        except Exception as error:  # noqa: BLE001 - the program's output matters more than our record
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            self._answer.raise_()
            self._is_over.raise_()

    def _step(self) -> None:
        events = self._wait(0 if self._is_asked else None)
        if self._wake_fd in events:
            os.eventfd_read(self._wake_fd)
        due = [one for one in self._routes if {one.read_fd, one.out_fd} & events]
        if not due:
            if self._is_asked and not any(one.has_input for one in self._routes):
                self._is_asked = False
                self._answer.raise_()
            elif self._is_asked:
                self._wait(None)
            return
        self._calm_down()
        for route in due:
            self._pass_burst(route)
        self._burst_s = time.monotonic()

    def _wait(self, timeout_ms: int | None) -> set[int]:
        """Wait for input, or where there is some, for room at the original."""
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        for route in self._routes:
            if route.has_input:
                poller.register(route.out_fd, select.POLLOUT)
            else:
                poller.register(route.read_fd, select.POLLIN)
        return {fd for fd, _event in poller.poll(timeout_ms)}

    def _calm_down(self) -> None:
        """Let bursts that follow one another closely become one."""
        now = time.monotonic()
        early_s = self._burst_s + BURST_INTERVAL_S - now
        if early_s > 0 and not self._is_asked:
            time.sleep(early_s)
        if now - self._window_s > WINDOW_INTERVAL_S:
            self._window_s = now
            for route in self._routes:
                route.follow_window()

    def _pass_burst(self, route: Route) -> None:
        if not route.is_intact():
            self._routes.remove(route)
            self.problem = self.problem or "the program has closed the console's descriptors"
            return
        moved = 0
        while moved < BURST_BYTES:
            if not route.has_room():
                route.has_input = True
                return
            self._respect_claim()
            count = self._pass_piece(route)
            if count is None:
                self._drop(route)
                return
            if not count:
                route.has_input = False
                return
            moved += count

    def _respect_claim(self) -> None:
        """Stand back while the agent moves bytes in our place."""
        page, deadline = self._page, time.monotonic() + CLAIM_MAX_S
        while page.claim and not page.ignores_claim:
            time.sleep(STAND_BACK_S)
            # The agent sees that we are alive and takes its claim back.
            page.pass_turn()
            page.pass_turn()
            page.ignores_claim = time.monotonic() > deadline
        if not page.claim:
            page.ignores_claim = False

    def _pass_piece(self, route: Route) -> int | None:
        """Move one piece; return its size, 0 if there is none now, None if there will be none."""
        page = self._page
        page.pass_turn()
        try:
            return self._move(route)
        finally:
            page.pass_turn()

    def _move(self, route: Route) -> int | None:
        try:
            count = self._mover.take(route)
            if not count:
                return count
            while not self._mover.push(route):
                route.wait_for_room()
        except OSError as error:
            self._give_up(route, error)
        stream, data, _rest = self._page.count_piece()
        if data:
            self._record(stream, data)
        return None if route.read_fd < 0 else max(1, len(data))

    def _give_up(self, route: Route, error: OSError) -> None:
        """Leave the original and its trouble to the program, as if we had never been there.

        A full disk is met by the program's own next write. Where the reader has gone, our end is
        closed too: children that still write to it learn it as they would have.
        """
        route.restore()
        self.problem = self.problem or f"fd {route.stream}: {error.strerror or error}"
        if error.errno in _GONE or (error.errno == errno.EIO and route.is_terminal):
            route.close_input()

    def _drop(self, route: Route) -> None:
        self._routes.remove(route)
        route.close()

    def _fail(self, reason: str) -> None:
        self.problem = reason
        for route in list(self._routes):
            route.restore()
            self._drop(route)
