"""What a run is, worked out from its events: state, ranks, configuration, losses.

Pure: the same events and the same time give the same record. Nothing here touches a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from hpctrack.client.definitions import Definition
from hpctrack.core.fields import pick_fields
from hpctrack.core.names import clean
from hpctrack.store.definitions import join_definitions
from hpctrack.store.events import Event, NodeEvents
from hpctrack.store.told import Speaker, Told, read_told
from hpctrack.store.vocabulary import EventKind


class State(StrEnum):
    """How a run, or one rank of it, stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CRASHED = "crashed"
    """Of a run only: all signs of life have stopped, and nobody saw why."""
    PREEMPTED = "preempted"
    """Of a run only: it said that it was being preempted, and then ended without success."""
    LOST = "lost"
    """Of a rank only: its process is gone without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRecord:
    """One rank of the latest attempt.

    Parameters
    ----------
    state : State
        running, finished, failed or lost.
    ended_wall_s : float or None
        UTC seconds; of a lost rank the last time at which it was known to live.
    exit_code : int or None
        None while it runs and if nobody knows.
    is_witnessed : bool
        The end was seen when it happened; False also while the rank runs.
    gpu : str
        The devices that the rank could see, as its environment names them; empty if it does not.
    """

    rank: int
    node: int
    host: str
    local_rank: int
    pid: int
    attempt: int
    state: State
    started_wall_s: float
    ended_wall_s: float | None = None
    exit_code: int | None = None
    is_witnessed: bool = False
    gpu: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return dict(zip(_RANK_FIELDS, _read_rank(self), strict=True))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it back; unknown keys, from a newer writer, are left out."""
        kept = value if value.keys() <= _RANK_FIELD_SET else pick_fields(cls, value)
        return cls(**{**kept, "state": _STATES[value["state"]]})


_STATES = {one.value: one for one in State}
_RANK_FIELDS = tuple(one.name for one in dataclasses.fields(RankRecord))
_RANK_FIELD_SET = frozenset(_RANK_FIELDS)
_read_rank = attrgetter(*_RANK_FIELDS)
"""A 10,000-rank run has 10,000 of these: `dataclasses.asdict` takes 0.3 s for them, this 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything about a run but its numbers.

    Parameters
    ----------
    warnings : tuple of dict
        ``level, code, text, rank, wall_s``; alerts among them, with a ``title``.
    ledger : dict
        What was lost, as totals over all ranks.
    definitions : tuple of Definition
        What ``define_metric`` said.
    fork : dict
        ``{"run", "step"}`` of the run that this one continues; empty if it is none.
    """

    id: str
    project: str
    name: str = ""
    state: State = State.RUNNING
    user: str = ""
    group: str = ""
    job_type: str = ""
    sweep: str = ""
    trial: int = -1
    size: int = 1
    attempts: int = 1
    nodes: int = 1
    launcher: str = "none"
    created_wall_s: float = 0.0
    ended_wall_s: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    notes: str = ""
    job: dict[str, str] = field(default_factory=dict)
    ranks: tuple[RankRecord, ...] = ()
    warnings: tuple[dict[str, Any], ...] = ()
    ledger: dict[str, Any] = field(default_factory=dict)
    definitions: tuple[Definition, ...] = ()
    fork: dict[str, Any] = field(default_factory=dict)

    @property
    def alerts(self) -> tuple[dict[str, Any], ...]:
        """The warnings that a program raised by ``run.alert``."""
        return tuple(one for one in self.warnings if one.get("code") == "alert")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form; what is nested in it belongs to the record."""
        found = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        found["ranks"] = [one.to_json() for one in self.ranks]
        found["definitions"] = [dataclasses.asdict(one) for one in self.definitions]
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it back; unknown keys, from a newer writer, are left out."""
        kept = pick_fields(cls, value)
        ranks = tuple(RankRecord.from_json(one) for one in kept.pop("ranks", ()))
        kept["definitions"] = join_definitions(kept.get("definitions", ()))
        for key in ("tags", "warnings"):
            kept[key] = tuple(kept.get(key, ()))
        kept["state"] = State(kept.get("state", State.RUNNING))
        return cls(ranks=ranks, **kept)


@dataclass(slots=True)
class _Session:
    """One connection of one process to one agent.

    What was said at its beginning is not kept: of 10,000 ranks it is 4 MB.
    """

    start: Event
    source: NodeEvents
    is_alive: bool
    ended_wall_s: float | None = None
    exit_code: int | None = None
    was_lost: bool = False
    started_wall_s: float = field(init=False)
    rank: int = field(init=False)
    local_rank: int = field(init=False)
    node: int = field(init=False)
    size: int = field(init=False)
    attempt: int = field(init=False)
    gpu: str = field(init=False)
    process: Speaker = field(init=False)

    def __post_init__(self) -> None:
        hello = self.start.json()
        # The rank's own time: the agent may have started, and read this, much later.
        self.started_wall_s = float(hello.get("wall_s", self.start.wall_s))
        self.rank = int(hello.get("rank", 0))
        self.local_rank = int(hello.get("local_rank", 0))
        self.node = int(hello.get("node", 0))
        self.size = int(hello.get("size", 1))
        self.attempt = int(hello.get("attempt", 1))
        self.gpu = clean(str(hello.get("gpu", "")))
        self.process = (str(hello.get("host", "")), self.rank, int(hello.get("pid", 0)))

    @property
    def state(self) -> State:
        if self.exit_code is not None:
            return State.FINISHED if self.exit_code == 0 else State.FAILED
        return State.RUNNING if self.is_alive and not self.was_lost else State.LOST


