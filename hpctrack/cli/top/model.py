"""What is known of a run that is looked at: its newest numbers, in bounded memory. Pure."""

from __future__ import annotations

import math
import re
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hpctrack.cli.top.rings import COLUMNS, MeanRing, Ring
from hpctrack.store.node_tail import Point, Reading

ROWS_MAX = 80
"""More ranks have one cell each; fewer have a row with their newest history."""

WIDTH_MAX_S = 64.0
WINDOW_MAX_S = COLUMNS * WIDTH_MAX_S
"""How far back anybody looks: a little more than an hour."""

HOLD_S = 75.0
"""An unchanged sample is written once a minute: until then the last one counts."""

RATE_S = 60.0
"""The time over which the rate of steps is taken."""

USUAL_SHARE = 0.1
"""The weight of a new value in the mean that tells a slow rank: of about the last 20 values."""

METRICS_MAX = 2000
RINGS_MAX = 6000
"""Histories of single ranks, 4 MB; a run with more of them has those of the chosen metric only."""

GPU_UTIL, GPU_MEMORY, GPU_MEMORY_TOTAL, GPU_POWER = (
    "gpu/util_frac", "gpu/memory_used_bytes", "gpu/memory_total_bytes", "gpu/power_w",
)  # fmt: skip
CPU_UTIL, NODE_MEMORY, NODE_POWER = (
    "host/cpu_util_frac", "cgroup/memory_used_frac", "power/node_w",
)  # fmt: skip
WITH_HISTORY = frozenset({GPU_UTIL, GPU_MEMORY, GPU_POWER, CPU_UTIL, NODE_MEMORY, NODE_POWER})
KEPT = WITH_HISTORY | {GPU_MEMORY_TOTAL}
"""What some screen shows; of each rank nothing is, of which there may be 10,000."""

_DIGITS = re.compile(r"([0-9]+)")
_STEP_TIME = re.compile(r"(?:^|[/_.])(?:step|iter|iteration|batch)_?(?:time|duration)(?:_m?s)?$")


def split_numbers(name: str) -> list[tuple[int, str]]:
    """Return a key by which ``n2`` comes before ``n10``."""
    return [(int(one), "") if one.isdecimal() else (-1, one) for one in _DIGITS.split(name)]


class StreamKey(NamedTuple):
    """What a sample is of."""

    host: str
    device: str
    rank: int


@dataclass(slots=True)
class SensorTail:
    """The newest samples of one stream."""

    value: float = math.nan
    wall_s: float = 0.0
    ring: Ring | None = None

    def current(self, now_wall_s: float) -> float:
        """Return the value if it still counts, else NaN."""
        return self.value if now_wall_s - self.wall_s < HOLD_S else math.nan


class MetricTail:
    """The newest points of one metric.

    Attributes
    ----------
    last, usual : array of float
        By rank, NaN where there is none: the last value, and a mean over about 20 values.
    rings : dict
        By rank; empty for runs of more than `ROWS_MAX` ranks.
    mean : MeanRing
        Over all ranks.
    points : int
        How many were seen.
    """

    __slots__ = ("last", "mean", "points", "rings", "usual")

    def __init__(self) -> None:
        self.last = array("d")
        self.usual = array("d")
        self.mean = MeanRing()
        self.rings: dict[int, Ring] = {}
        self.points = 0

    def ranks(self) -> list[int]:
        """Return the ranks that have logged it."""
        return [rank for rank, value in enumerate(self.last) if not math.isnan(value)]

    def reduce(self) -> tuple[float, float, float]:
        """Return lowest, mean and highest of the ranks' last values; NaN if there are none."""
        finite = [one for one in self.last if math.isfinite(one)]
        if not finite:
            return math.nan, math.nan, math.nan
        return min(finite), sum(finite) / len(finite), max(finite)

    def put(self, rank: int, stretch: int, value: float, *, has_row: bool) -> None:
        """Take in a value; what is no number is marked as infinite, so that it is seen."""
        if rank >= len(self.last):
            more = array("d", [math.nan]) * (rank + 1 - len(self.last))
            self.last.extend(more)
            self.usual.extend(more)
        is_finite = math.isfinite(value)
        value = value if value == value else math.inf  # noqa: PLR0124 - NaN
        self.points += 1
        self.last[rank] = value
        if is_finite:
            before = self.usual[rank]
            is_first = before != before  # noqa: PLR0124 - NaN; this is called for each point
            self.usual[rank] = value if is_first else before + USUAL_SHARE * (value - before)
            self.mean.add(stretch, value)
        if has_row:
            ring = self.rings.get(rank)
            if ring is None:
                ring = self.rings[rank] = Ring()
            ring.put(stretch, value)


