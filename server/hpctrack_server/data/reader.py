"""The one thread that touches files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Reader:
    """Runs everything that reads a store, one after the other, off the event loop.

    One thread, because the readers of HDF5 files are not safe for several, and because a file
    system that hangs must stall a page and not the server.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str = "reader") -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"hpctrack-{name}")

    async def call(
        self,
        work: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Do something on the reading thread and return what it returns."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Let the thread end; what has not begun is given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
