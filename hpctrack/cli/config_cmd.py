"""``hpctrack config``: every setting, its value, and where the value came from."""

from __future__ import annotations

import click
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import make_console
from hpctrack.cli.options import json_option, print_json
from hpctrack.core.settings import ENV_PREFIX, list_settings, load_settings


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
    if as_json:
        print_json({"settings": rows, "problems": [one.message for one in loaded.problems]})
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("setting", "value", "from", "what it is"):
            table.add_column(column)
        for row in rows:
            cells = (row["name"], row["value"], row["origin"], row["help"])
            table.add_row(*(escape(str(one)) for one in cells))
        make_console().print(table)
    if loaded.problems:
        raise loaded.problems[0]
