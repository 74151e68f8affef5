"""The one thread that touches files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, ParamSpec, TypeVar

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError

TURN_S = 0.05
"""How long work in steps holds the thread before others may have it: a chart of 20 runs takes
about so long, and whoever waits for a small thing does not notice it."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Steps = Generator[None, None, Result]
"""Work that pauses wherever other work may come in between, and returns its result."""


class EndingError(HpctrackError):
    """The server is told to end: what has not begun is given up."""

    def __init__(self) -> None:
        super().__init__("the dashboard is ending", hint="ask again when it has been started")


@dataclass(frozen=True, slots=True)
class _Done(Generic[Result]):
    value: Result


class Reader:
    """Runs everything that reads a store, one after the other, off the event loop.

    One thread, because the readers of HDF5 files are not safe for several, and because a file
    system that hangs must stall a page and not the server.

    Parameters
    ----------
    name : str
        Of the thread.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, name: str = "reader", *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._again = asyncio.Lock()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"hpctrack-{name}")

    async def call(
        self,
        work: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Do something on the reading thread and return what it returns.

        Raises
        ------
        EndingError
            The thread ends, or has ended.
        """
        if self._is_closed:
            raise EndingError
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))
        except asyncio.CancelledError:
            if not self._is_closed:
                raise
            raise EndingError from None

    async def call_in_turns(self, steps: Steps[Result], look: Callable[[], None]) -> Result:
        """Do something long on the reading thread, in turns with what others ask.

        Parameters
        ----------
        steps : generator
            The work.
        look : callable
            Called before each step; what it raises ends the work.

        Notes
        -----
        What is asked meanwhile comes after one turn, however much work there is that has had its
        first: of that only one turn at a time is in the queue, and they take turns themselves.
        """
        done = await self.call(self._take_turn, steps, look)
        while done is None:
            async with self._again:
                done = await self.call(self._take_turn, steps, look)
        return done.value

    def _take_turn(self, steps: Steps[Result], look: Callable[[], None]) -> _Done[Result] | None:
        """Do steps for as long as a turn lasts; None if there are more of them."""
        until_s = self._clock.mono_s() + TURN_S
        try:
            while True:
                look()
                next(steps)
                if self._clock.mono_s() >= until_s:
                    return None
        except StopIteration as end:
            return _Done(end.value)
        except BaseException:
            steps.close()
            raise

    def close(self) -> None:
        """Let the thread end; what has not begun is given up."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
