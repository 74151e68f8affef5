"""Two things that take time and have nothing to do with each other, done at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

from hpctrack.errors import HpctrackError
from hpctrack.sync.carriers.transport import Transport
from hpctrack.sync.sending.candidates import Chunk

CHUNKS_AHEAD = 2
"""What is looked at before the other side has heard of what was looked at before."""


class Dialling:
    """Connects on a thread, while who wants the connection does something else.

    Used as a context manager it hangs up, also if nobody has asked for the connection.

    Parameters
    ----------
    dial : callable
        Returns the connection, or raises.
    """

    def __init__(self, dial: Callable[[], Transport]) -> None:
        self._dial = dial
        self._future: Future[Transport] = Future()
        self._thread = threading.Thread(target=self._work, name="dialling", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Hang up."""
        with suppress(HpctrackError, OSError):
            self._future.result().close()

    def transport(self) -> Transport:
        """Return the connection when it is there.

        Raises
        ------
        HpctrackError
            There is none.
        """
        return self._future.result()

    def _work(self) -> None:
        try:
            self._future.set_result(self._dial())
        except BaseException as error:  # noqa: BLE001 - raised again where it is asked for
            self._future.set_exception(error)


class Ahead:
    """Iterates on a thread of its own, some steps ahead of who takes the things."""

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
