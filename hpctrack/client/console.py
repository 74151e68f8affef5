"""What a rank prints, also from C code and child processes: passed on at once, and recorded."""

from __future__ import annotations

import os
import sys
from _thread import RLock

from hpctrack.client.console_page import Page
from hpctrack.client.console_pump import Pump, flush_c
from hpctrack.client.console_route import FilledLowNumbers, Route, make_routes, size_pipes
from hpctrack.core.ring import identify
from hpctrack.core.wire import STREAMS, read_gap
from hpctrack.errors import is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

    from hpctrack.client.notebook import Echo

    OnBytes = Callable[[int, bytes], None]

STOP_TIMEOUT_S = 5.0

LAST_WORDS_S = 1.0
"""Longest wait of ``os._exit`` for a terminal that takes no output."""

FRONTENDS = frozenset({"_pytest", "idlelib", "ipykernel"})
"""Packages whose objects stand for sys.stdout without writing to the process's descriptor."""


class Console:
    """One rank's standard output and error, as long as its run lasts. Per-rank.

    Parameters
    ----------
    on_bytes : callable
        Called with the stream (1 or 2) and what was written to it, in the order of writing, from
        a thread of ours (``wrap``: from the thread that prints). Must neither block nor print.
    mode : {"auto", "redirect", "wrap", "off"}
        ``redirect`` takes file descriptors 1 and 2, ``wrap`` only what Python's ``sys.stdout``
        and ``sys.stderr`` are given; ``auto`` wraps in notebooks and under test runners.
    max_bytes : int
        How much of both streams together is recorded; then the last 64 KiB of each are, at the
        end, behind a gap (`hpctrack.core.wire`). What is shown is never bounded.
    local_size : int
        Ranks on this node, for the size of the pipes.
    elsewhere : sequence of str
        What a process that has started this one records already, see `recorded`; left to it.

    Attributes
    ----------
    mode : str
        What is done: ``redirect``, ``wrap`` or ``off``.
    problem : str
        Why less is captured than was asked for; empty if all is well.
    missing_bytes : int
        How much was not recorded because the record was full; known when `stop` has returned.

    Notes
    -----
    Nothing here raises. Where both streams lead to one place (a terminal, ``2>&1``), both are
    recorded as stream 1, because only so their order is kept. Of several in one process only the
    first captures.
    """

    def __init__(
        self,
        on_bytes: OnBytes,
        *,
        mode: str = "auto",
        max_bytes: int = 8 * 1024 * 1024,
        local_size: int = 1,
        elsewhere: Sequence[str] = (),
    ) -> None:
        self._on_bytes = on_bytes
        self._asked = mode
        self._max_bytes = max_bytes
        self._local_size = local_size
        self._elsewhere = frozenset(elsewhere)
        self._page: Page | None = None
        self._pump: Pump | None = None
        self._routes: tuple[Route, ...] = ()
        self._wraps: list[Wrap | Echo] = []
        self._last_words: LastWords | None = None
        self._is_recording = False
        self._problem = ""
        self.mode = "off"
        self.missing_bytes = 0

    @property
    def problem(self) -> str:
        """Why less is captured than was asked for."""
        return self._problem or (self._pump.problem if self._pump else "")

    @property
    def fds(self) -> tuple[int, ...]:
        """What the agent's `ConsoleDrain` needs: read ends, originals, page; empty if none.

        Lent: the agent gets duplicates (SCM_RIGHTS), these are closed by `stop`.
        """
        if self._page is None or not self._routes:
            return ()
        if not self._page.is_intact() or not all(route.is_intact() for route in self._routes):
            return ()  # what stands at these numbers is the program's by now
        reads = [route.read_fd for route in self._routes]
        originals = [route.original_fd for route in self._routes]
        return (*reads, *originals, self._page.fd)

    @property
    def recorded(self) -> tuple[str, ...]:
        """What is recorded of this process and of those that it starts, as ``device:inode``."""
        return tuple(sorted({*self._elsewhere, *(_name(one.inner) for one in self._routes)}))

    def start(self) -> bool:
        """Begin to capture.

        Returns
        -------
        bool
            Whether anything is captured; if not, everything is as it was and `problem` says why
            (empty if it was not asked for).
        """
        if self._asked == "off":
            return False
        if _state.active is not None:
            self._problem = "another run of this process records the console"
            return False
        _state.hook_fork()
        try:
            mode = choose_mode() if self._asked == "auto" else self._asked
            with FilledLowNumbers() as numbers:
                self._page = Page.make(self._max_bytes)
                self._is_recording = True
                flush_python()
                if mode == "wrap":
                    self._start_wrap()
                else:
                    self._start_redirect(numbers)
                    if self._pump is None:
                        self._is_recording = False
                        self._undo()
                        return False
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._problem = f"the console is not recorded: {error}"
            self._is_recording = False
            self._undo()
            return False
        self.mode = mode
        _state.active = self
        return True

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> bool:
        """Give the program its own output back and record the rest. Safe to call twice.

        Parameters
        ----------
        timeout_s : float
            Longest wait for a terminal that takes no output, seconds.

        Returns
        -------
        bool
            Whether all that was written before is shown and recorded. What is printed later goes
            straight to where it went before. Children that were started before still write to us;
            a thread serves them while this process lives, the agent after that.
        """
        self._release_exit()
        if _state.active is self:
            _state.active = None
        if self._page is None or self._page.is_stopped:
            return True
        is_settled = True
        try:
            flush_python()
            flush_c()
            is_settled = self._settle(timeout_s)
            if self._is_recording:  # a listener that has failed gets no more; the terminal does
                self._hand_rest()
        except Exception as error:  # nothing may reach the training
            if is_of_a_signal(error):
                raise
            self._problem = f"the console's end is not recorded: {error}"
            is_settled = False
        self._is_recording = False
        self._page.is_stopped = True
        if self._pump is None or self._pump.end(timeout_s):
            self._page.close()
            self._page, self._routes = None, ()
        return is_settled

    def forget(self) -> None:
        """In a forked child: the console is the parent's; called by itself after a fork.

        What the child writes to 1 and 2 still goes through the parent's thread, and through the
        agent when the parent has ended.
        """
        self._release_exit()
        if _state.active is self:
            _state.active = None
        self._is_recording = False
        for wrap in self._wraps:
            wrap.undo()
        self._wraps.clear()
        if self._pump is not None:
            self._pump.forget()
            self._pump = None
        if self._page is not None:
            self._page.close()
            self._page = None
        self._routes, self.mode = (), "off"

    # -- beginning -------------------------------------------------------------------------------

    def _start_redirect(self, numbers: tuple[int, ...]) -> None:
        assert self._page is not None  # noqa: S101 - made by the caller
        ours = tuple(one for one in numbers if _name(identify(one)) not in self._elsewhere)
        if numbers and not ours:
            return
        routes = make_routes(ours, pipe_bytes=size_pipes(self._local_size))
        self._routes = tuple(routes)
        missing = [str(number) for number in STREAMS if number not in numbers]
        if missing:
            self._problem = f"closed and not recorded: fd {', '.join(missing)}"
        self._page.lines = tuple(route.stream for route in routes)
        self._pump = Pump(routes, self._page, self._take)
        pump = self._pump
        pump.start()
        self._last_words = LastWords(lambda: pump.settle(LAST_WORDS_S))

    def _start_wrap(self) -> None:
        gate = Gate()
        for number, target in zip(STREAMS, (sys.stdout, sys.stderr), strict=True):
            if target is not None:
                self._wraps.append(_listen(number, target, self._take_wrapped, gate))

    def _release_exit(self) -> None:
        if self._last_words is not None:
            self._last_words.undo()
            self._last_words = None

    def _undo(self) -> None:
        self._release_exit()
        for wrap in self._wraps:
            wrap.undo()
        self._wraps.clear()
        for route in self._routes:
            route.restore()
            route.close()
        if self._pump is not None:
            self._pump.forget()
        self._routes, self._pump = (), None
        if self._page is not None:
            self._page.close()
            self._page = None

    # -- while it lasts --------------------------------------------------------------------------

    def _take(self, stream: int, data: bytes) -> None:
        """Record what has been passed on."""
        if not self._is_recording or self._page is None:
            return
        kept = self._page.admit(stream, data)
        if kept:
            self._hand(stream, kept)

    def _take_wrapped(self, stream: int, data: bytes) -> None:
        page = self._page
        if self._is_recording and page is not None:
            for start in range(0, len(data), 4096):
                piece = data[start : start + 4096]
                page.add(stream, piece)
                self._take(stream, piece)

    def _hand(self, stream: int, data: bytes) -> None:
        try:
            self._on_bytes(stream, data)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._is_recording = False
            self._problem = f"the console is not recorded any more: {error}"

    # -- the end ---------------------------------------------------------------------------------

    def _settle(self, timeout_s: float) -> bool:
        for wrap in self._wraps:
            wrap.undo()
        self._wraps.clear()
        if self._pump is None:
            return True
        # What is written until now must be shown before what goes straight to the original.
        is_settled = self._pump.settle(timeout_s / 2)
        for route in self._routes:
            route.restore()
        return self._pump.settle(timeout_s / 2) and is_settled

    def _hand_rest(self) -> None:
        assert self._page is not None  # noqa: S101 - checked by the caller
        for stream in STREAMS:
            pieces = self._page.take_rest(stream)
            self.missing_bytes += sum(map(read_gap, pieces))
            for piece in pieces:
                self._hand(stream, piece)


