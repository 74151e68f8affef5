"""A run as a screen: ranks, GPUs, metrics, slow ranks, alerts, console, or all of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hpctrack.cli.top.cells import Line, cut_text, make_spark
from hpctrack.cli.top.controls import Choice, View
from hpctrack.cli.top.model import CPU_UTIL, GPU_UTIL, NODE_MEMORY, NODE_POWER, StreamKey
from hpctrack.cli.top.run_head import make_head
from hpctrack.cli.top.screen import Body, Picture, Row, compose
from hpctrack.cli.top.slow import find_silent, find_slow
from hpctrack.cli.top.strips import (
    Look,
    draw_gpu_cells,
    draw_gpu_rows,
    draw_rank_cells,
    draw_rank_rows,
    read_gpu,
)
from hpctrack.cli.top.words import count, show_number, show_share, show_span, show_watts
from hpctrack.core.names import clean
from hpctrack.store.console import show_line
from hpctrack.store.console_line import make_plain_line

NAME_WIDTH = 22
GLANCE_RANKS = 4
GLANCE_GPUS = 4
GLANCE_METRICS = 4
"""Rows of each in the overview of 24 lines; a taller screen has more."""

LEVEL_STYLES = {"info": "accent", "warning": "warn", "error": "bad"}


def draw_run(look: Look, *, is_only: bool) -> Picture:
    """Draw the chosen view of a run."""
    head = make_head(look.run, look.controls, look.now_wall_s, look.glyphs, look.size.width)
    body = _BODIES[look.controls.view](look, look.size.height - len(head) - 1)
    names = tuple(sorted(look.run.model.metrics))
    is_sorted = look.has_rows or look.controls.view is not View.RANKS
    return compose(
        look.controls if is_sorted else replace(look.controls, sorts=()),
        head=head,
        body=body,
        choice=Choice(metrics=names, is_only=is_only),
        size=look.size,
        glyphs=look.glyphs,
    )


def _draw_ranks(look: Look, _room: int) -> Body:
    name = look.metric
    if not name:
        return Body(empty="no metric has been logged yet")
    ranks = _sort_ranks(look, name)
    draw = draw_rank_rows if look.has_rows else draw_rank_cells
    scale, rows = draw(look, name, ranks)
    return Body([scale], rows, "no rank matches the filter")


def _sort_ranks(look: Look, name: str) -> list[int]:
    model, hosts = look.run.model, look.hosts()
    size = max(len(model.rank_step), look.run.record.size)
    wanted = look.controls.filter.lower()
    ranks = [one for one in range(size) if wanted in f"{one} {hosts.get(one, '')}".lower()]
    sort = look.controls.sort
    if not look.has_rows or sort not in {"highest", "lowest", "behind"}:
        return ranks
    last = model.metrics[name].last
    steps = model.rank_step

    def measure(rank: int) -> float:
        if sort == "behind":
            return steps[rank] if rank < len(steps) else -1
        value = last[rank] if rank < len(last) else math.nan
        if math.isnan(value):
            return math.inf
        return -value if sort == "highest" else value

    return sorted(ranks, key=measure)


def _draw_gpus(look: Look, _room: int) -> Body:
    gpus = _sort_gpus(look)
    if not look.run.model.gpus():
        return Body(empty="no GPU of this run has been sampled")
    scale, rows = draw_gpu_rows(look, gpus)
    return Body([scale, *_draw_nodes(look)], rows, "no GPU matches the filter")


def _sort_gpus(look: Look) -> list[StreamKey]:
    wanted = look.controls.filter.lower()
    gpus = [one for one in look.run.model.gpus() if wanted in f"{one.host} {one.device}".lower()]
    if look.controls.sort == "place":
        return gpus
    sign = 1 if look.controls.sort == "idle" else -1

    def measure(key: StreamKey) -> float:
        util = read_gpu(look, key, GPU_UTIL)
        return math.inf if math.isnan(util) else sign * util

    return sorted(gpus, key=measure)


def _draw_nodes(look: Look) -> list[Line]:
    """Say how busy the nodes' processors, memory and meters are, if that is measured."""
    words = []
    for text, sensor, show in (
        ("CPU", CPU_UTIL, show_share),
        ("memory", NODE_MEMORY, show_share),
        ("power", NODE_POWER, show_watts),
    ):
        tails = look.run.model.sensors.get(sensor, {})
        values = [
            value for one in tails.values() if not math.isnan(value := one.current(look.now_wall_s))
        ]
        if values:
            mean = f"{text} {show(sum(values) / len(values))}"
            words.append(mean + (f" (max {show(max(values))})" if len(values) > 1 else ""))
    return [((f" nodes: {', '.join(words)}", ""),)] if words else []


