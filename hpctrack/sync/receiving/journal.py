"""What a connection leaves behind: lines in the server's log, and bytes on a project's bill."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.upkeep.audit import Action, Actor, AuditEvent, AuditLog
from hpctrack.sync.upkeep.quotas import QuotaGate
from hpctrack.sync.wire.messages import Key, Outcome, Result
from hpctrack.sync.wire.refusal import ItemRefusal

FLUSH_INTERVAL_S = 5.0
"""So long lines about rows of live runs wait; a receiver that is killed then loses them."""

_ACTIONS = {
    Outcome.PUBLISHED: Action.PUBLISHED,
    Outcome.REPLACED: Action.REPLACED,
    Outcome.MERGED: Action.MERGED,
    Outcome.APPENDED: Action.APPENDED,
    Outcome.REFUSED: Action.REFUSED,
}
"""What is already there is no event."""


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an item.

    Parameters
    ----------
    result : Result
    key : Key
    size_bytes : int
        What came of it.
    sha256 : str
        Of it; of the rows for a node file.
    grown_bytes : int
        How much more the store holds.
    """

    result: Result
    key: Key
    size_bytes: int = 0
    sha256: str = ""
    grown_bytes: int = 0


class Journal:
    """Writes the log and keeps the quotas; safe for several threads.

    Parameters
    ----------
    store_fd : int
        The store, open.
    policy : Policy
        Of this connection.
    actor : Actor
        Who is at the other end.
    clock : Clock

    Raises
    ------
    StoreFormatError
        The quotas are damaged: nobody knows how much may come in.
    OSError, StoreError
        The log cannot be written: nobody would know what came in.
    """

    def __init__(self, store_fd: int, policy: Policy, actor: Actor, clock: Clock) -> None:
        self._log = AuditLog(store_fd, actor, clock=clock)
        self._log.check()
        self._gate = QuotaGate(store_fd, policy.quota_bytes, clock=clock)
        self._lock = threading.Lock()
        self._clock = clock
        self._flushed_s = clock.mono_s() - FLUSH_INTERVAL_S
        self.problem = ""

    def check_room(self, key: Key, size_bytes: int) -> None:
        """Refuse what does not fit into the project's quota any more.

        Raises
        ------
        ItemRefusal
        """
        with self._lock:
            room_bytes = self._gate.room_bytes(key.project)
            if room_bytes is not None and size_bytes > room_bytes:
                quota_bytes = self._gate.limit_bytes(key.project) or 0
                raise ItemRefusal("quota", quota_bytes=quota_bytes, project=key.project)

    def note(self, events: Sequence[Event]) -> None:
        """Write what happened; a log that cannot be written does not undo it.

        Rows of live runs come every few seconds, and the disk needs longer for their line in the
        log than for them: their lines wait a while for company.
        """
        with self._lock:
            for one in events:
                if one.grown_bytes:
                    self._gate.add(one.key.project, one.grown_bytes)
                if _is_event(one):
                    self._log.add(_make_audit(one))
            only_rows = all(one.result.outcome == Outcome.APPENDED for one in events)
            now_s = self._clock.mono_s()
            if not only_rows or now_s - self._flushed_s >= FLUSH_INTERVAL_S:
                self._flushed_s = now_s
                self._flush()

    def close(self) -> None:
        """Write what waits."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        try:
            self._log.flush()
            self._gate.commit()
        except (OSError, HpctrackError) as error:
            self.problem = f"the log cannot be written: {error}"


def _is_event(event: Event) -> bool:
    return event.result.outcome in _ACTIONS


def _make_audit(event: Event) -> AuditEvent:
    return AuditEvent(
        _ACTIONS[event.result.outcome],
        event.key.project,
        event.key.kind,
        f"{event.key.id}/{event.key.part}" if event.key.part else event.key.id,
        event.size_bytes,
        event.sha256,
        event.result.code,
    )
