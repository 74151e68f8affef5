"""The head of a run's screen: what it is, how far it is, what is wrong. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hpctrack.cli.format import show_time
from hpctrack.cli.top.cells import Glyphs, Line, Span, join_spans, make_bar
from hpctrack.cli.top.controls import VIEWS, Controls, View
from hpctrack.cli.top.list_screen import SILENT_S, STATE_COLOURS
from hpctrack.cli.top.watched import WatchedRun
from hpctrack.cli.top.words import count, show_rate, show_span
from hpctrack.scheduler.job_facts import read_slurm
from hpctrack.store.ledger import list_incidents, list_losses
from hpctrack.store.record import State

BAR_WIDTH = 16

TITLES = {
    View.OVERVIEW: "Overview",
    View.RANKS: "Ranks",
    View.GPUS: "GPUs",
    View.METRICS: "Values",
    View.SLOW: "sloW",
    View.ALERTS: "Alerts",
    View.CONSOLE: "Console",
}
"""The capital letter is the key."""


def make_head(
    run: WatchedRun, controls: Controls, now_wall_s: float, glyphs: Glyphs, width: int
) -> list[Line]:
    """Return the lines above a run's body; they may be wider than the terminal."""
    record = run.record
    attempt = f"  attempt {record.attempts}" if record.attempts > 1 else ""
    title: Line = (
        (f"{record.name or run.id}", "bold"),
        (f"  {run.project}/{run.id}  ", "dim"),
        (str(record.state).upper(), STATE_COLOURS.get(str(record.state), "")),
        (f" as of {show_time(run.synced_wall_s)}" if run.synced_wall_s else "", "dim"),
        (attempt, "accent"),
        (f"  {record.user}" if record.user else "", "dim"),
    )
    return [
        title,
        _make_progress(run, now_wall_s, glyphs),
        _make_troubles(run, now_wall_s, glyphs),
        _make_tabs(controls, width),
    ]


def find_limit(job: Mapping[str, str]) -> tuple[float, float] | None:
    """Return when the job began and when its time is up, UTC seconds, if Slurm has told."""
    facts = read_slurm(job)
    if facts is None or facts.start_wall_s is None or facts.end_wall_s is None:
        return None
    start, end = facts.start_wall_s, facts.end_wall_s
    return (start, end) if 0 < start < end < math.inf else None


def _make_progress(run: WatchedRun, now_wall_s: float, glyphs: Glyphs) -> Line:
    record, model = run.record, run.model
    started = min((one.started_wall_s for one in record.ranks), default=record.created_wall_s)
    until = record.ended_wall_s or now_wall_s
    limit = find_limit(record.job)
    spans: list[Span] = []
    if limit:
        start, end = limit
        share = (until - start) / (end - start)
        style = "bad" if share > 0.9 else ""  # noqa: PLR2004 - a tenth of the time is left
        spans = [
            (f"{show_span(until - start)} of {show_span(end - start)} ", style),
            (make_bar(share, BAR_WIDTH, glyphs), style or "accent"),
        ]
    else:
        spans = [(f"{show_span(until - started)}", "")]
    step = f"step {model.step:,}" if model.step >= 0 else "no step yet"
    rate = model.rate(now_wall_s)
    spans += [(f"  {step}  ", "bold"), (show_rate(rate), "warn" if rate == 0 else "")]
    spans.append((f"  {count(record.size, 'rank')} on {count(record.nodes, 'node')}", ""))
    return join_spans(spans)


def _make_troubles(run: WatchedRun, now_wall_s: float, glyphs: Glyphs) -> Line:
    record = run.record
    losses = list_losses(record.ledger)
    alerts = len(record.alerts)
    warnings = len(record.warnings) - alerts
    bad = [one for one in record.ranks if one.state in {State.LOST, State.FAILED}]
    missing = record.size - len(record.ranks)
    silent_s = now_wall_s - run.last_sign_wall_s
    spans: list[Span] = [
        (f"LOST: {', '.join(losses)}" if losses else "nothing lost", "bad" if losses else "dim"),
        (f" {glyphs.dot} ", "dim"),
        (count(alerts, "alert"), "bad" if alerts else "dim"),
        (", ", "dim"),
        (count(warnings, "warning"), "warn" if warnings else "dim"),
    ]
    if bad:
        spans.append((f" {glyphs.dot} {count(len(bad), 'rank')} lost or failed", "bad"))
    if missing > 0:
        spans.append((f" {glyphs.dot} {missing:,} not seen", "warn"))
    spans += [(f" {glyphs.dot} {one}", "warn") for one in list_incidents(record.ledger)]
    if record.state == State.RUNNING and silent_s > SILENT_S:
        spans.append((f" {glyphs.dot} silent for {show_span(silent_s)}", "bad"))
    return join_spans(spans)


def _make_tabs(controls: Controls, width: int) -> Line:
    spans: list[Span] = []
    views = list(VIEWS)
    # In a narrow terminal the first ones make room, so that the chosen one is seen.
    while sum(len(TITLES[one]) + 2 for one in views[: views.index(controls.view) + 1]) >= width:
        if views[0] is controls.view:
            break
        views.pop(0)
    for view in views:
        is_here = view is controls.view
        spans.append(
            (f"[{TITLES[view]}]" if is_here else f" {TITLES[view]} ", "tab" if is_here else "dim")
        )
    return join_spans(spans)
