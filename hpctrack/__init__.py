"""hpctrack: the experiment tracker for machines that cannot phone home.

Importing it loads the standard library only; what needs more is loaded when it is first used.
"""

from __future__ import annotations

from hpctrack.client.run import Run
from hpctrack.client.session import current_run, finish, init, log, maybe_run
from hpctrack.core import __version__
from hpctrack.errors import HpctrackError, Pruned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # noqa: I001 - media in two lines, not in fourteen
    from hpctrack.client import plot
    from hpctrack.client.alerts import AlertLevel
    from hpctrack.client.config import Config, Summary
    from hpctrack.client.plot import plot_table
    from hpctrack.client.media import (
        Audio, Classes, Figure, Histogram, Html, Image, Markdown, Molecule, Object3D, Table, Text,
        Video,
    )  # fmt: skip
    from hpctrack.client.module_calls import (
        alert, define_metric, log_code, mark_preempting, request_sync, save, should_stop, unwatch,
        watch,
    )  # fmt: skip
    from hpctrack.store.api import Api
    from hpctrack.store.grid import Grid
    from hpctrack.store.history import History
    from hpctrack.store.media_item import MediaItem
    from hpctrack.store.metric import Metric
    from hpctrack.store.store import Store
    from hpctrack.store.stored_run import StoredRun
    from hpctrack.store.straggler import Interval, SilentRank, Straggler, Stragglers
    from hpctrack.sweeps.api import agent, sweep
    from hpctrack.sweeps.results.sweep_results import sweep_results

    config: Config
    summary: Summary
    run: Run | None

Settings = dict  # W&B's word for what `init(settings=...)` takes; `hpctrack config` lists them

__all__ = [
    "AlertLevel", "Api", "Audio", "Classes", "Figure", "Grid", "Histogram", "History",
    "HpctrackError", "Html", "Image", "Interval", "Markdown", "MediaItem", "Metric", "Molecule",
    "Object3D", "Pruned", "Run", "Settings", "SilentRank", "Store", "StoredRun", "Straggler",
    "Stragglers", "Table", "Text", "Video", "__version__", "agent", "alert", "define_metric",
    "finish", "init", "log", "log_code", "mark_preempting", "plot", "plot_table", "request_sync",
    "save", "should_stop", "sweep", "sweep_results", "unwatch", "watch",
]  # fmt: skip
"""``config``, ``summary`` and ``run`` are the current run's: ``import *`` cannot have them."""

_LAZY = {
    "Api": "store.api", "Store": "store.store", "History": "store.history", "Grid": "store.grid",
    "StoredRun": "store.stored_run", "Metric": "store.metric", "MediaItem": "store.media_item",
    "AlertLevel": "client.alerts", "plot": "client.plot", "plot_table": "client.plot",
    **dict.fromkeys(("Interval", "SilentRank", "Straggler", "Stragglers"), "store.straggler"),
    **dict.fromkeys(("agent", "sweep"), "sweeps.api"),
    "sweep_results": "sweeps.results.sweep_results",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load what is not loaded yet, or find it in the current run."""
    if name in {"run", "config", "summary"}:
        return maybe_run() if name == "run" else getattr(current_run(name), name)
    if name not in __all__:
        raise AttributeError(f"module 'hpctrack' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - see above

    home = _LAZY.get(name, "client.module_calls" if name.islower() else "client.media")
    module = importlib.import_module(f"hpctrack.{home}")
    return module if name == "plot" else getattr(module, name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, *(("config", "summary") if maybe_run() else ()), "run"])
