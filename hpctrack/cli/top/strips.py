"""Rows of heat: ranks and GPUs against time, or one cell each. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hpctrack.cli.top.cells import (
    Glyphs,
    Line,
    Span,
    cut_text,
    find_range,
    join_spans,
    make_heat,
)
from hpctrack.cli.top.controls import Controls
from hpctrack.cli.top.model import (
    GPU_MEMORY,
    GPU_MEMORY_TOTAL,
    GPU_POWER,
    GPU_UTIL,
    ROWS_MAX,
    MetricTail,
    StreamKey,
)
from hpctrack.cli.top.rings import COLUMNS
from hpctrack.cli.top.screen import Row, Size
from hpctrack.cli.top.watched import WatchedRun
from hpctrack.cli.top.words import show_bytes, show_number, show_share, show_span, show_watts
from hpctrack.store.record import State

RANK_LABEL = 22
GPU_LABEL = 32
CELL_LABEL = 8
DEAD = "x"

GPU_SENSORS = {"util": GPU_UTIL, "memory": GPU_MEMORY, "power": GPU_POWER}


@dataclass(frozen=True, slots=True)
class Look:
    """What a screen is drawn from.

    Parameters
    ----------
    run : WatchedRun
    controls : Controls
    now_wall_s : float
    size : Size
    glyphs : Glyphs
    """

    run: WatchedRun
    controls: Controls
    now_wall_s: float
    size: Size
    glyphs: Glyphs

    @property
    def metric(self) -> str:
        """The chosen metric, or one that says something; empty if nothing is logged."""
        known = self.run.model.metrics
        if self.controls.metric in known:
            return self.controls.metric
        return self.run.model.step_metric() or next(iter(self.run.model.busiest_metrics(1)), "")

    @property
    def has_rows(self) -> bool:
        """Whether each rank has a row of its own."""
        return max(self.run.record.size, len(self.run.model.rank_step)) <= ROWS_MAX

    def hosts(self) -> dict[int, str]:
        """Return each rank's host."""
        return {one.rank: one.host for one in self.run.record.ranks}

    def dead(self) -> frozenset[int]:
        """Return the ranks that are lost or failed."""
        ranks = self.run.record.ranks
        return frozenset(one.rank for one in ranks if one.state in {State.LOST, State.FAILED})

    def strip_width(self, label: int) -> int:
        """Return how many columns of time fit beside a label."""
        return max(1, min(COLUMNS, self.size.width - label - 1))


def describe_scale(look: Look, what: str, low: float, high: float, width: int) -> Line:
    """Say what heat means: its range, and what a column is."""
    levels = look.glyphs.levels
    if math.isnan(low):
        return ((f" {what}", "bold"), ("  no number yet", "dim"))
    column_s = look.run.model.width_s
    time = f"  {show_span(width * column_s)}, {show_span(column_s)} a column" if width else ""
    return join_spans(
        [
            (f" {what} ", "bold"),
            (f" {show_number(low)} ", ""),
            (levels[0], "heat0"),
            (levels[4], "heat1"),
            (levels[7], "heat2"),
            (f" {show_number(high)}", ""),
            (time, "dim"),
        ]
    )


def draw_rank_rows(look: Look, name: str, ranks: Sequence[int]) -> tuple[Line, list[Row]]:
    """Draw a row for each rank: its last value, and its history."""
    model, width = look.run.model, look.strip_width(RANK_LABEL)
    tail, hosts, dead = model.metrics[name], look.hosts(), look.dead()
    last = model.newest_column(name)
    histories = {rank: tail.rings[rank].row(last, width) for rank in ranks if rank in tail.rings}
    low, high = find_range(value for one in histories.values() for value in one)
    rows = []
    for rank in ranks:
        label: list[Span] = [
            (f"{rank:>4} ", "bad" if rank in dead else "bold"),
            (f"{cut_text(hosts.get(rank, ''), 7, look.glyphs):<7} ", "dim"),
            (f"{_show_last(tail, rank):>8} ", "bad" if rank in dead else ""),
        ]
        heat = make_heat(histories.get(rank, ()), low, high, look.glyphs)
        rows.append(Row(join_spans([*label, *heat]), rank=rank))
    return describe_scale(look, name, low, high, width), rows


