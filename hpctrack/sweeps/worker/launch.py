"""How the ranks of a trial are started in the allocation."""

from __future__ import annotations

from collections.abc import Mapping

from hpctrack.sweeps.sweep import Sweep


def make_launch(sweep: Sweep, environ: Mapping[str, str]) -> list[str]:
    """Return the words before a trial's command; none for a trial of one process."""
    del sweep, environ
    return []


def signal_ranks(environ: Mapping[str, str], number: int) -> bool:
    """Send a signal to the ranks; placeholder."""
    del environ, number
    return False
