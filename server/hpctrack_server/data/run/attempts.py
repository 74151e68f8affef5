"""The attempts of a run: when each waited, began and ended, and how."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hpctrack.scheduler.job_facts import JobFacts, read_slurm
from hpctrack.store.events import NodeEvents
from hpctrack.store.record import RunRecord
from hpctrack.store.schema import EventKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt; what nobody has said is None or empty.

    Parameters
    ----------
    number : int
        From 1.
    started_wall_s, ended_wall_s : float or None
        When its first rank began and its last one ended, UTC seconds; not ended is None.
    ranks, failed, lost : int
        How many began, ended with an exit code that is not 0, and are gone without a word.
    hosts : tuple of str
    job : str
        The scheduler's number, as people know it.
    submit_wall_s, eligible_wall_s, granted_wall_s, job_end_wall_s : float or None
        Of the job: handed in, free to run, given its nodes, over.
    limit_s : float or None
        Its time limit; infinite if there is none.
    state : str
        The scheduler's word if it was asked, else ours.
    """

    number: int
    started_wall_s: float | None = None
    ended_wall_s: float | None = None
    ranks: int = 0
    failed: int = 0
    lost: int = 0
    hosts: tuple[str, ...] = ()
    job: str = ""
    submit_wall_s: float | None = None
    eligible_wall_s: float | None = None
    granted_wall_s: float | None = None
    job_end_wall_s: float | None = None
    limit_s: float | None = None
    state: str = ""

    @property
    def limit_wall_s(self) -> float | None:
        """When the time limit is reached; None if there is none, or nobody knows."""
        if self.limit_s is None or math.isinf(self.limit_s) or self.granted_wall_s is None:
            return None
        return self.granted_wall_s + self.limit_s


@dataclass(slots=True)
class _Seen:
    """What the files of one attempt say."""

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    ranks: set[int] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    failed: int = 0
    lost: int = 0
    is_preempting: bool = False
    facts: JobFacts | None = None


def find_attempts(
    sources: Sequence[NodeEvents],
    record: RunRecord,
    *,
    accounting: Mapping[str, Any] | None = None,
    scheduler: Mapping[str, Any] | None = None,
    is_live: bool = False,
) -> tuple[Attempt, ...]:
    """Put together what the ranks, the scheduler and its accounting say. Pure.

    Parameters
    ----------
    sources : sequence of NodeEvents
        By attempt and node.
    record : RunRecord
        Says how the latest attempt stands.
    accounting : mapping, optional
        As `StoredRun.accounting`.
    scheduler : mapping, optional
        ``scheduler`` of the latest attempt's provenance.
    is_live : bool
        Whether the latest attempt may go on.
    """
    seen: dict[int, _Seen] = {}
    for source in sources:
        _look_at(source, seen.setdefault(_attempt_of(source), _Seen()))
    last = max(seen, default=record.attempts)
    found = [
        _make(number, one, record if number == last else None, is_live=is_live and number == last)
        for number, one in sorted(seen.items())
    ]
    if found and scheduler:
        found[-1] = _add_moments(found[-1], scheduler)
    entries = _by_attempt((accounting or {}).get("attempts") or ())
    return tuple(_add_entry(one, entries.get(one.number)) for one in found)


def _attempt_of(source: NodeEvents) -> int:
    value = source.facts.get("attempt", 1)
    return int(value) if isinstance(value, (int, float)) or str(value).isdigit() else 1


def _look_at(source: NodeEvents, seen: _Seen) -> None:
    seen.hosts.add(str(source.facts.get("host", "")))
    for event in source.events:
        if event.kind == EventKind.START:
            seen.starts.append(event.wall_s)
            seen.ranks.add(event.rank)
            if seen.facts is None:  # of 10,000 ranks one tells the job
                job = event.json().get("job")
                seen.facts = read_slurm(job) if isinstance(job, dict) else None
        elif event.kind == EventKind.END:
            seen.ends.append(event.wall_s)
            seen.failed += event.json().get("exit_code", 0) != 0
        elif event.kind == EventKind.LOST:
            seen.ends.append(event.wall_s)
            seen.lost += 1
        elif event.kind == EventKind.META and event.json().get("preempting"):
            seen.is_preempting = True
    if not source.is_closed:
        seen.ends.append(source.pulse_wall_s)  # the last sign of life


def _make(number: int, seen: _Seen, record: RunRecord | None, *, is_live: bool) -> Attempt:
    state = "failed" if seen.failed else "lost" if seen.lost else "finished"
    if seen.is_preempting and state != "finished":
        state = "preempted"
    ended = None if is_live else max(seen.ends, default=None)
    made = Attempt(
        number=number,
        started_wall_s=min(seen.starts, default=None),
        ended_wall_s=ended,
        ranks=len(seen.ranks),
        failed=seen.failed,
        lost=seen.lost,
        hosts=tuple(sorted(one for one in seen.hosts if one)),
        state=str(record.state) if record else state,
    )
    if record:
        # The ranks' own times: an agent that started late has noted them all at once.
        made = replace(made, started_wall_s=_first_start(seen, record))
        if record.ended_wall_s and not is_live:
            made = replace(made, ended_wall_s=record.ended_wall_s)
    facts = seen.facts
    if facts is None:
        return made
    return replace(
        made, job=facts.shown_id, granted_wall_s=facts.start_wall_s, limit_s=facts.limit_s
    )


def _first_start(seen: _Seen, record: RunRecord) -> float | None:
    own = (one.started_wall_s for one in record.ranks if one.attempt == record.attempts)
    return min([*seen.starts, *own], default=None)


def _add_moments(attempt: Attempt, said: Mapping[str, Any]) -> Attempt:
    """Add what the scheduler told the job itself while it ran."""
    limit = said.get("limit_s")
    return replace(
        attempt,
        submit_wall_s=_moment(said.get("submit_wall_s")),
        eligible_wall_s=_moment(said.get("eligible_wall_s")),
        granted_wall_s=_moment(said.get("start_wall_s")) or attempt.granted_wall_s,
        limit_s=math.inf if limit == "UNLIMITED" else _moment(limit) or attempt.limit_s,
    )


def _add_entry(attempt: Attempt, entry: Mapping[str, Any] | None) -> Attempt:
    """Add what the accounting says: it was asked later, and knows the end."""
    if entry is None:
        return attempt
    used = entry.get("efficiency")
    limit = used.get("limit_s") if isinstance(used, dict) else None
    limit_s = math.inf if limit == "UNLIMITED" else _moment(limit)
    return replace(
        attempt,
        job=str(entry.get("job") or attempt.job),
        submit_wall_s=_moment(entry.get("submit_wall_s")) or attempt.submit_wall_s,
        eligible_wall_s=_moment(entry.get("eligible_wall_s")) or attempt.eligible_wall_s,
        granted_wall_s=_moment(entry.get("start_wall_s")) or attempt.granted_wall_s,
        job_end_wall_s=_moment(entry.get("end_wall_s")),
        limit_s=limit_s if limit_s is not None else attempt.limit_s,
        state=str(entry.get("state") or "").lower() or attempt.state,
    )


def _by_attempt(entries: Iterable[Any]) -> dict[int, Mapping[str, Any]]:
    """Return the entries by attempt; of a heterogeneous job's components the first."""
    found: dict[int, Mapping[str, Any]] = {}
    for one in entries:
        if isinstance(one, dict) and isinstance(one.get("attempt"), int):
            found.setdefault(one["attempt"], one)
    return found


def _moment(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value > 0 else None
