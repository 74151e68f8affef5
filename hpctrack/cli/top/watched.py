"""One run that is looked at: its files, and what is known of them. The rim; the model is pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from hpctrack.cli.top.model import WINDOW_MAX_S, RunModel
from hpctrack.core.clock import Clock
from hpctrack.store.console import ConsoleLine
from hpctrack.store.node_tail import NodeTail
from hpctrack.store.record import RunRecord, State
from hpctrack.store.replica_states import ReplicaStates
from hpctrack.store.run_tail import ROWS, RunTail

T = TypeVar("T")

BATCH = 4096
"""Points that are taken in while the screen has to wait: 10 ms."""

BRIEF_WINDOW_S = 90.0
BRIEF_ROWS = 4096
"""What a row in a list is made of."""

CONSOLE_LINES = 100


class WatchedRun:
    """A live run, looked at again and again.

    `refresh` may wait for a file system and belongs on a thread of its own; everything else may be
    read meanwhile under `lock`.

    Parameters
    ----------
    folder : Path
    clock : Clock
    stale_after_s : float
    is_detailed : bool, optional
        False for a row in a list, see `RunModel`.

    Attributes
    ----------
    model : RunModel
    record : RunRecord
        As of the last `refresh`.
    last_sign_wall_s : float
    synced_wall_s : float or None
        When the files were looked at on the machine that the run is on, if they are copies.
    console_rank : int or None
        Whose console is read, too.
    console : list of ConsoleLine
    devices : dict
        What is known of each device, by host and key.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, stale_after_s: float, is_detailed: bool = True
    ) -> None:
        now_s = ReplicaStates(folder).newest_wall_s() or clock.wall_s()
        self._tail = RunTail(
            folder,
            clock=clock,
            stale_after_s=stale_after_s,
            since_wall_s=now_s - (WINDOW_MAX_S if is_detailed else BRIEF_WINDOW_S),
            rows=ROWS if is_detailed else BRIEF_ROWS,
        )
        self.id, self.project = self._tail.id, self._tail.project
        self.folder = folder
        self.lock = Lock()
        self.model = RunModel(is_detailed=is_detailed)
        self.record = RunRecord(id=self.id, project=self.project)
        self.last_sign_wall_s = 0.0
        self.synced_wall_s: float | None = None
        self.console_rank: int | None = None
        self.console: list[ConsoleLine] = []
        self.devices: dict[tuple[str, str], dict[str, Any]] = {}
        self.skipped_points = 0
        self._attempt = 0
        self._start_wall_s = math.inf

    @property
    def is_running(self) -> bool:
        """Whether any rank of it runs."""
        return self.record.state == State.RUNNING or any(
            one.state == State.RUNNING for one in self.record.ranks
        )

    @property
    def key(self) -> tuple[str, str]:
        """Project and id."""
        return self.project, self.id

    def refresh(self) -> None:
        """Read what is new.

        Raises
        ------
        NotFoundError
            The run has no node files, and never had any since this object was made.
        """
        tail = self._tail
        for node in tail.visit():
            with self.lock:
                self._prepare(node)
            if node.attempt < self._attempt:
                continue  # superseded, or soon
            for points in _cut(tail.iter_new_points(node)):
                with self.lock:
                    self.model.take_points(points)
            for samples in _cut(tail.iter_new_samples(node)):
                with self.lock:
                    self.model.take_samples(samples)
        record = tail.record
        if self.console_rank is not None:
            self.console = tail.console_tail(self.console_rank, CONSOLE_LINES)
        with self.lock:
            self.record = record
            self.last_sign_wall_s = tail.last_sign_wall_s()
            self.synced_wall_s = tail.synced_wall_s
            self.skipped_points = tail.skipped_points

    def known_until_wall_s(self, now_wall_s: float) -> float:
        """Return the time up to which the run is known: now, unless its files are copies."""
        return now_wall_s if self.synced_wall_s is None else self.synced_wall_s

    def close(self) -> None:
        """Close its files."""
        self._tail.close()

    def _prepare(self, node: NodeTail) -> None:
        """Make the model ready for a file: another attempt, more time, new devices."""
        created_s = float(node.facts["created_wall_s"])
        if node.attempt > self._attempt:
            self._attempt, self._start_wall_s = node.attempt, created_s
            self.model.rewind()
        self._start_wall_s = min(self._start_wall_s, created_s)
        until_s = max(node.pulse_wall_s, self._start_wall_s)
        self.model.widen(min(until_s - self._start_wall_s, WINDOW_MAX_S))
        host = str(node.facts.get("host", ""))
        for one in node.devices.values():
            self.devices[host, str(one.get("key", ""))] = one


def _cut(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch
