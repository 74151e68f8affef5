"""What the provider hands out: immutable, already small enough for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hpctrack.store.ledger import list_losses, shorten_losses
from hpctrack.store.record import RunRecord, State
from hpctrack_server.data.downsample import Band, FloatArray, NumberArray


class View(StrEnum):
    """How a chart shows the ranks of a run."""

    RANK = "rank"
    ALL = "all"
    BAND = "band"


class Axis(StrEnum):
    """What a chart's x axis is."""

    STEP = "step"
    TIME = "time"
    """Seconds since the run began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectFrame:
    """A project in a list."""

    name: str
    runs: int
    running: int
    broken: int
    last_wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenFrame:
    """A run that cannot be read, and why."""

    id: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFrame:
    """A run without its numbers.

    Parameters
    ----------
    record : RunRecord
        Everything but the numbers.
    version : int
        Grows whenever the run was seen to have changed; starts anew with each server.
    is_live : bool
        Something may still be written.
    now_wall_s : float
        When this was true, UTC seconds.
    is_archived, is_deleted : bool
        What people have marked it as.
    """

    record: RunRecord
    version: int
    is_live: bool
    now_wall_s: float
    is_archived: bool = False
    is_deleted: bool = False

    @property
    def duration_s(self) -> float:
        """How long the run took, or has taken so far."""
        return max(0.0, (self.record.ended_wall_s or self.now_wall_s) - self.record.created_wall_s)

    def row(self) -> dict[str, Any]:
        """Return the run as one flat row of a table.

        Facts, ``slurm.X``, ``config.X`` and ``summary.X``; what is not there is None, or absent.
        """
        one = self.record
        row: dict[str, Any] = {
            "id": one.id,
            "state": str(one.state),
            "name": one.name or one.id,
            "user": one.user,
            "created": one.created_wall_s,
            "ended": one.ended_wall_s,
            "duration": self.duration_s,
            "ranks": one.size,
            "nodes": one.nodes,
            "attempts": one.attempts,
            "lost": shorten_losses(list_losses(one.ledger)),
            "tags": one.tags,
            "notes": one.notes,
            "group": one.group,
            "job_type": one.job_type,
            "sweep": one.sweep,
            "trial": one.trial if one.trial >= 0 else None,
            "archived": self.is_archived,
            "deleted": self.is_deleted,
            "fork": one.fork.get("run"),
        }
        row.update(iter_slurm(one.job))
        row.update({f"config.{key}": value for key, value in iter_flat(one.config)})
        row.update({f"summary.{key}": value for key, value in iter_flat(one.summary)})
        return row


SLURM_KEYS = {
    "SLURM_JOB_ID": "job_id",
    "SLURM_JOB_NAME": "job_name",
    "SLURM_JOB_PARTITION": "partition",
    "SLURM_JOB_ACCOUNT": "account",
    "SLURM_JOB_QOS": "qos",
    "SLURM_JOB_NODELIST": "nodelist",
    "SLURM_ARRAY_JOB_ID": "array_job",
    "SLURM_ARRAY_TASK_ID": "array_task",
    "SLURM_CLUSTER_NAME": "cluster",
    "SLURM_RESTART_COUNT": "restarts",
    "SLURM_JOB_RESERVATION": "reservation",
    "SLURM_CPUS_PER_TASK": "cpus_per_task",
    "SLURM_MEM_PER_NODE": "mem_per_node",
    "SLURM_GPUS_ON_NODE": "gpus_on_node",
}
"""What the scheduler said in a job's environment, by the name of its column behind ``slurm.``."""

_NUMBERS = frozenset({"array_task", "restarts", "cpus_per_task", "mem_per_node", "gpus_on_node"})


def iter_slurm(job: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield the columns of what the scheduler said; counts as numbers."""
    for name, key in SLURM_KEYS.items():
        value = job.get(name)
        if value:
            is_count = key in _NUMBERS and str(value).isascii() and str(value).isdigit()
            yield f"slurm.{key}", int(value) if is_count and len(value) < 16 else str(value)  # noqa: PLR2004


def iter_flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested mappings as pairs of dotted key and value, in their order."""
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            pairs += iter_flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesQuery:
    """What a chart asks for.

    Parameters
    ----------
    metric : str
        As logged.
    view : View
        One rank, all ranks, or their mean in a band.
    rank : int
        For `View.RANK`.
    x : Axis
        Steps, or seconds since the run began.
    start, end : float or None
        The part of the x axis that is shown; None is open.
    width : int
        Buckets per line; each keeps its lowest and its highest value.
    """

    metric: str
    view: View = View.BAND
    rank: int = 0
    x: Axis = Axis.STEP
    start: float | None = None
    end: float | None = None
    width: int = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One rank's values, x never decreasing."""

    rank: int
    x: NumberArray
    y: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFrame:
    """What a chart draws.

    Parameters
    ----------
    query : SeriesQuery
        What was asked.
    version : int
        The run's, see `RunFrame`.
    ranks : int
        How many ranks have logged the metric.
    total : int
        Points (of a band: steps) in the part that was asked for.
    lines : tuple of Line
    band : Band or None
    """

    query: SeriesQuery
    version: int
    ranks: int
    total: int
    lines: tuple[Line, ...] = ()
    band: Band | None = None

    @property
    def drawn(self) -> int:
        """Points (of a band: steps) that are sent."""
        return sum(len(one.x) for one in self.lines) + (len(self.band) if self.band else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """How a watched run or project stands, for finding out what changed.

    Parameters
    ----------
    version : int or str
        Differs whenever something differs.
    state : State or None
        Of a run.
    is_live : bool
        Whether watching on makes sense.
    turns : str
        Of a project: differs whenever a run comes, goes, begins or ends, not when one logs.
    sizes : dict of str to int
        Points of each metric of a live run.
    """

    version: int | str
    state: State | None = None
    is_live: bool = True
    turns: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
