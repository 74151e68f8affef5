"""``hpctrack server``: the dashboard, and what looks after the store that it shows."""

from __future__ import annotations

from copy import copy

import click

from hpctrack.cli.plugins import find_plugin, load_command, make_broken

PLUGIN = "server"
"""The entry point of the dashboard."""

SERVE = "serve"
"""What is done if no subcommand is named."""

SUBCOMMANDS = {
    "keys": "hpctrack.cli.server.keys_cmd",
    "quota": "hpctrack.cli.server.quota_cmd",
    "audit": "hpctrack.cli.server.audit_cmd",
    "gc": "hpctrack.cli.server.gc_cmd",
    "verify": "hpctrack.cli.server.verify_cmd",
    "reindex": "hpctrack.cli.server.reindex_cmd",
    "backup": "hpctrack.cli.server.backup_cmd",
}
"""Subcommand and the module with a click command of the same name. None of them needs bokeh."""


class ServerGroup(click.Group):
    """A group whose first subcommand is meant if none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the dashboard's command before its options."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [SERVE, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all subcommands, the one that is meant first."""
        del ctx
        return [SERVE, *SUBCOMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        del ctx
        if cmd_name == SERVE:
            return _load_dashboard()
        if cmd_name in SUBCOMMANDS:
            return load_command(SUBCOMMANDS[cmd_name], cmd_name)
        return None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the dashboard, which may stand here, before the subcommands."""
        dashboard = _load_dashboard()
        with click.Context(dashboard, info_name=SERVE, parent=ctx) as inner:
            found = [one.get_help_record(inner) for one in dashboard.get_params(inner)]
        with formatter.section("Options, without a command or of serve"):
            formatter.write_dl([one for one in found if one])
        self.format_commands(ctx, formatter)


def _load_dashboard() -> click.Command:
    found = find_plugin(PLUGIN) or make_broken(PLUGIN, "hpctrack_server")
    named = copy(found)
    named.name = SERVE
    return named


@click.group(cls=ServerGroup)
def server() -> None:
    """Serve the dashboard, or look after a store that others push to.

    Without a command it serves the dashboard, on this machine only, and only to who has the URL
    that it prints: `hpctrack server serve --help` tells more.

    \b
    Examples:
      hpctrack server                                      the runs of ./hpctrack-store
      hpctrack server --store /data/store --port 0         any free port
      hpctrack server keys add ana.pub --user ana --project digits --store /data/store
      hpctrack server audit --store /data/store --since 1d
      hpctrack server backup /backup/store --store /data/store
    """