def assemble(
    sources: Sequence[NodeEvents],
    *,
    run: str,
    project: str,
    now_wall_s: float,
    stale_after_s: float,
) -> RunRecord:
    """Work out what a run is.

    Parameters
    ----------
    sources : sequence of NodeEvents
        By attempt and node.
    run, project : str
        Its id and project.
    now_wall_s, stale_after_s : float
        A file without a sign of life for this long has lost its agent.

    Returns
    -------
    RunRecord
        ``summary`` holds only what was set; the last logged values are added by the reader.
    """
    sessions: list[_Session] = []
    told: Told = []
    for number, source in enumerate(sources):
        is_alive = source.is_live(now_wall_s, stale_after_s)
        _read_source(source, number, sessions, told, is_alive=is_alive)
    if not sessions:
        stale = not any(one.is_live(now_wall_s, stale_after_s) for one in sources)
        state = State.CRASHED if stale else State.RUNNING
        ledger = read_told(told, default_name="", attempt=1)["ledger"]
        return RunRecord(id=run, project=project, state=state, ledger=ledger)
    attempts = max(one.attempt for one in sessions)
    latest = [one for one in sessions if one.attempt == attempts]
    ranks = _make_ranks(latest)
    first = min(sessions, key=lambda one: (one.rank, one.attempt, one.started_wall_s))
    hello = first.start.json()
    found = read_told(told, default_name=str(hello.get("name", "")), attempt=attempts)
    state = _run_state(ranks, is_preempting=found.pop("is_preempting"))
    ends = [one.ended_wall_s for one in ranks if one.ended_wall_s is not None]
    return RunRecord(
        id=run,
        project=project,
        state=state,
        user=clean(str(hello.get("user", ""))),
        group=clean(_find_said(sessions, first, "group")),
        job_type=_find_said(sessions, first, "job_type"),
        sweep=str(hello.get("sweep", "")),
        trial=int(hello.get("trial", -1)),
        size=max(one.size for one in latest),
        attempts=attempts,
        nodes=len({one.host for one in ranks}),
        launcher=str(hello.get("launcher", "none")),
        created_wall_s=min(one.started_wall_s for one in sessions),
        ended_wall_s=max(ends) if ends and state != State.RUNNING else None,
        job=dict(hello.get("job") or {}),
        ranks=ranks,
        **found,
    )


def _find_said(sessions: Iterable[_Session], first: _Session, key: str) -> str:
    """Return what a process of the first one's rank and attempt has said.

    ``hpctrack run`` says nothing for the program in it.
    """
    said = (
        str(one.start.json().get(key, ""))
        for one in sorted(sessions, key=lambda one: one.started_wall_s)
        if (one.rank, one.attempt) == (first.rank, first.attempt)
    )
    return next(filter(None, said), "")


def _read_source(
    source: NodeEvents,
    number: int,
    sessions: list[_Session],
    told: Told,
    *,
    is_alive: bool,
) -> None:
    mine: dict[int, _Session] = {}
    for event in source.events:
        session = mine.get(event.session)
        if event.kind == EventKind.START:
            session = _Session(event, source, is_alive)
            mine[event.session] = session
            sessions.append(session)
        elif event.kind == EventKind.END and session:
            said = event.json()
            session.ended_wall_s = float(said.get("wall_s", event.wall_s))
            session.exit_code = int(said.get("exit_code", 0))
        elif event.kind == EventKind.LOST and session:
            session.ended_wall_s, session.was_lost = event.wall_s, True
        else:
            attempt = session.attempt if session else 0
            told.append((attempt, session.process if session else ("", number, -1), event))


def _make_ranks(sessions: Iterable[_Session]) -> tuple[RankRecord, ...]:
    """Make one record per rank from its sessions.

    A process that lost its agent has several sessions, of which the last one counts; several
    processes of one rank (``hpctrack run`` around a program that logs) count as the worst.
    """
    by_process = {one.process: one for one in sorted(sessions, key=lambda one: one.started_wall_s)}
    worst: dict[int, _Session] = {}
    for one in by_process.values():
        known = worst.get(one.rank)
        if known is None or _badness(one) > _badness(known):
            worst[one.rank] = one
    return tuple(_make_rank(worst[rank]) for rank in sorted(worst))


def _badness(session: _Session) -> int:
    # FAILED has an exit code: a wrapper has seen the end of the process that is LOST.
    order = (State.FINISHED, State.RUNNING, State.LOST, State.FAILED)
    return order.index(session.state)


def _make_rank(session: _Session) -> RankRecord:
    (host, rank, pid), state = session.process, session.state
    ended = session.ended_wall_s
    if state == State.LOST and ended is None:
        ended = session.source.pulse_wall_s
    return RankRecord(
        rank=rank,
        node=session.node,
        host=clean(host),
        local_rank=session.local_rank,
        pid=pid,
        attempt=session.attempt,
        state=state,
        started_wall_s=session.started_wall_s,
        ended_wall_s=ended,
        exit_code=session.exit_code,
        is_witnessed=session.was_lost or session.exit_code is not None,
        gpu=session.gpu,
    )


def _run_state(ranks: Sequence[RankRecord], *, is_preempting: bool) -> State:
    states = {one.state for one in ranks}
    if is_preempting and states & {State.FAILED, State.LOST}:
        return State.PREEMPTED
    if State.RUNNING in states:
        # A dead rank makes the run failed at once: waiting for the others to time out helps nobody.
        return State.FAILED if states & {State.FAILED, State.LOST} else State.RUNNING
    if states == {State.FINISHED}:
        return State.FINISHED
    # Silence alone is a crash; silence beside an end that was seen is part of a failure.
    return State.FAILED if any(one.is_witnessed for one in ranks) else State.CRASHED
