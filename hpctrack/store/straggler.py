"""What looking for stragglers gives."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from hpctrack.store.history import load_package
from hpctrack.store.ledger import describe_losses

SHOWN = 20
"""Stragglers in a `repr`; the object has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A time of slowness.

    Parameters
    ----------
    since_step : int
        The first slow step.
    since_wall_s : float
        When the last rank had logged it, UTC seconds.
    until_step : int or None
        The first step that was well again; None if it is slow to the end.
    until_wall_s : float or None
        When the last rank had logged that one.
    """

    since_step: int
    since_wall_s: float
    until_step: int | None = None
    until_wall_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """A slow rank, or a node most of whose ranks are slow at the same time.

    Parameters
    ----------
    kind : {"rank", "node"}
    rank : int or None
        None of a node.
    ranks : tuple of int
        The slow ones: of a node several.
    node : int
        Number of its node in the job; -1 if unknown.
    host : str
        Name of its node; empty if unknown.
    since_step, since_wall_s, until_step, until_wall_s
        Of the first and the last interval, see `Interval`.
    intervals : tuple of Interval
        All times of slowness; several if it came and went.
    slow_steps : int
        How many logged steps they have.
    factor : float
        How many times as long as the median of the ranks it took, typically, while slow.
    lost_s : float
        Seconds that the others waited for it, if they waited at every step: the sum, over the
        logged steps in which it was slow, of its time minus the median of the ranks; of a node its
        slowest rank's.
    score : float
        Robust standard deviations above the other ranks.
    confidence : float
        0 to 1; one minus a bound of the chance that a run without stragglers shows this.
    """

    kind: Literal["rank", "node"]
    rank: int | None
    ranks: tuple[int, ...]
    node: int
    host: str
    since_step: int
    since_wall_s: float
    until_step: int | None
    until_wall_s: float | None
    intervals: tuple[Interval, ...]
    slow_steps: int
    factor: float
    lost_s: float
    score: float
    confidence: float

    def __str__(self) -> str:
        """Say who, since when and how much."""
        where = f" on {self.host}" if self.host else ""
        who = f"rank {self.rank}{where}"
        if self.kind == "node":
            who = f"node {self.host or self.node} ({len(self.ranks)} ranks)"
        when = f"since step {self.since_step:,} ({_show_time(self.since_wall_s)})"
        if self.until_step is not None:
            when = f"from step {self.since_step:,} until {self.until_step:,}"
        if len(self.intervals) > 1:
            when += f", {len(self.intervals)} times"
        return f"{who}: {self.factor:.2f}x {when}, {self.lost_s:.3g} s lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentRank:
    """A rank that stopped logging while most others went on.

    Parameters
    ----------
    rank, node : int
        -1 for a node that is unknown.
    host : str
    last_step : int
        The last step that it logged.
    last_wall_s : float
        When, UTC seconds.
    """

    rank: int
    node: int
    host: str
    last_step: int
    last_wall_s: float


@dataclass(frozen=True, slots=True)
class Stragglers(Sequence[Straggler]):
    """The slow ranks and nodes of a run, what cost most first.

    Parameters
    ----------
    metric : str
        What was looked at.
    ranks, steps : int
        How many of them were compared.
    stragglers : tuple of Straggler
    silent : tuple of SilentRank
        Ranks that stopped logging.
    lost_s : float
        Seconds lost through the stragglers together; at a step the slowest one counts.
    waited_s : float
        Seconds between the median and the slowest rank of each step, summed over all steps,
        whoever the slowest was: what perfectly even ranks would save.
    reason : str
        Why nothing could be said; empty if it could.
    missing : tuple of str
        What of the run is missing, see `StoredRun.lost`.
    """

    metric: str
    ranks: int
    steps: int
    stragglers: tuple[Straggler, ...] = ()
    silent: tuple[SilentRank, ...] = ()
    lost_s: float = 0.0
    waited_s: float = 0.0
    reason: str = ""
    missing: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many ranks and nodes are named."""
        return len(self.stragglers)

    @overload
    def __getitem__(self, index: int) -> Straggler: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Straggler, ...]: ...
    def __getitem__(self, index: int | slice) -> Straggler | tuple[Straggler, ...]:
        """Return one of them, or several."""
        return self.stragglers[index]

    def __iter__(self) -> Iterator[Straggler]:
        """Iterate over them, what cost most first."""
        return iter(self.stragglers)

    def __repr__(self) -> str:
        """Say who is slow, or why nobody knows."""
        of = f"<hpctrack.Stragglers of {self.metric!r}, {self.ranks:,} ranks x {self.steps:,} steps"
        of += describe_losses(lambda: self.missing)
        if not self.stragglers and not self.silent and not self.reason:
            return f"{of}: none>"
        lines = [f"{of}: {self.reason or f'{len(self)} named, {self.lost_s:.3g} s lost'}>"]
        lines += [f"  {one}" for one in self.stragglers[:SHOWN]]
        if len(self) > SHOWN:
            lines.append(f"  and {len(self) - SHOWN} more")
        for one in self.silent[:SHOWN]:
            where = f" on {one.host}" if one.host else ""
            lines.append(f"  rank {one.rank}{where}: silent since step {one.last_step:,}")
        if len(self.silent) > SHOWN:
            lines.append(f"  and {len(self.silent) - SHOWN} more that are silent")
        return "\n".join(lines)

    def slow_ranks(self) -> list[int]:
        """Return all ranks that are slow, those of slow nodes too."""
        return sorted({rank for one in self.stragglers for rank in one.ranks})

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return dataclasses.asdict(self)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame with one row per straggler.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        names = [one.name for one in dataclasses.fields(Straggler) if one.name != "intervals"]
        rows = [[getattr(one, name) for name in names] for one in self.stragglers]
        frame = load_package("pandas").DataFrame(rows, columns=names)
        return frame.astype({"rank": "Int64", "until_step": "Int64"})


def _show_time(wall_s: float) -> str:
    moment = dt.datetime.fromtimestamp(wall_s, dt.UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")
