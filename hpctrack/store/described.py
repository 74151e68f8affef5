"""What was said of a stored run, by the names that it was said with; `StoredRun` inherits it."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpctrack.core.layout import SEALED_NAME, iter_node_files
from hpctrack.store.accounting_file import read_accounting
from hpctrack.store.console import ConsoleText
from hpctrack.store.events import NodeEvents
from hpctrack.store.ledger import list_losses
from hpctrack.store.payloads import ByteSource
from hpctrack.store.record import RankRecord, RunRecord, State


class DescribedRun(abc.ABC):
    """A run's description; rank 0's word, and of the summary the lowest rank's.

    Attributes
    ----------
    id, project : str
    folder : Path
    """

    id: str
    project: str
    folder: Path

    @property
    @abc.abstractmethod
    def brief(self) -> RunRecord:
        """The record as listings need it; `StoredRun` knows where it is."""

    @property
    @abc.abstractmethod
    def plain_brief(self) -> RunRecord:
        """The brief as the job has said it, without what people have edited since."""

    @property
    @abc.abstractmethod
    def told(self) -> RunRecord:
        """The record without the last values of a run that is not sealed."""

    @property
    @abc.abstractmethod
    def record(self) -> RunRecord:
        """Everything but the numbers."""

    @property
    @abc.abstractmethod
    def is_listed(self) -> bool:
        """Whether the listing index knows the run as it is."""

    @property
    def summary(self) -> dict[str, Any]:
        """Values that were set, and the summary of every other metric."""
        return self.plain_brief.summary if self.is_listed else self.record.summary

    @property
    def accounting(self) -> dict[str, Any] | None:
        """What Slurm counted, as ``hpctrack sacct`` wrote it; None if nobody has asked yet."""
        return read_accounting(self.folder)

    def ranks(self) -> tuple[RankRecord, ...]:
        """Return the ranks of the latest attempt."""
        return self.told.ranks

    @property
    @abc.abstractmethod
    def ledger(self) -> dict[str, Any]:
        """What was lost, as totals over all ranks; `lost` has it in words."""

    @property
    def lost(self) -> tuple[str, ...]:
        """What of the run is missing, such as ``18,160 points dropped``; empty if nothing is.

        Rows that its files tell of and that are not there are among it, as soon as nobody writes
        the files any more.
        """
        return list_losses(self.ledger)

    def files(self) -> list[Path]:
        """Return the run's files: the sealed one first, then node files by attempt and node."""
        sealed = self.folder / SEALED_NAME
        return [sealed] * sealed.exists() + list(iter_node_files(self.folder))

    @abc.abstractmethod
    def _byte_sources(self) -> Sequence[tuple[NodeEvents, ByteSource]]:
        """Return what each file says with who can read the bytes that it tells of."""

    def console(self, rank: int | None = 0, stream: str | None = None) -> ConsoleText:
        """Return what a rank printed; iterating over it reads the lines.

        Parameters
        ----------
        rank : int or None
            None for all ranks.
        stream : {"stdout", "stderr"}, optional
            Default both.

        Raises
        ------
        UsageError
            There is no such stream.
        """
        return ConsoleText(self._byte_sources, rank=rank, stream=stream)

    @property
    def state(self) -> State:
        """running, finished, failed, crashed or preempted."""
        return self.plain_brief.state

    @property
    def config(self) -> dict[str, Any]:
        """Hyperparameters, nested as the user gave them."""
        return self.plain_brief.config

    @property
    def group(self) -> str:
        """The group, as ``init`` was told; empty if it was not."""
        return self.plain_brief.group

    @property
    def job_type(self) -> str:
        """What the run does, such as ``train``; empty if nobody said."""
        return self.plain_brief.job_type

    @property
    def user(self) -> str:
        """Whose program it was."""
        return self.plain_brief.user