def _name(identity: tuple[int, int]) -> str:
    return f"{identity[0]}:{identity[1]}"


# -- Python's own streams and exit ---------------------------------------------------------------


class Gate:
    """One at a time, and no recording of what recording prints."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_busy = False

    def pass_through(self, work: Callable[[], None]) -> None:
        """Do some work, unless this thread is in the middle of some.

        A signal handler, a destructor or the listener itself may print.
        """
        with self._lock:
            if not self._is_busy:
                self._is_busy = True
                try:
                    work()
                finally:
                    self._is_busy = False


class Wrap:
    """The ``write`` of one stream object, with a listener.

    Parameters
    ----------
    number : int
        1 or 2, for the listener.
    target : object
        Such as ``sys.stdout`` of a notebook.
    listener : callable
        Called with number and bytes after each write, in the thread that writes.
    gate : Gate
        Shared by the wraps of one console.

    Raises
    ------
    AttributeError
        The object's ``write`` cannot be replaced.
    """

    def __init__(
        self, number: int, target: Any, listener: Callable[[int, bytes], None], gate: Gate
    ) -> None:
        self._target = target
        self._earlier = target.__dict__.get("write")
        self._number = number
        self._listener: Callable[[int, bytes], None] | None = listener
        self._gate = gate
        self._write = target.write
        target.write = self._on_write

    def undo(self) -> None:
        """Take it off if nobody has put something over it; silence it in any case."""
        self._listener = None
        if self._target.__dict__.get("write") != self._on_write:
            return
        try:
            if self._earlier is None:
                del self._target.write
            else:
                self._target.write = self._earlier
        except (AttributeError, TypeError):
            pass

    def _on_write(self, text: Any) -> Any:
        result = self._write(text)
        if self._listener is not None:
            _pass_on(self._listener, self._number, text, self._gate)
        return result


def _listen(number: int, target: Any, listener: OnBytes, gate: Gate) -> Wrap | Echo:
    """Begin to hear what a stream object is given, see `Wrap`."""
    if not hasattr(target, "echo"):
        return Wrap(number, target, listener, gate)
    from hpctrack.client.notebook import Echo  # noqa: PLC0415 - most programs are none

    return Echo(target, lambda text: _pass_on(listener, number, text, gate))


def _pass_on(listener: OnBytes, number: int, text: object, gate: Gate) -> None:
    if isinstance(text, str):
        data = text.encode("utf-8", "backslashreplace")
        gate.pass_through(lambda: listener(number, data))


def choose_mode() -> str:
    """Return ``redirect``, or ``wrap`` where what Python prints does not go to 1 and 2."""
    pairs = ((1, sys.stdout, sys.__stdout__), (2, sys.stderr, sys.__stderr__))
    for number, stream, real in pairs:
        if stream is None or _number_of(stream) == number:
            continue
        # A program's own object (one that copies into a file) ends at the descriptor after all.
        package = type(stream).__module__.partition(".")[0]
        if package in FRONTENDS or _number_of(real) != number:
            return "wrap"
    return "redirect"


def _number_of(stream: Any) -> int:
    try:
        return int(stream.fileno())
    except Exception:  # noqa: BLE001 - anybody's object
        return -1


def flush_python() -> None:
    """Flush Python's buffers, those that can be."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except Exception:  # noqa: BLE001, S110 - anybody's object
            pass


class LastWords:
    """``os._exit`` that lets what was printed come out first.

    Without us it would be out before: a shell that prints the exit code must not be quicker than
    the program's last line.

    Parameters
    ----------
    settle : callable
        Waits, for a bounded time, until everything that was written has been passed on.
    """

    def __init__(self, settle: Callable[[], object]) -> None:
        self._settle = settle
        self._pid = os.getpid()
        self._earlier = os._exit
        self._ours = self._exit
        os._exit = self._ours

    def _exit(self, status: int) -> NoReturn:
        # Children that were forked leave by os._exit too: the console is not theirs.
        if os.getpid() == self._pid:
            try:
                self._settle()
            except Exception:  # noqa: BLE001, S110 - the program wants to end
                pass
        self._earlier(status)

    def undo(self) -> None:
        """Give the earlier function back, unless somebody has replaced ours."""
        if os._exit == self._ours:
            os._exit = self._earlier


class _State:
    """What the process has one of."""

    def __init__(self) -> None:
        self.active: Console | None = None
        self.is_hooked = False

    def hook_fork(self) -> None:
        if not self.is_hooked:
            self.is_hooked = True
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        if self.active is not None:
            self.active.forget()


_state = _State()
