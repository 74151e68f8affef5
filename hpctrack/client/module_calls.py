"""What of the current run may be called as ``hpctrack.alert(...)``, as in W&B.

Loaded when one of them is first used. Each raises `NotInitialisedError` before ``hpctrack.init``,
and is the business of the last run after its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpctrack.client.session import current_run

if TYPE_CHECKING:
    import datetime as dt

    from hpctrack.client.definitions import Definition


def alert(
    title: str,
    text: str = "",
    level: object = "INFO",
    wait_duration: float | dt.timedelta | None = None,
) -> None:
    """Record something that a person should see soon, see `Run.alert`. Per-rank."""
    current_run("alert").alert(title, text, level, wait_duration)


def define_metric(
    name: str,
    step_metric: str | Definition | None = None,
    *,
    summary: str | Sequence[str] | None = None,
    goal: str | None = None,
    hidden: bool | None = None,
    overwrite: bool | None = None,
    step_sync: bool | None = None,
) -> Definition:
    """Say how a metric is to be read, see `Run.define_metric`. Rank 0's word is recorded."""
    return current_run("define_metric").define_metric(
        name,
        step_metric,
        summary=summary,
        goal=goal,
        hidden=hidden,
        overwrite=overwrite,
        step_sync=step_sync,
    )


def log_code(
    root: str | os.PathLike[str] = ".",
    name: str | None = None,
    include_fn: Callable[..., bool] | None = None,
    exclude_fn: Callable[..., bool] | None = None,
) -> None:
    """Keep the program's code in the run, see `Run.log_code`. Rank 0's is recorded."""
    current_run("log_code").log_code(root, name, include_fn, exclude_fn)


def mark_preempting() -> None:
    """Say that this job is being preempted, see `Run.mark_preempting`. Any rank may."""
    current_run("mark_preempting").mark_preempting()


def request_sync() -> None:
    """Ask that the run be pushed soon, see `Run.request_sync`. Any rank may."""
    current_run("request_sync").request_sync()


def save(
    glob_str: str | os.PathLike[str],
    base_path: str | os.PathLike[str] | None = None,
    policy: str = "live",
) -> None:
    """Keep files in the run, see `Run.save`. Per-rank."""
    current_run("save").save(glob_str, base_path, policy)


def should_stop(*, agreed: bool | None = None) -> bool:
    """Tell whether somebody asked the run to end, see `Run.should_stop`. Per-rank."""
    return current_run("should_stop").should_stop(agreed=agreed)


def unwatch(models: object = None) -> None:
    """Stop watching some models, or all, see `Run.unwatch`. Per-rank."""
    current_run("unwatch").unwatch(models)


def watch(
    models: object,
    criterion: object = None,
    log: str | None = "gradients",
    log_freq: int = 1000,
    *,
    idx: int | None = None,
    log_graph: bool = False,
) -> None:
    """Log histograms of a model's gradients and parameters, see `Run.watch`. Per-rank."""
    current_run("watch").watch(models, criterion, log, log_freq, idx=idx, log_graph=log_graph)
