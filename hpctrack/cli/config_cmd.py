"""``hpctrack config``: every setting, its value, and where the value came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.agents.job_cancel import make_cancel_command
from hpctrack.agents.job_end import JobEnd
from hpctrack.cli.format import make_console
from hpctrack.cli.options import json_option, print_json
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.rule_reading import load_rules
from hpctrack.core.rules import CANCEL, TIME_LEFT, Rule
from hpctrack.core.settings import (
    ENV_PREFIX,
    RULES,
    Settings,
    environment,
    list_settings,
    load_settings,
)


@click.command("config")
@json_option
def config_(*, as_json: bool) -> None:
    """Show all settings, where each value comes from, and what is wrong.

    Set them in the environment (HPCTRACK_...), in hpctrack.toml in the working folder or above, in
    ~/.config/hpctrack/hpctrack.toml, or in /etc/hpctrack.toml; the first of these wins.

    \b
    Examples:
      hpctrack config
      HPCTRACK_SEAL=manual hpctrack config --json
    """
    loaded = load_settings()
    rows = [
        {
            "name": name,
            "value": getattr(loaded.values, name),
            "origin": loaded.origins[name],
            "environment": f"{ENV_PREFIX}{name.upper()}",
            "help": one.help,
        }
        for name, one in list_settings().items()
    ]
    rules = list(load_rules(loaded.values.rules))
    obstacles = {one.name: _find_obstacles(one, loaded.values, environment()) for one in rules}
    if as_json:
        told = [
            {**one.to_json(), "holds_when": one.describe(), "obstacles": obstacles[one.name]}
            for one in rules
        ]
        problems = [one.message for one in loaded.problems]
        print_json({"settings": rows, "rules": told, "problems": problems})
    else:
        console = make_console()
        _print_table(
            console,
            ("setting", "value", "from", "what it is"),
            ((row["name"], _show(row), row["origin"], row["help"]) for row in rows),
        )
        if rules:
            _print_rules(console, rules, obstacles)
    if loaded.problems:
        raise loaded.problems[0]


def _show(row: Mapping[str, Any]) -> object:
    if row["name"] == RULES and row["value"]:
        return "see below"
    return row["value"]


def _print_table(
    console: Console, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(escape(str(one)) for one in row))
    console.print(table)


def _print_rules(
    console: Console, rules: Sequence[Rule], obstacles: Mapping[str, Sequence[str]]
) -> None:
    """Print the rules that are in force here, and what they would miss on this machine."""
    console.print()
    _print_table(
        console,
        ("rule", "holds when", "do", "once in each"),
        ((one.name, one.describe(), ", ".join(one.do), one.once) for one in rules),
    )
    for name, texts in obstacles.items():
        for text in texts:
            console.print(f"[yellow]{escape(name)}:[/] {escape(text)}")


def _find_obstacles(rule: Rule, settings: Settings, environ: Mapping[str, str]) -> list[str]:
    found = []
    if CANCEL in rule.do and make_cancel_command(environ) is None:
        found.append("cancel does nothing here: no job, or no command of its scheduler")
    if rule.subject == TIME_LEFT:
        end = JobEnd(environ, clock=SYSTEM_CLOCK, told_wall_s=settings.job_end_wall_s)
        if end.is_unknown:
            found.append("nobody tells here when the job ends: set job_end_wall_s")
    return found