def _draw_metrics(look: Look, _room: int) -> Body:
    model = look.run.model
    wanted = look.controls.filter.lower()
    names = sorted(name for name in model.metrics if wanted in name.lower())
    if look.controls.sort == "points":
        names.sort(key=lambda name: -model.metrics[name].points)
    width = min(look.size.width - 2, 100)
    name_width = max(NAME_WIDTH, width - 62)
    top: Line = (
        (f"  {'metric':<{name_width}}{'lowest':>9}{'mean':>9}{'highest':>9}  newest", "dim"),
    )
    rows = [_make_metric_row(look, name, name_width) for name in names]
    return Body(
        [top], rows, "nothing matches" if model.metrics else "no metric has been logged yet"
    )


def _make_metric_row(look: Look, name: str, name_width: int) -> Row:
    tail = look.run.model.metrics[name]
    width = max(1, min(60, look.size.width - name_width - 31))
    lowest, mean, highest = tail.reduce()
    style = "bad" if any(math.isinf(one) for one in tail.last) else ""
    spark = make_spark(tail.mean.row(tail.mean.newest, width), look.glyphs)
    title = cut_text(clean(name), name_width - 1, look.glyphs)
    return Row(
        (
            (f" {title:<{name_width}}", "select" if name == look.metric else "bold"),
            (f"{show_number(lowest):>9}{show_number(mean):>9}{show_number(highest):>9}  ", style),
            (spark, "heat1"),
        ),
        metric=name,
    )


def _draw_slow(look: Look, _room: int) -> Body:
    rows = [*_list_slow(look), *_list_silent(look)]
    name = look.run.model.step_metric()
    said = (
        f"{name}, mean of about the last 20 values, against the median of the ranks"
        if name
        else ("no metric is called step_time or the like; log what each rank does alone")
    )
    top: Line = ((f" {said}", "dim"),)
    advice: Line = ((f" since when, and what it cost: hpctrack stragglers {look.run.id}", "dim"),)
    return Body([top, advice], rows, "no rank is slow or silent now")


def _list_slow(look: Look) -> list[Row]:
    name = look.run.model.step_metric()
    if not name:
        return []
    usual, hosts = look.run.model.metrics[name].usual, look.hosts()
    return [
        Row(
            (
                (f"rank {one.rank:<6}", "bold"),
                (f"{hosts.get(one.rank, ''):<12} ", "dim"),
                (f"{one.factor:.2f}x", "bad"),
                (f"  {show_number(usual[one.rank])} a step", ""),
            ),
            rank=one.rank,
        )
        for one in find_slow(usual)
    ]


def _list_silent(look: Look) -> list[Row]:
    model, hosts = look.run.model, look.hosts()
    if not look.run.is_running:
        return []
    return [
        Row(
            (
                (f"rank {one.rank:<6}", "bold"),
                (f"{hosts.get(one.rank, ''):<12} ", "dim"),
                (f"silent for {show_span(one.silent_s)}", "bad"),
                (f", at step {one.step:,}", ""),
            ),
            rank=one.rank,
        )
        for one in find_silent(model.rank_wall_s, model.rank_step, look.now_wall_s)
    ]


def _draw_alerts(look: Look, _room: int) -> Body:
    return Body(rows=_list_alerts(look), empty="no alerts, no warnings")


