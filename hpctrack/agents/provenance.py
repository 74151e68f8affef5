"""What a run was made of, read beside the agent's loop: a file system that hangs delays nobody."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hpctrack.core.clock import Clock
from hpctrack.core.settings import environment
from hpctrack.scheduler.commands import read_job_facts
from hpctrack.store.node_file import NOBODY, NewEvent
from hpctrack.store.schema import EventKind, Place
from hpctrack.telemetry.provenance.process import Process

if TYPE_CHECKING:
    from hpctrack.telemetry.provenance.collector import Collector

LEAD_WAIT_S = 1.0
"""For rank 0 of a node whose other ranks came first; they run the same program, nearly always."""

CLOSE_WAIT_S = 3.0
"""A run that ends before git has answered waits this long, once, and goes without it then."""

CANCEL_WAIT_S = 0.5
"""What was asked is ended within a tenth of a second; the rest of the time is for a busy node."""

SEEN_WAIT_S = 0.5
"""A program that ends at once gets its answer when its process was looked at: milliseconds."""

BEGIN_WAIT_S = 0.5
"""The first moments belong to the first points: a hundred ranks say HELLO, and the agent has a core
or half of it. A run that ends sooner does not wait for this."""

LOOK_AGAIN_S = (5.0, 30.0, 120.0)
"""When libraries are looked at again: a program loads some of them long after ``init``."""

REUSE_S = 30.0
"""A program that begins one short run after another is looked at again after so long: in between
nobody edits code, and a run's end must not wait for git each time."""

REMEMBERED_MAX = 256


@dataclass(slots=True)
class _Found:
    """What was found of a program, and when."""

    mono_s: float
    bodies: list[bytes]


