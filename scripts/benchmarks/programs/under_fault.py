"""A program that logs at a pace while something happens to it, or while it does something itself.

How long each call of ``log`` took is noted outside of the process: it may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import hpctrack
from scripts.benchmarks.programs.entry import answer

ENTRY = struct.Struct("<dd")
"""When a call began, by the monotonic clock, and how long it took, seconds; 0: there was none."""

THREADS = 16

AGAIN_CALLS = 400
"""Of a second attempt."""

METRICS = tuple(f"m{number}" for number in range(10))


class Loop:
    """The program's loop.

    Parameters
    ----------
    told : dict
        ``store, page, calls, hz`` and ``what``.

    Attributes
    ----------
    logged : int
        Points of all threads and runs.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.calls = int(told["calls"])
        self.logged = 0
        self.deed: Callable[[int], object] = lambda _step: None
        self.run = hpctrack.init("bench", name=told["what"], dir=told["store"])
        self.place = f"{told['page']}{self.run.rank or ''}"
        if self.run.place.attempt > 1:
            self.place, self.calls = f"{self.place}.again", AGAIN_CALLS
        path = Path(self.place)
        path.write_bytes(bytes(ENTRY.size * self.calls))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 0)
        self._step = 0

    def go(self, until: int) -> None:
        """Log up to a step, at the pace."""
        due, pause = time.perf_counter(), 1 / float(self.told["hz"])
        while self._step < until:
            self.deed(self._step)
            values = dict.fromkeys(METRICS, float(self._step))
            began, wall = time.perf_counter(), time.monotonic()
            self.run.log(values, step=self._step)
            took = time.perf_counter() - began
            ENTRY.pack_into(self._page, self._step * ENTRY.size, wall, took)
            self._step += 1
            self.logged += len(METRICS)
            due = max(due + pause, time.perf_counter() - 1)
            time.sleep(max(0.0, due - time.perf_counter()))


def main(told: dict[str, Any]) -> dict[str, Any]:
    """Log half of the calls in peace, and half under what is to be tried."""
    loop = Loop(told)
    if told["what"] in SIGNALS:
        signal.signal(signal.SIGTERM, lambda *_: SIGNALS[told["what"]](loop))
    with contextlib.ExitStack() as ends:
        loop.go(loop.calls // 2)
        begin = DEEDS.get(told["what"])
        if begin is not None:
            begin(loop, ends)
        loop.go(loop.calls)
    return {"logged": loop.logged, "safe": loop.run.finish()}


# -- what a program may do to itself ---------------------------------------------------------------


def _fork(loop: Loop, _ends: contextlib.ExitStack) -> None:
    def deed(step: int) -> None:
        if step % 100:
            return
        child = os.fork()
        if not child:
            loop.run.log({METRICS[0]: -1.0})
            os._exit(0)
        os.waitpid(child, 0)

    loop.deed = deed


def _spawn(loop: Loop, ends: contextlib.ExitStack) -> None:
    pool = ends.enter_context(get_context("spawn").Pool(2))
    folder = f"{loop.told['store']}-children"
    results = pool.map_async(run_child, [folder] * 2)
    ends.callback(results.get, 60)


def run_child(folder: str) -> int:
    """Be a child that has a run of its own."""
    with hpctrack.init("children", dir=folder) as run:
        for step in range(500):
            run.log({METRICS[0]: float(step)}, step=step)
    return 0


def _use_hdf5(loop: Loop, ends: contextlib.ExitStack) -> None:
    import h5py  # noqa: PLC0415 - only here; the floor of everything else is a rank without it

    file = ends.enter_context(h5py.File(f"{loop.told['store']}-own.h5", "w"))

    def deed(step: int) -> None:
        if step % 10 == 0:
            file[str(step)] = [float(step)] * 100
            file.flush()

    loop.deed = deed


def _use_threads(loop: Loop, ends: contextlib.ExitStack) -> None:
    half, pause = loop.calls // 2, 1 / float(loop.told["hz"])

    def work(number: int) -> None:
        for step in range(half):
            loop.run.log({f"thread{number}": float(step)}, step=step)
            time.sleep(pause)

    threads = [threading.Thread(target=work, args=(one,)) for one in range(1, THREADS)]
    for one in threads:
        one.start()
        ends.callback(one.join)
    loop.logged += half * len(threads)


def _begin_another(loop: Loop, ends: contextlib.ExitStack) -> None:
    other = ends.enter_context(hpctrack.init("bench", dir=loop.told["store"]))

    def deed(step: int) -> None:
        other.log({METRICS[0]: float(step)}, step=step)
        loop.logged += 1

    loop.deed = deed


def _raise_at_the_end(_loop: Loop, ends: contextlib.ExitStack) -> None:
    ends.callback(sys.exit, 3)


def _leave_at_the_end(_loop: Loop, ends: contextlib.ExitStack) -> None:
    ends.callback(os._exit, 3)


def _crash_at_the_end(_loop: Loop, ends: contextlib.ExitStack) -> None:
    ends.callback(ctypes.string_at, 0)


def _make_way(loop: Loop) -> None:
    loop.run.mark_preempting()
    loop.run.flush()
    os._exit(1)


def _note_signal(loop: Loop) -> None:
    Path(f"{loop.place}.signal").write_text(str(time.monotonic()))


SIGNALS = {"make way": _make_way, "ignore": _note_signal}
"""What a program does at SIGTERM."""

DEEDS: dict[str, Callable[[Loop, contextlib.ExitStack], None]] = {
    "fork": _fork,
    "multiprocessing": _spawn,
    "h5py": _use_hdf5,
    "threads": _use_threads,
    "two runs": _begin_another,
    "exception": _raise_at_the_end,
    "os._exit": _leave_at_the_end,
    "segfault": _crash_at_the_end,
}


if __name__ == "__main__":
    answer(main)
