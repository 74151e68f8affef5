"""hpctrack: the experiment tracker for machines that cannot phone home.

Importing it loads the standard library only; what needs more (`Store` and the reading objects)
is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpctrack._version import __version__
from hpctrack.client.run import Run
from hpctrack.client.session import current_run, finish, init, log, maybe_run

if TYPE_CHECKING:
    from hpctrack.client.config import Config, Summary
    from hpctrack.store.history import History
    from hpctrack.store.metric import Metric
    from hpctrack.store.store import Store
    from hpctrack.store.stored_run import StoredRun

    config: Config
    summary: Summary
    run: Run | None

__all__ = [
    "History",
    "Metric",
    "Run",
    "Store",
    "StoredRun",
    "__version__",
    "finish",
    "init",
    "log",
]
"""``config``, ``summary`` and ``run`` are the current run's: ``import *`` cannot have them."""

_LAZY = {
    "Store": "hpctrack.store.store",
    "StoredRun": "hpctrack.store.stored_run",
    "History": "hpctrack.store.history",
    "Metric": "hpctrack.store.metric",
}


def __getattr__(name: str) -> Any:
    """Load what is not loaded yet; ``config`` and ``summary`` are the current run's."""
    if name in {"config", "summary"}:
        return getattr(current_run(name), name)
    if name == "run":
        return maybe_run()
    if name in _LAZY:
        import importlib  # noqa: PLC0415 - only readers pay for it

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'hpctrack' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "config", "run", "summary"])
