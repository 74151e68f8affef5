"""``hpctrack show``: one run, with its ranks, warnings and losses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.accounting_view import describe_facts
from hpctrack.cli.format import (
    make_console,
    show_duration,
    show_synced,
    show_time,
    show_value,
    styled_state,
)
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.cli.usage_view import describe_usage, read_usage
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.fields import flatten
from hpctrack.core.names import clean
from hpctrack.scheduler.job_facts import read_slurm
from hpctrack.scheduler.others import read_other
from hpctrack.store.definitions import leave_out_hidden
from hpctrack.store.ledger import UNREADABLE
from hpctrack.store.record import RankRecord, RunRecord, State
from hpctrack.store.stored_run import StoredRun

SHOWN_RANKS = 16
"""Ranks that are listed when all is well; of larger runs only dead and failed ones are."""

SHOWN_BAD_RANKS = 32
"""Of more dead ranks the first ones are listed, and the rest is counted by node."""

SHOWN_HOSTS = 8
SHOWN_WARNINGS = 20
SHOWN_FILES = 4
SHOWN_POINTS = 60
SHOWN_ATTEMPTS = 8


@click.command()
@click.argument("run")
@store_option
@project_option
@click.option(
    "--carbon",
    default="WORLD",
    show_default=True,
    help="Country code (DE), or grams of CO2 per kWh: what the energy stands for.",
)
@json_option
def show(*, run: str, store: Path | None, project: str | None, carbon: str, as_json: bool) -> None:
    """Show one run: state, ranks, configuration, summary, what it used, what was lost.

    RUN is an id, project/id, a name, or the beginning of an id.

    \b
    Examples:
      hpctrack show 4711.0
      hpctrack show digits/lunar-harbor-998 --json
      hpctrack show 4711.0 --carbon DE
    """
    found = open_store(store).run(run, project=project)
    metrics = found.metric_sizes()
    usage, energy = read_usage(found, carbon)
    if as_json:
        print_json({**_entry(found, metrics), "usage": usage.to_json(energy)})
    else:
        _print(found, metrics, describe_usage(usage, energy))
    found.close()


def _entry(run: StoredRun, metrics: dict[str, int]) -> dict[str, Any]:
    return {
        **run.record.to_json(),
        "annotations": {key: one.to_json() for key, one in run.annotations.entries.items()},
        "accounting": run.accounting,
        "sealed": run.is_sealed,
        "synced_wall_s": run.synced_wall_s,
        "files": [path.name for path in run.files()],
        "metrics": metrics,
        "lost": run.lost,
    }


def _print(run: StoredRun, metrics: dict[str, int], used: dict[str, str]) -> None:
    console, record = make_console(), run.record
    synced = show_synced(run.synced_wall_s, SYSTEM_CLOCK.wall_s())
    title = (
        f"[bold]{escape(run.name)}[/] {escape(run.project)}/{run.id} {styled_state(record.state)}"
        + f" (as of {synced})" * bool(synced)
    )
    console.print(title)
    for key, value in _facts(record, [path.name for path in run.files()]).items():
        if value:
            console.print(f"  {key:<10}{escape(value)}")
    edited = max(run.annotations.entries.values(), key=lambda one: one.wall_s, default=None)
    if edited:
        by = f" by {edited.by}" if edited.by else ""
        console.print(f"  {'edited':<10}{escape(show_time(edited.wall_s) + by)}")
    _print_accounting(console, run.accounting)
    _print_ranks(console, record.ranks, record.size)
    _print_pairs(console, "config", flatten(record.config))
    _print_pairs(console, "summary", flatten(record.summary))
    if used:
        console.print("[bold]used[/]")
        for title, text in used.items():
            console.print(f"  {title:<12}{escape(clean(text))}")
    shown = leave_out_hidden(record.definitions, metrics)
    _print_pairs(console, "points", {name: metrics[name] for name in shown[:SHOWN_POINTS]})
    if len(shown) > SHOWN_POINTS:
        console.print(f"  ... and {len(shown) - SHOWN_POINTS:,} more metrics")
    if len(shown) < len(metrics):
        console.print(f"  ... and {len(metrics) - len(shown):,} hidden metrics; --json has all")
    _print_warnings(console, record.warnings)
    _print_pairs(console, "lost", {k: v for k, v in flatten(record.ledger).items() if v})
    if record.ledger.get(UNREADABLE):
        console.print(f"  `hpctrack verify {escape(run.project)}/{run.id}` says of which files")


def _facts(record: RunRecord, files: Sequence[str]) -> dict[str, str]:
    ended, fork = record.ended_wall_s, record.fork
    more = f" and {len(files) - SHOWN_FILES:,} more" if len(files) > SHOWN_FILES else ""
    return {
        "user": record.user,
        "created": show_time(record.created_wall_s),
        "duration": show_duration(ended - record.created_wall_s if ended else None),
        "ranks": f"{record.size:,} on {record.nodes:,} node(s), {record.launcher}",
        "attempts": str(record.attempts) if record.attempts > 1 else "",
        "fork of": f"{fork.get('run')} up to step {fork.get('step')}" if fork else "",
        "job": _describe_job(record.job),
        "sweep": f"{record.sweep} trial {record.trial}" if record.sweep else "",
        "group": record.group,
        "tags": ", ".join(record.tags),
        "notes": record.notes,
        "files": ", ".join(files[:SHOWN_FILES]) + more,
    }


def _describe_job(job: Mapping[str, str]) -> str:
    """Name the job and where it ran; a record holds a part of the environment."""
    facts = read_slurm(job) or read_other(job)
    if facts is None:
        return ""
    where = (("partition", facts.partition), ("account", facts.account), ("qos", facts.qos))
    words = [facts.shown_id] if facts.scheduler == "slurm" else [facts.scheduler, facts.shown_id]
    words += [f"step {facts.step_id}"] * bool(facts.step_id)
    told = [" ".join(words), *(f"{name} {value}" for name, value in where if value)]
    return clean(", ".join(told))


def _print_accounting(console: Console, accounting: Mapping[str, Any] | None) -> None:
    """Print what Slurm counted, an attempt a line, and what it suggests."""
    if accounting is None:
        return
    entries = accounting["attempts"][-SHOWN_ATTEMPTS:]
    for entry in entries:
        which = f"attempt {entry.get('attempt')}: " if len(accounting["attempts"]) > 1 else ""
        console.print(f"  {'slurm':<10}{escape(clean(which))}{escape(describe_facts(entry))}")
    advice = entries[-1].get("advice") if entries else ""
    if advice:
        console.print(f"  {'advice':<10}{escape(clean(str(advice)))}")


def _print_ranks(console: Console, ranks: Sequence[RankRecord], size: int) -> None:
    counts = Counter(rank.state for rank in ranks)
    missing = size - len(ranks)
    words = [f"{count:,} {styled_state(state)}" for state, count in sorted(counts.items())]
    unseen = [f"{missing:,} not seen"] * (missing > 0)
    console.print("[bold]ranks[/]  " + ", ".join(words + unseen))
    bad = [rank for rank in ranks if rank.state in {State.LOST, State.FAILED}]
    shown = ranks if len(ranks) <= SHOWN_RANKS else bad[:SHOWN_BAD_RANKS]
    if not shown:
        return
    has_gpus = any(rank.gpu for rank in shown)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "rank", "state", "host", "pid", *["gpu"] * has_gpus, "exit", "ended"):
        table.add_column(column)
    for rank in shown:
        exit_code = "-" if rank.exit_code is None else str(rank.exit_code)
        table.add_row(
            "",
            str(rank.rank),
            styled_state(rank.state),
            escape(rank.host),
            str(rank.pid),
            *[escape(rank.gpu)] * has_gpus,
            exit_code,
            show_time(rank.ended_wall_s) if rank.ended_wall_s else "-",
        )
    console.print(table)
    if len(ranks) > SHOWN_RANKS and len(bad) > len(shown):
        rest = bad[len(shown) :]
        hosts = Counter(rank.host for rank in rest)
        console.print(f"  ... and {len(rest):,} more on {_list_hosts(hosts)}")


def _list_hosts(hosts: Counter[str]) -> str:
    """Name the hosts with most ranks, and how many there are of the others."""
    named = [f"{escape(host)} ({count})" for host, count in hosts.most_common(SHOWN_HOSTS)]
    rest = len(hosts) - len(named)
    return ", ".join(named) + (f" and {rest:,} other hosts" if rest else "")


def _print_warnings(console: Console, warnings: Iterable[dict[str, Any]]) -> None:
    """Print each text once, however many ranks have said it; alerts before the rest."""
    groups: dict[tuple[bool, str, str], list[dict[str, Any]]] = {}
    for one in warnings:
        is_alert = one.get("code") == "alert"
        text = ": ".join(str(one[key]) for key in ("title", "text") if one.get(key))
        groups.setdefault((not is_alert, str(one.get("level", "warning")), text), []).append(one)
    ordered = sorted(groups.items(), key=lambda one: one[0][0])
    for (is_warning, level, text), group in ordered[:SHOWN_WARNINGS]:
        colour = {"info": "blue", "error": "red"}.get(level, "yellow")
        word = "warning" if is_warning else f"alert ({level})"
        said = clean(f"{_name_ranks(group)}{text}")
        console.print(f"[{colour}]{word}:[/] {escape(said)}")
    if len(ordered) > SHOWN_WARNINGS:
        console.print(f"  ... and {len(ordered) - SHOWN_WARNINGS:,} more; --json has all of them")


def _name_ranks(group: Sequence[dict[str, Any]]) -> str:
    ranks = sorted({int(one["rank"]) for one in group if one["rank"] >= 0})
    if not ranks:
        return ""
    others = f" and {len(ranks) - 1:,} others" if len(ranks) > 1 else ""
    return f"rank {ranks[0]}{others}: "


def _print_pairs(console: Console, title: str, values: dict[str, Any]) -> None:
    if not values:
        return
    console.print(f"[bold]{title}[/]")
    width = min(40, max(len(key) for key in values) + 2)
    for key, value in values.items():
        console.print(f"  {escape(key):<{width}}{escape(show_value(value))}")
