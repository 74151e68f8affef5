"""How a list of sweeps looks in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from hpctrack.cli.format import show_time
from hpctrack.cli.sweep.results_view import make_table
from hpctrack.sweeps.sweep import Sweep


def print_sweeps(console: Console, sweeps: Sequence[Sweep]) -> None:
    """Print a table of sweeps."""
    table = make_table("project", "id", "name", "method", "trials", "created", "user")
    for one in sweeps:
        count = one.file.trial_count()
        table.add_row(
            escape(one.project),
            one.id,
            escape(one.name),
            one.file.method,
            "no end" if count is None else str(count),
            show_time(one.created_wall_s),
            escape(one.user),
        )
    console.print(table)