def _list_alerts(look: Look) -> list[Row]:
    """List alerts first, then warnings, each the newest first and each text once."""
    groups: dict[tuple[bool, str, str], list[dict[str, Any]]] = {}
    ordered = sorted(look.run.record.warnings, key=lambda one: -float(one.get("wall_s") or 0.0))
    for one in ordered:
        text = ": ".join(str(one[key]) for key in ("title", "text") if one.get(key))
        is_warning = one.get("code") != "alert"
        groups.setdefault((is_warning, str(one.get("level", "warning")), text), []).append(one)
    rows = []
    for (is_warning, level, text), group in sorted(groups.items(), key=lambda one: one[0][0]):
        ranks = sorted({int(one.get("rank", -1)) for one in group} - {-1})
        who = "" if not ranks else f"rank {ranks[0]}" + (f" +{len(ranks) - 1}" * (len(ranks) > 1))
        age_s = look.now_wall_s - float(group[0].get("wall_s") or look.now_wall_s)
        word = level if is_warning else f"ALERT {level}"
        rows.append(
            Row(
                (
                    (f"{show_span(max(age_s, 0)):>7} ", "dim"),
                    (f"{word} ", LEVEL_STYLES.get(level, "warn")),
                    (f"{who} " if who else "", "bold"),
                    (clean(text), ""),
                ),
                rank=ranks[0] if ranks else None,
            )
        )
    return rows


def _draw_console(look: Look, room: int) -> Body:
    rank = look.controls.rank
    top: Line = ((f" what rank {rank} printed", "bold"), ("  left, right: another rank", "dim"))
    wanted = look.controls.filter
    lines = [make_plain_line(show_line(one)) for one in look.run.console]
    shown = [one for one in lines if wanted in one][-(room - 1) :]
    rows = [Row(((one, ""),)) for one in shown]
    return Body([top], rows, "nothing that it printed is recorded", has_cursor=False)


def _draw_overview(look: Look, room: int) -> Body:
    more = max(0, room - 19) // 3
    lines: list[Line] = [
        *_glance_ranks(look, GLANCE_RANKS + more),
        *_glance_gpus(look, GLANCE_GPUS + more),
        *_glance_metrics(look, GLANCE_METRICS + more),
        *_glance_troubles(look),
    ]
    return Body(rows=[Row(one) for one in lines], empty="nothing has been logged", has_cursor=False)


def _glance_ranks(look: Look, rows_max: int) -> list[Line]:
    name = look.metric
    if not name:
        return []
    ranks = _sort_ranks(look, name)
    if look.has_rows and len(ranks) <= rows_max:
        scale, rows = draw_rank_rows(look, name, ranks)
    else:
        scale, rows = draw_rank_cells(look, name, ranks)
    hidden = len(rows) - rows_max
    more: list[Line] = (
        [((f"        {count(hidden, 'more line')}: r", "dim"),)] if hidden > 0 else []
    )
    return [scale, *[_indent(one.line) for one in rows[:rows_max]], *more]


def _glance_gpus(look: Look, rows_max: int) -> list[Line]:
    gpus = look.run.model.gpus()
    if not gpus:
        return _draw_nodes(look)
    if len(gpus) <= rows_max:
        scale, rows = draw_gpu_rows(look, gpus)
        return [scale, *[_indent(one.line) for one in rows], *_draw_nodes(look)]
    return [
        ((f" {count(len(gpus), 'GPU')}", "bold"),),
        *draw_gpu_cells(look, gpus),
        *_draw_nodes(look),
    ]


def _glance_metrics(look: Look, rows_max: int) -> list[Line]:
    names = look.run.model.busiest_metrics(rows_max)
    rows = [_indent(_make_metric_row(look, name, NAME_WIDTH).line) for name in names]
    title: Line = (
        (f"  {'values':<{NAME_WIDTH}}{'lowest':>9}{'mean':>9}{'highest':>9}  newest", "dim"),
    )
    return [title, *rows] if rows else []


def _glance_troubles(look: Look) -> list[Line]:
    found: Sequence[Row] = [*_list_slow(look)[:1], *_list_silent(look)[:1], *_list_alerts(look)[:2]]
    return [_indent(one.line) for one in found]


def _indent(line: Line) -> Line:
    return ((" ", ""), *line)


_BODIES: dict[View, Callable[[Look, int], Body]] = {
    View.OVERVIEW: _draw_overview,
    View.RANKS: _draw_ranks,
    View.GPUS: _draw_gpus,
    View.METRICS: _draw_metrics,
    View.SLOW: _draw_slow,
    View.ALERTS: _draw_alerts,
    View.CONSOLE: _draw_console,
}