def draw_rank_cells(look: Look, name: str, ranks: Sequence[int]) -> tuple[Line, list[Row]]:
    """Draw one cell for each rank: its last value; ``x`` where it is gone."""
    tail, dead = look.run.model.metrics[name], look.dead()
    values = [_last(tail, rank) for rank in ranks]
    low, high = find_range(values)
    per_row = max(10, (look.size.width - CELL_LABEL - 1) // 10 * 10)
    rows = []
    for start in range(0, len(ranks), per_row):
        spans: list[Span] = [(f"{ranks[start]:>6,} ", "bold")]
        for rank, value in zip(
            ranks[start : start + per_row], values[start : start + per_row], strict=True
        ):
            is_dead = rank in dead
            heat = make_heat([value], low, high, look.glyphs) or ((look.glyphs.dot, "dim"),)
            spans += [(DEAD, "bad")] if is_dead else heat
        rows.append(Row(join_spans(spans), rank=ranks[start]))
    return describe_scale(look, name, low, high, 0), rows


def draw_gpu_rows(look: Look, gpus: Sequence[StreamKey]) -> tuple[Line, list[Row]]:
    """Draw a row for each GPU: what it does now, and the history of what was chosen."""
    model, width = look.run.model, look.strip_width(GPU_LABEL)
    sensor = GPU_SENSORS[look.controls.gpu_shown]
    last = model.column(look.now_wall_s)
    tails = model.sensors.get(sensor, {})
    histories = {
        key: ring.row(last, width, hold=model.hold)
        for key in gpus
        if key in tails and (ring := tails[key].ring) is not None
    }
    low, high = 0.0, 1.0
    if sensor != GPU_UTIL:
        high = max([find_range(one)[1] for one in histories.values()], default=math.nan)
    numbers = number_gpus(look.run.model.gpus())
    rows = []
    for key in gpus:
        util, memory, total, power = (
            read_gpu(look, key, one) for one in (GPU_UTIL, GPU_MEMORY, GPU_MEMORY_TOTAL, GPU_POWER)
        )
        where = f"{key.host}:{numbers[key]}"
        label: list[Span] = [
            (f"{cut_text(where, 9, look.glyphs):<9} ", "bold"),
            (f"{show_share(util):>4} ", "bad" if util < 0.05 else ""),  # noqa: PLR2004 - idle
            (f"{show_bytes(memory):>5}/{show_bytes(total):<5}", ""),
            (f"{show_watts(power):>5} ", ""),
        ]
        heat = make_heat(histories.get(key, ()), low, high, look.glyphs)
        rows.append(Row(join_spans([*label, *heat])))
    return describe_scale(look, f"GPU {look.controls.gpu_shown}", low, high, width), rows


def draw_gpu_cells(look: Look, gpus: Sequence[StreamKey]) -> list[Line]:
    """Draw one cell for each GPU, a line for each of what is measured."""
    lines = []
    room = max(1, look.size.width - 26)
    for word, sensor in GPU_SENSORS.items():
        values = [read_gpu(look, key, sensor) for key in gpus]
        there = [one for one in values if not math.isnan(one)]
        if not there:
            continue
        high = 1.0 if sensor == GPU_UTIL else max(there)
        heat = make_heat(values[:room], 0.0, high, look.glyphs)
        mean = sum(there) / len(there)
        said = {
            GPU_UTIL: f"mean {show_share(mean)}",
            GPU_MEMORY: f"max {show_bytes(max(there))}",
            GPU_POWER: f"sum {show_watts(sum(there))}",
        }[sensor]
        lines.append(join_spans([(f"  {word:<7}", "dim"), *heat, (f"  {said}", "")]))
    return lines


def number_gpus(gpus: Sequence[StreamKey]) -> dict[StreamKey, int]:
    """Return each GPU's number on its host, from 0."""
    counts: dict[str, int] = {}
    found = {}
    for key in gpus:
        found[key] = counts.get(key.host, 0)
        counts[key.host] = found[key] + 1
    return found


def read_gpu(look: Look, key: StreamKey, sensor: str) -> float:
    """Return what was last sampled of a GPU; its total memory may be told as a fact of it."""
    tail = look.run.model.sensors.get(sensor, {}).get(key)
    if tail is not None:
        return tail.current(look.now_wall_s)
    if sensor == GPU_MEMORY_TOTAL:
        facts = look.run.devices.get((key.host, key.device), {}).get("facts") or {}
        value = facts.get("memory_total_bytes")
        return float(value) if isinstance(value, int | float) else math.nan
    return math.nan


def _last(tail: MetricTail, rank: int) -> float:
    return tail.last[rank] if rank < len(tail.last) else math.nan


def _show_last(tail: MetricTail, rank: int) -> str:
    return show_number(_last(tail, rank)).replace("not finite", "NaN/Inf")
