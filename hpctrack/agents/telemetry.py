"""The node's sensors and the runs that want to know: starts the sampler, hands its readings on."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hpctrack.agents.recorder import Recorder
from hpctrack.agents.sampler import Sampler
from hpctrack.agents.session import Session
from hpctrack.core.clock import Clock
from hpctrack.telemetry.reading import Reading, Source, WatchedRank
from hpctrack.telemetry.visible_gpus import pick_lists

DEFAULT_INTERVAL_S = 10.0


class Telemetry:
    """One agent's telemetry: read once per node, whatever the number of ranks and runs.

    Parameters
    ----------
    make_sources : callable
        Returns the sources of this node; called when the first run wants telemetry, on the
        agent's thread, so it must not touch a driver.
    clock : Clock
    """

    def __init__(self, make_sources: Callable[[], Sequence[Source]], *, clock: Clock) -> None:
        self._make_sources = make_sources
        self._clock = clock
        self._sampler: Sampler | None = None
        self._start: Callable[[], None] | None = None
        self._watched: tuple[WatchedRank, ...] = ()
        self._known: list[tuple[int, int]] = []

    def begin(
        self,
        hello: Mapping[str, Any],
        watch: Callable[[socket.socket, Callable[[], None]], None],
        on_news: Callable[[], None],
    ) -> None:
        """Start reading, when a rank is there, if this run wants it and nobody has before.

        Parameters
        ----------
        hello : mapping
            Of the run's first rank.
        watch : callable
            Calls back when a socket can be read.
        on_news : callable
            To be called back.
        """
        settings = hello.get("settings") or {}
        if self._sampler or self._start or settings.get("telemetry", "off") == "off":
            return
        interval_s = float(settings.get("telemetry_interval_s", DEFAULT_INTERVAL_S))

        def start() -> None:
            self._sampler = Sampler(
                self._make_sources(),
                interval_s=interval_s,
                clock=self._clock,
                watch=lambda: self._watched,
            )
            watch(self._sampler.bell, on_news)

        self._start = start

    def look_after(self, recorders: Collection[Recorder]) -> None:
        """Notice ranks that have come or gone; start reading when there is one.

        A reading that knows no rank knows no GPU of the job either, and the first would be lost.
        """
        if self._sampler is None and self._start is None:
            return
        changes = [(id(one), one.changes) for one in recorders]
        if changes != self._known:
            self._known = changes
            self._watched = tuple(
                WatchedRank(one.pid, one.rank, *_find_visible(one.hello))
                for recorder in recorders
                if _wants(recorder)
                for one in _choose_processes(recorder.sessions)
            )
        if self._start is not None and self._watched:
            self._start()
            self._start = None

    def deliver(self, recorders: Collection[Recorder], *, leaving: Recorder | None = None) -> None:
        """Hand what was read to the runs that want it; all ranks of one may have left just now."""
        if self._sampler is None:
            return
        for taken in self._sampler.collect():
            for recorder in recorders:
                if _wants(recorder):
                    recorder.take_reading(taken.reading, taken.wall_s, is_last=recorder is leaving)

    def conclude(
        self, leaving: Recorder, recorders: Collection[Recorder], *, limit_s: float
    ) -> None:
        """Read once more for a run whose ranks have all left, until when it used its devices.

        And tell it which sources have not answered yet.

        Parameters
        ----------
        leaving : Recorder
        recorders : collection of Recorder
            All, this one too.
        limit_s : float
            For so long the sources may take; what comes later is not the run's.
        """
        if self._sampler is not None and _wants(leaving):
            self._sampler.hurry(limit_s)
            self.deliver(recorders, leaving=leaving)
            happening = self._sampler.find_unanswered()
            if happening is not None:
                leaving.take_reading(Reading(happenings=[happening]), self._clock.wall_s())

    def close(self) -> None:
        """Stop reading."""
        if self._sampler is not None:
            self._sampler.close()


def _wants(recorder: Recorder) -> bool:
    first = recorder.sessions[0].hello if recorder.sessions else {}
    return bool((first.get("settings") or {}).get("telemetry", "off") != "off")


def _choose_processes(sessions: Sequence[Session]) -> list[Session]:
    """Return one process for each rank that is there: the first, which has started the others.

    ``hpctrack run`` and the program in it are both processes of a rank. What the program uses is
    counted with the wrapper's descendants, and must not be counted, or averaged, beside it.
    """
    found: dict[int, Session] = {}
    for one in sessions:
        if one.is_open and one.pid:
            known = found.setdefault(one.rank, one)
            if _started_s(one) < _started_s(known):
                found[one.rank] = one
    return list(found.values())


def _started_s(session: Session) -> float:
    return float(session.hello.get("wall_s", 0.0))


def _find_visible(hello: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return what the rank's launcher lets it see; an empty text is none, None is everything."""
    told = hello.get("visible_gpus")
    return pick_lists(told if isinstance(told, Mapping) else {"CUDA_VISIBLE_DEVICES": told})
