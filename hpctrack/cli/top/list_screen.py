"""The runs that are going on, as a screen. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hpctrack.cli.format import STATE_STYLES
from hpctrack.cli.top.cells import Glyphs, Line, cut_text, find_level
from hpctrack.cli.top.controls import Choice, Controls
from hpctrack.cli.top.live import LiveRow
from hpctrack.cli.top.screen import Body, Picture, Row, Size, compose
from hpctrack.cli.top.words import count, show_rate, show_share, show_span

SILENT_S = 20.0
"""Agents give a sign of life every five seconds."""

IDLE_FRAC = 0.05

_ORDERS: dict[str, Callable[[LiveRow], Any]] = {
    "newest": lambda one: one.age_s,
    "rate": lambda one: -one.rate if not math.isnan(one.rate) else math.inf,
    "gpu": lambda one: one.gpu_util if not math.isnan(one.gpu_util) else math.inf,
    "silent": lambda one: -one.silent_s,
    "name": lambda one: (one.project, one.name),
}

STATE_COLOURS = {
    state: {"green": "good", "red": "bad", "yellow": "warn"}.get(colour, "accent")
    for state, colour in STATE_STYLES.items()
}


def draw_list(
    rows: Sequence[LiveRow],
    controls: Controls,
    size: Size,
    glyphs: Glyphs,
    *,
    whose: str,
    told: str = "",
) -> Picture:
    """Draw the list.

    Parameters
    ----------
    rows : sequence of LiveRow
    controls, size, glyphs
    whose : str
        The user whose runs these are; empty for everybody's.
    told : str, optional
        What went wrong when they were last looked for.
    """
    wanted = [one for one in rows if _fits(one, controls.filter)]
    wanted.sort(key=_ORDERS[controls.sort])
    of = f" of {whose}" if whose else ""
    gpus = sum(one.gpus for one in rows)
    head: list[Line] = [
        (
            ("hpctrack top ", "bold"),
            (f" {count(len(rows), 'run')}{of}, ", ""),
            (count(sum(one.ranks for one in rows), "rank"), ""),
            (f", {count(gpus, 'GPU')}" if gpus else "", ""),
        ),
        ((told, "bad"),),
    ]
    width = max(12, size.width - 64)
    columns = f"{'STATE':<9}{'AGE':>8}{'STEP':>11}{'RATE':>11}{'GPU':>6}{'NODES':>6}{'SIGN':>7}"
    top: Line = ((f"  {'RUN':<{width}} {columns}", "dim"),)
    empty = "nothing matches the filter" if rows else f"no run{of} is going on in this store"
    body = Body([top], [_make_row(one, width, glyphs) for one in wanted], empty)
    return compose(controls, head=head, body=body, choice=Choice(), size=size, glyphs=glyphs)


def _fits(row: LiveRow, wanted: str) -> bool:
    text = f"{row.project}/{row.id} {row.name} {row.user} {row.state}"
    return wanted.lower() in text.lower()


def _make_row(one: LiveRow, width: int, glyphs: Glyphs) -> Row:
    title = f"{one.project}/{one.name}"
    title += f" a{one.attempt}" if one.attempt > 1 else ""
    is_idle = one.gpu_util < IDLE_FRAC
    gpu = show_share(one.gpu_util)
    cell = "" if math.isnan(one.gpu_util) else glyphs.levels[find_level(one.gpu_util, 0.0, 1.0)]
    line: Line = (
        (f" {cut_text(title, width, glyphs):<{width}} ", "bold"),
        (f"{one.state:<9}", STATE_COLOURS.get(one.state, "")),
        (f"{show_span(one.age_s):>8}", ""),
        (f" {one.step:>10,}" if one.step >= 0 else f"{'-':>11}", ""),
        (f" {show_rate(one.rate, is_short=True):>10}", "warn" if not one.rate else ""),
        (f"{cell + gpu:>6}", "bad" if is_idle else ""),
        (f"{one.hosts:>6,}", ""),
        (f"{show_span(one.silent_s):>7}", "bad" if one.silent_s > SILENT_S else "dim"),
        (f" {one.alerts}!" if one.alerts else "", "bad"),
        (" lost" if one.lost else "", "bad"),
    )
    return Row(line, run=(one.project, one.id))
