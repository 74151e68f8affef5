"""What takes time, done on a thread some steps ahead of who needs it."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hpctrack.sync.sending.candidates import Chunk

CHUNKS_AHEAD = 2
"""What is looked at before the other side has heard of what was looked at before."""


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Let Ctrl-C wait until what is done here is over.

    For imports beside other threads that import: there an interrupt was lost, once in 75 times.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


class Ahead:
    """Iterates on a thread of its own; used as a context manager.

    Parameters
    ----------
    make : callable
        Returns what is iterated over.
    """

    def __init__(self, make: Callable[[], Iterator[Chunk]]) -> None:
        self._make = make
        self._things: queue.Queue[Chunk | BaseException | None] = queue.Queue(CHUNKS_AHEAD)
        self._is_left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="survey", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        """Leave the rest, after the step that is being done."""
        self._is_left.set()
        while self._thread.is_alive():
            try:
                self._things.get(timeout=0.05)
            except queue.Empty:
                continue

    def __iter__(self) -> Iterator[Chunk]:
        """Yield what the thread has found; raise what it has raised."""
        while (thing := self._things.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing

    def _work(self) -> None:
        try:
            for thing in self._make():
                self._things.put(thing)
                if self._is_left.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where it is taken
            self._things.put(error)
        finally:
            self._things.put(None)
