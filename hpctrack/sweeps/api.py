"""Sweeps from Python, in W&B's words: `sweep` makes one, `agent` runs its trials."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.settings import environment, load_settings
from hpctrack.errors import UsageError
from hpctrack.sweeps.sweep import load_sweep, make_sweep, store_sweep
from hpctrack.sweeps.worker.launch import as_agent
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker


def sweep(
    sweep: str | os.PathLike[str] | Mapping[str, Any],
    entity: str | None = None,
    project: str | None = None,
    prior_runs: object = None,
    *,
    store: str | os.PathLike[str] | None = None,
) -> str:
    """Make a sweep, and return its id.

    Parameters
    ----------
    sweep : dict, path or str
        What the sweep file holds, the file, or its text.
    entity : str, optional
        W&B's; means nothing here.
    project : str, optional
        Of the sweep's runs. Default: the configuration's, else the settings'.
    prior_runs : optional
        W&B's; the configuration's ``warm_start`` is what knows earlier trials here.
    store : path, optional
        Default: ``$HPCTRACK_DIR``, else ``./hpctrack-store``.

    Returns
    -------
    str
        For `agent`, ``hpctrack sweep agent`` and ``hpctrack sweep submit``. Programs that the
        sweep starts will start in the current folder.

    Raises
    ------
    SweepFileError
        The configuration cannot be understood.
    UsageError
        It is not one at all.
    StoreError
        The store cannot be written.

    Examples
    --------
    >>> import hpctrack, tempfile
    >>> config = {"method": "grid", "parameters": {"lr": {"values": [0.1, 0.2]}}}
    >>> len(hpctrack.sweep(config, project="digits", store=tempfile.mkdtemp()))
    8
    """
    del entity
    if prior_runs:
        raise UsageError("prior_runs is not supported", hint="use warm_start in the configuration")
    if not isinstance(sweep, (str, os.PathLike, Mapping)):
        raise UsageError(
            f"a sweep is a mapping, a path or text, not {type(sweep).__name__}",
            hint="see docs/reference/sweep-file.md",
        )
    settings = load_settings({"dir": store}).values
    made = make_sweep(settings.dir, sweep, project=project)
    if not project and not made.file.project:
        made = make_sweep(settings.dir, sweep, project=settings.project, sweep_id=made.id)
    return store_sweep(made).id


def agent(
    sweep_id: str,
    function: Callable[..., object] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
) -> None:
    """Run trials of a sweep here and now, one after the other, until none is left.

    Parameters
    ----------
    sweep_id : str
        The sweep's, or ``project/id``; what W&B puts before that is left out.
    function : callable, optional
        Called in this process once for each trial; `hpctrack.init` in it begins the trial's run,
        whose ``config`` has the parameters. Called with the parameters if it needs an argument.
        Default: the sweep's command is started, as ``hpctrack sweep agent`` does.
    entity : str, optional
        W&B's; means nothing here.
    project : str, optional
        Where to look for the sweep. Default: everywhere.
    count : int, optional
        At most so many trials.
    store : path, optional
        Default: ``$HPCTRACK_DIR``, else ``./hpctrack-store``.

    Raises
    ------
    NotFoundError
        There is no such sweep.
    UsageError
        An argument is wrong.
    SweepError
        The sweep has no program, and no function was given.

    Notes
    -----
    An error in the function is a failed trial: its traceback goes to stderr and to the trial's
    log, and the next trial begins. `hpctrack.Pruned` is a trial that ended early. Ctrl-C ends the
    trial and the agent. The run is finished after each call, if the function has not done so.

    Examples
    --------
    >>> import hpctrack, tempfile
    >>> store = tempfile.mkdtemp()
    >>> config = {"method": "grid", "parameters": {"lr": {"values": [0.1, 0.2]}}}
    >>> def train(parameters):
    ...     print("training with", parameters["lr"])
    >>> hpctrack.agent(hpctrack.sweep(config, store=store), train, store=store)
    training with 0.1
    training with 0.2
    """
    del entity
    if function is not None and not callable(function):
        raise UsageError(f"{function!r} is not a function")
    if count is not None and count < 1:
        raise UsageError(f"count is {count}", hint="at least 1")
    settings = load_settings({"dir": store}).values
    name = "/".join(sweep_id.split("/")[-2:])
    found = load_sweep(Path(settings.dir), name, project=project)
    environ = environment()
    if function is None:
        found.file.require_command()
        environ = as_agent(found, environ)
    run_worker(found, WorkerOptions(max_trials=count), function=function, environ=environ)
