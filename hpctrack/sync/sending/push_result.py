"""What a push did, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from hpctrack.store.ledger import list_losses
from hpctrack.sync.sending.candidates import Candidate, LeftRun, Skipped
from hpctrack.sync.wire.messages import ItemKind, Key, Outcome, Result
from hpctrack.sync.wire.refusal import describe


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a push is.

    Parameters
    ----------
    phase : {"connect", "read", "send"}
    name : str
        What is being worked on.
    done_bytes, total_bytes : int
        Sent, and to be sent; 0 before that is known.
    """

    phase: str
    name: str = ""
    done_bytes: int = 0
    total_bytes: int = 0


ProgressCallback = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Do nothing."""
    del progress


class Status(StrEnum):
    """What became of an item."""

    SENT = "sent"
    REPLACED = "replaced"
    """Sent, and it took the place of an older file of the same run."""
    GROWN = "grown"
    """New rows of a run that goes on were sent."""
    PRESENT = "present"
    SKIPPED = "skipped"
    REFUSED = "refused"
    WOULD_SEND = "would-send"


_STATUSES = {
    Outcome.PUBLISHED: Status.SENT,
    Outcome.REPLACED: Status.REPLACED,
    Outcome.APPENDED: Status.GROWN,
    Outcome.MERGED: Status.REPLACED,
    Outcome.PRESENT: Status.PRESENT,
    Outcome.REFUSED: Status.REFUSED,
}


def status_of(outcome: Outcome) -> Status:
    """Return what the other side's answer makes of an item."""
    return _STATUSES[outcome]


SAME_FILE = "same file"
"""The reason of what is present there because both sides look at one file, over a file system that
both see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """What became of one run or sweep.

    Parameters
    ----------
    key : Key
    status : Status
    size_bytes : int
        Of its file; 0 if it was not looked at.
    sha256 : str
        Of its file, or empty.
    reason : str
        Why it was skipped, the code with which it was refused, or `SAME_FILE`.
    text : str
        The same for people.
    ledger : dict
        Of a run that was sent, or would be: what of it is missing, see `RunRecord`.
    """

    key: Key
    status: Status
    size_bytes: int = 0
    sha256: str = ""
    reason: str = ""
    text: str = ""
    ledger: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, candidate: Candidate, status: Status) -> Self:
        """Make it from what was offered."""
        is_file = candidate.key.kind != ItemKind.LIVE
        return cls(
            key=candidate.key,
            status=status,
            size_bytes=candidate.stamp.size_bytes,
            sha256=candidate.digest if is_file else "",
        )

    @classmethod
    def of_same_file(cls, candidate: Candidate) -> Self:
        """Make it from a file that is the other side's, too: that confirms nothing."""
        return replace(cls.of(candidate, Status.PRESENT), sha256="", reason=SAME_FILE)

    @classmethod
    def of_result(cls, candidate: Candidate, result: Result) -> Self:
        """Make it from the other side's answer."""
        made = cls.of(candidate, status_of(result.outcome))
        if result.outcome != Outcome.REFUSED:
            return made
        return replace(made, reason=result.code, text=describe(result.code, result.facts))

    @classmethod
    def of_refusal(cls, candidate: Candidate, details: Mapping[str, Any]) -> Self:
        """Make it from what the other side has said instead of taking it."""
        facts = details.get("facts")
        shown = facts if isinstance(facts, dict) else {}
        code = str(details.get("code", ""))
        facts_shown = {str(key): one for key, one in shown.items() if isinstance(one, str | int)}
        made = cls.of(candidate, Status.REFUSED)
        return replace(made, reason=code, text=describe(code, facts_shown))

    @classmethod
    def of_failure(cls, candidate: Candidate, error: Exception) -> Self:
        """Make it from why it could not be read."""
        made = cls.of(candidate, Status.SKIPPED)
        text = str(getattr(error, "message", error))
        return replace(made, reason=Skipped.UNREADABLE, text=text)

    @classmethod
    def of_left(cls, left: LeftRun) -> Self:
        """Make it from a run that stayed here."""
        status = Status.WOULD_SEND if left.why == Skipped.TO_SEAL else Status.SKIPPED
        return cls(key=left.key, status=status, reason=left.why, text=left.text)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "project": self.key.project,
            "id": self.key.id,
            "status": self.status,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "reason": self.reason,
            "text": self.text,
            "lost": list_losses(self.ledger),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What a push did.

    Parameters
    ----------
    remote : str
        Where to.
    items : tuple of ItemResult
        Runs and sweeps, by project and id.
    size_bytes : int
        What was sent, without the protocol's own bytes.
    wire_bytes : int
        What was given to the connection, compressed and with the protocol's own.
    duration_s : float
        From the first connection to the last answer.
    """

    remote: str
    items: tuple[ItemResult, ...]
    size_bytes: int
    wire_bytes: int
    duration_s: float

    @property
    def runs(self) -> tuple[ItemResult, ...]:
        """What became of the runs."""
        return self.of_kind(ItemKind.RUN)

    @property
    def live(self) -> tuple[ItemResult, ...]:
        """What became of the node files of runs that go on."""
        return self.of_kind(ItemKind.LIVE)

    def of_kind(self, kind: ItemKind) -> tuple[ItemResult, ...]:
        """Return what became of everything of a kind."""
        return tuple(one for one in self.items if one.key.kind == kind)

    @property
    def sweeps(self) -> tuple[ItemResult, ...]:
        """What became of the sweeps' descriptions."""
        return self.of_kind(ItemKind.SWEEP)

    @property
    def accountings(self) -> tuple[ItemResult, ...]:
        """What became of what Slurm counted of the runs."""
        return self.of_kind(ItemKind.ACCOUNTING)

    @property
    def sent(self) -> int:
        """Number of runs that were sent."""
        return self._count(Status.SENT, Status.REPLACED)

    @property
    def present(self) -> int:
        """Number of runs that were there already."""
        return self._count(Status.PRESENT)

    @property
    def skipped(self) -> int:
        """Number of runs that were not sent: there already, running, or not readable."""
        return self._count(Status.PRESENT, Status.SKIPPED)

    @property
    def refused(self) -> int:
        """Number of runs that the other side did not take."""
        return self._count(Status.REFUSED)

    @property
    def would_send(self) -> int:
        """Number of runs that a push that is no dry run would send."""
        return self._count(Status.WOULD_SEND)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "remote": self.remote,
            "sent": self.sent,
            "skipped": self.skipped,
            "refused": self.refused,
            "would_send": self.would_send,
            "bytes": self.size_bytes,
            "wire_bytes": self.wire_bytes,
            "seconds": round(self.duration_s, 3),
            "grown": len({one.key.id for one in self.live if one.status == Status.GROWN}),
            "live": [one.to_json() for one in self.live],
            "annotations": [one.to_json() for one in self.of_kind(ItemKind.ANNOTATIONS)],
            "blobs": [one.to_json() for one in self.of_kind(ItemKind.BLOB)],
            "runs": [one.to_json() for one in self.runs],
            "sweeps": [one.to_json() for one in self.sweeps],
            "accounting": [one.to_json() for one in self.accountings],
        }

    def _count(self, *statuses: Status) -> int:
        return sum(one.status in statuses for one in self.runs)