class Provenance:
    """Collects the provenance of one run on one node, once.

    Parameters
    ----------
    node : int
        Of the run: node 0 records what all nodes have in common.
    settings : mapping
        What HELLO says of them: ``provenance``, ``provenance_env``, ``provenance_skip``.
    clock : Clock
        For time stamps.

    Notes
    -----
    The thread is a daemon: where a system call never returns, the agent ends without it. Programs
    are started by an agent only, never by a rank that records on a thread of its own.
    """

    _memory: ClassVar[dict[tuple[object, ...], _Found]] = {}

    def __init__(self, node: int, settings: Mapping[str, Any], *, clock: Clock) -> None:
        self._is_lead = node == 0
        self._settings = settings
        self._clock = clock
        self._ready: deque[NewEvent] = deque()
        self._chosen: tuple[int, int, Mapping[str, Any]] | None = None
        self._thread: threading.Thread | None = None
        self._is_first_here = threading.Event()
        self._is_seen = threading.Event()
        self._is_urgent = threading.Event()
        self._is_complete = threading.Event()
        self._is_in_rank = self._has_waited = False
        self._is_over = threading.Event()
        self._is_chosen = threading.Event()
        self._is_cancelled = False

    @property
    def has_ready(self) -> bool:
        """Whether something can be taken."""
        return bool(self._ready)

    def begin(self, hello: dict[str, Any]) -> None:
        """Take what a rank says of its program out of its HELLO, secrets and all."""
        told = hello.pop("python", None)
        _hide_secrets(hello.get("job"))
        pid = int(hello.get("pid", 0))
        is_wanted = self._settings.get("provenance", "off") == "auto" and pid > 0
        if not is_wanted or self._is_chosen.is_set():
            return
        rank = int(hello["rank"])
        if self._chosen is None or rank < self._chosen[0]:
            facts = told if isinstance(told, dict) else {}
            self._chosen = rank, pid, facts
            self._is_in_rank = pid == os.getpid()
        if int(hello.get("local_rank", 0)) == 0:
            self._is_first_here.set()
        if self._thread is None and not self._recall(rank, pid):
            self._thread = threading.Thread(
                target=self._run, name="hpctrack-provenance", daemon=True
            )
            self._thread.start()

    def _recall(self, rank: int, pid: int) -> bool:
        """Say again what was found of this program a moment ago; return whether there is such."""
        found = self._memory.get(self._key(pid))
        if found is None or self._clock.mono_s() - found.mono_s > REUSE_S:
            return False
        self._is_chosen.set()
        self._ready.extend(self._make_event(body, rank) for body in found.bodies)
        return True

    def _key(self, pid: int) -> tuple[object, ...]:
        chosen = (self._settings.get("provenance_skip"), self._settings.get("provenance_env"))
        return pid, read_start_ticks(pid), self._is_lead, *chosen

    def _make_event(self, body: bytes, rank: int) -> NewEvent:
        wall_s = self._clock.wall_s()
        return NewEvent(EventKind.PROVENANCE, body, wall_s, rank, NOBODY, Place.TEXT)

    def take(self, *, is_asked: bool = False, is_last: bool = False) -> list[NewEvent]:
        """Return what is ready to be written.

        Parameters
        ----------
        is_asked : bool
            A rank waits for its answer, and may end when it has it.
        is_last : bool
            The run ends: wait for what is under way, not longer than `CLOSE_WAIT_S`.
        """
        if is_asked and self._thread is not None and not self._has_waited:
            self._has_waited = True
            self._is_first_here.set()
            if self._is_in_rank:  # it ends with the rank
                self._is_urgent.set()
            (self._is_complete if self._is_in_rank else self._is_seen).wait(SEEN_WAIT_S)
        if is_last and self._thread is not None:
            self._is_first_here.set()
            self._is_urgent.set()
            self._is_over.set()
            self._thread.join(CLOSE_WAIT_S)
            # Who was asked and has not answered is ended, before we are.
            self._is_cancelled = True
            self._thread.join(CANCEL_WAIT_S)
        found: list[NewEvent] = []
        while self._ready:
            found.append(self._ready.popleft())
        return found

    # -- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        self._is_first_here.wait(LEAD_WAIT_S)
        assert self._chosen is not None  # noqa: S101 - chosen before the thread was started
        rank, pid, told = self._chosen
        self._is_chosen.set()
        process = Process(pid)
        process.remember()
        self._is_seen.set()
        self._is_urgent.wait(BEGIN_WAIT_S)
        begun_wall_s = self._clock.wall_s()
        bodies: list[bytes] = []
        is_kept = False
        for part in self._iter_parts(process, told):
            if part:
                body = json.dumps({**part, "collected_wall_s": begun_wall_s}).encode()
                bodies.append(body)
                self._ready.append(self._make_event(body, rank))
            if self._is_complete.is_set() and not (is_kept or self._is_cancelled):
                is_kept = True
                if len(self._memory) >= REMEMBERED_MAX:
                    self._memory.clear()
                self._memory[self._key(pid)] = _Found(self._clock.mono_s(), [*bodies])

    def _iter_parts(self, process: Process, told: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        collector = self._make_collector(process, told)
        yield from collector.iter_parts()
        if not self._is_in_rank:
            yield collector.read_scheduler(_read_job)
        self._is_complete.set()
        yield {}
        for wait_s in LOOK_AGAIN_S:
            self._is_over.wait(wait_s)
            yield collector.look_again()
            if self._is_over.is_set():
                return

    def _make_collector(self, process: Process, told: Mapping[str, Any]) -> Collector:
        # Loaded here: neither the loop nor the first rank should wait for it.
        from hpctrack.telemetry.provenance.child import Programs  # noqa: PLC0415
        from hpctrack.telemetry.provenance.collector import Collector, Wish  # noqa: PLC0415

        wish = Wish(
            process=process,
            told=told,
            is_lead=self._is_lead,
            skip=frozenset(_split(self._settings.get("provenance_skip"))),
            extra=_split(self._settings.get("provenance_env")),
        )
        programs = Programs(
            environ=_clean(environment()),
            is_cancelled=lambda: self._is_cancelled,
            may_start=not self._is_in_rank,
        )
        return Collector(wish, programs)


def _read_job() -> dict[str, Any]:
    facts = read_job_facts(_clean(environment()))
    return facts.to_json() if facts is not None else {}


def _hide_secrets(job: object) -> None:
    """Hide secrets in what a user has typed about a job: its name and its comment."""
    if not isinstance(job, dict):
        return
    typed = [key for key in job if key.endswith(("_COMMENT", "_NAME", "JOBNAME"))]
    if typed:
        from hpctrack.telemetry.provenance.masking import Masker  # noqa: PLC0415 - jobs only

        masker = Masker()
        for key in typed:
            job[key] = masker.text(str(job[key]))


def read_start_ticks(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return ""
    after_name = text.rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 else ""  # noqa: PLR2004 - field 22 of proc(5)


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would make git look elsewhere, or put a profiler into it."""
    return {
        name: value
        for name, value in environ.items()
        if name != "LD_PRELOAD" and not name.startswith("GIT_")
    }


def _split(text: object) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, str(text or "").split(","))))
