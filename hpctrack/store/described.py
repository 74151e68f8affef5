"""What was said of a stored run, by the names that it was said with; `StoredRun` inherits it."""

from __future__ import annotations

import abc
from typing import Any

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