@dataclass(slots=True)
class RunModel:
    """One run.

    Parameters
    ----------
    width_s : float
        The time that a column stands for; it doubles as the run grows older.
    is_detailed : bool
        False for a row in a list: no metrics are kept.

    Attributes
    ----------
    chosen : str
        The metric whose history is kept for each rank whatever it costs.
    step : int
        The highest one of this attempt; -1 before the first.

    Notes
    -----
    Memory: half a kilobyte for each metric and rank of up to `ROWS_MAX` ranks, 16 bytes for more;
    1.5 kB for each GPU.
    """

    width_s: float = 1.0
    is_detailed: bool = True
    chosen: str = ""
    metrics: dict[str, MetricTail] = field(default_factory=dict)
    sensors: dict[str, dict[StreamKey, SensorTail]] = field(default_factory=dict)
    step: int = -1
    rank_step: array[int] = field(default_factory=lambda: array("q"))
    rank_wall_s: array[float] = field(default_factory=lambda: array("d"))
    ranks_seen: int = 0
    _ring_count: int = 0
    _progress: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=256))

    def take_points(self, points: Iterable[Point]) -> None:
        """Take in points, in the order of logging."""
        for name, rank, step, wall_s, value in points:
            self._note_step(rank, step, wall_s)
            if not self.is_detailed:
                continue
            tail = self.metrics.get(name)
            if tail is None:
                if len(self.metrics) >= METRICS_MAX:
                    continue
                tail = self.metrics[name] = MetricTail()
            may_grow = self._ring_count < RINGS_MAX or name == self.chosen
            has_row = self.ranks_seen <= ROWS_MAX and (may_grow or rank in tail.rings)
            self._ring_count += has_row and rank not in tail.rings
            tail.put(rank, int(wall_s // self.width_s), value, has_row=has_row)

    def take_samples(self, samples: Iterable[Reading]) -> None:
        """Take in samples; those that no screen shows are passed over."""
        for name, host, device, rank, wall_s, value in samples:
            if name not in KEPT:
                continue
            streams = self.sensors.setdefault(name, {})
            key = StreamKey(host, device, rank)
            tail = streams.get(key)
            if tail is None:
                tail = streams[key] = SensorTail(ring=Ring() if name in WITH_HISTORY else None)
            if tail.ring is not None:
                tail.ring.put(int(wall_s // self.width_s), value)
            tail.value, tail.wall_s = value, wall_s

    def widen(self, age_s: float) -> None:
        """Let columns stand for more time if the run does not fit any more."""
        while self.width_s < WIDTH_MAX_S and age_s > COLUMNS * self.width_s:
            self.width_s *= 2
            for ring in self._rings():
                ring.halve()

    def column(self, wall_s: float) -> int:
        """Return the number of the column that a time is in."""
        return int(wall_s // self.width_s)

    def newest_column(self, metric: str) -> int:
        """Return the last column in which a metric has a value."""
        return self.metrics[metric].mean.newest

    @property
    def hold(self) -> int:
        """For how many columns a sample counts."""
        return int(HOLD_S // self.width_s)

    def rate(self, now_wall_s: float) -> float:
        """Return steps per second, NaN if that cannot be told; 0 if nothing has come for long."""
        recent = [one for one in self._progress if one[0] > now_wall_s - RATE_S]
        if len(recent) < 2:  # noqa: PLR2004 - a rate is between two
            return 0.0 if self._progress and not recent else math.nan
        (first_s, first), (last_s, last) = recent[0], recent[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else math.nan

    def gpu_mean(self, name: str, now_wall_s: float) -> float:
        """Return the mean over the GPUs of what was last sampled; NaN if nothing was."""
        values = [
            value
            for key, tail in self.sensors.get(name, {}).items()
            if key.device and not math.isnan(value := tail.current(now_wall_s))
        ]
        return sum(values) / len(values) if values else math.nan

    def gpus(self) -> list[StreamKey]:
        """Return the GPUs that samples are of."""
        found = {
            StreamKey(key.host, key.device, -1)
            for name in (GPU_UTIL, GPU_MEMORY, GPU_POWER)
            for key in self.sensors.get(name, {})
            if key.device
        }
        return sorted(found, key=lambda one: (split_numbers(one.host), split_numbers(one.device)))

    def step_metric(self) -> str:
        """Return the metric that tells the time of a step; empty if none looks like it."""
        found = [name for name in self.metrics if _STEP_TIME.search(name)]
        return min(found, key=lambda name: (len(name), name), default="")

    def busiest_metrics(self, count: int) -> list[str]:
        """Return the metrics with most points, by name."""
        ordered = sorted(self.metrics, key=lambda name: (-self.metrics[name].points, name))
        return sorted(ordered[:count])

    def _note_step(self, rank: int, step: int, wall_s: float) -> None:
        if rank >= len(self.rank_step):
            count = rank + 1 - len(self.rank_step)
            self.rank_step.extend([-1] * count)
            self.rank_wall_s.extend([0.0] * count)
        if not self.rank_wall_s[rank]:
            self.ranks_seen += 1
            if self.ranks_seen == ROWS_MAX + 1:
                for tail in self.metrics.values():
                    tail.rings.clear()
        self.rank_step[rank] = step
        self.rank_wall_s[rank] = wall_s
        if step > self.step or not self._progress:
            self.step = step
            if not self._progress or wall_s - self._progress[-1][0] >= 0.5:  # noqa: PLR2004 - 256 reach back two minutes
                self._progress.append((wall_s, step))

    def rewind(self) -> None:
        """Begin to count steps anew: another attempt has begun."""
        self.step = -1
        self._progress.clear()

    def _rings(self) -> Iterator[Ring | MeanRing]:
        for metric in self.metrics.values():
            yield metric.mean
            yield from metric.rings.values()
        for streams in self.sensors.values():
            yield from (one.ring for one in streams.values() if one.ring is not None)
