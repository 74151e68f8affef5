"""What was said of a stored run, by the names that it was said with; `StoredRun` inherits it."""

from __future__ import annotations

import abc
from typing import Any

from hpctrack.store.ledger import list_losses
from hpctrack.store.record import RunRecord, State


class DescribedRun(abc.ABC):
    """A run's description; rank 0's word, and of the summary the lowest rank's.

    Attributes
    ----------
    id, project : str
    """

    id: str
    project: str

    @property
    @abc.abstractmethod
    def brief(self) -> RunRecord:
        """The record as listings need it; `StoredRun` knows where it is."""

    @property
    @abc.abstractmethod
    def outline(self) -> RunRecord:
        """The record without what only its numbers tell."""

    @property
    def ledger(self) -> dict[str, Any]:
        """What was lost, as totals over all ranks; `lost` has it in words."""
        return self.outline.ledger

    @property
    def lost(self) -> tuple[str, ...]:
        """What of the run is missing, such as ``18,160 points dropped``; empty if nothing is.

        Rows that its files tell of and that are not there are among it, as soon as nobody writes
        the files any more.
        """
        return list_losses(self.ledger)

    @property
    def name(self) -> str:
        """The name people read."""
        return self.brief.name or self.id

    @property
    def state(self) -> State:
        """running, finished, failed, crashed or preempted."""
        return self.brief.state

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters, nested as the user gave them."""
        return self.brief.config

    @property
    def summary(self) -> dict[str, Any]:
        """Values that were set, and the last logged value of every other metric."""
        return self.brief.summary

    @property
    def tags(self) -> tuple[str, ...]:
        """Short labels."""
        return self.brief.tags

    @property
    def notes(self) -> str:
        """Free text."""
        return self.brief.notes

    @property
    def group(self) -> str:
        """The group, as ``init`` was told; empty if it was not."""
        return self.brief.group

    @property
    def job_type(self) -> str:
        """What the run does, such as ``train``; empty if nobody said."""
        return self.brief.job_type

    @property
    def user(self) -> str:
        """Whose program it was."""
        return self.brief.user
