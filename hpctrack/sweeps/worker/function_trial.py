"""A trial that is a Python function, called in this process: `hpctrack.agent` with a function."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpctrack.client.session import finish, maybe_run
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import ChangedEnvironment, environment
from hpctrack.sweeps.folder import SweepFolder
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialState, write_result
from hpctrack.sweeps.worker.trial import TrialEnd, describe_start, make_environment

_INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""


@dataclass(frozen=True, slots=True)
class FunctionEnd:
    """How a call ended.

    Parameters
    ----------
    state : TrialState
        finished, pruned, failed or stopped.
    exit_code : int
        As the program would have ended.
    message : str
        The last line of the traceback, or why it was pruned.
    tail : str
        The traceback.
    was_stopped : bool
        Whether somebody pressed Ctrl-C.
    """

    state: TrialState
    exit_code: int = 0
    message: str = ""
    tail: str = ""
    was_stopped: bool = False


def run_function(
    sweep: Sweep,
    number: int,
    function: Callable[..., object],
    *,
    environ: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TrialEnd:
    """Call a function as one trial and leave word of it in the sweep's folder.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    number : int
        Which.
    function : callable
        See `call`.
    environ : mapping, optional
        What the trial's environment is made from. Default: ours.
    clock : Clock, optional
        For tests.

    Returns
    -------
    TrialEnd
        Also if the function raises.
    """
    environ = environment() if environ is None else environ
    parameters = sweep.parameters(number)
    begun_mono_s = clock.mono_s()
    running = describe_start(number, environ, clock)
    write_result(sweep.folder, running)
    end = call(function, parameters, make_environment(sweep, number, parameters, environ))
    if end.tail:
        sys.stderr.write(end.tail)
        keep_tail(sweep.folder, number, end.tail)
    result = replace(
        running,
        state=end.state,
        exit_code=end.exit_code,
        message=end.message,
        ended_wall_s=clock.wall_s(),
        duration_s=clock.mono_s() - begun_mono_s,
        log_tail=end.tail,
    )
    write_result(sweep.folder, result)
    return TrialEnd(result, end.was_stopped)


def call(
    function: Callable[..., object], parameters: Mapping[str, Any], environ: Mapping[str, str]
) -> FunctionEnd:
    """Call a function with the environment of a trial, and finish the run that it has begun.

    Parameters
    ----------
    function : callable
        Called without arguments, as W&B does; with the parameters if it needs one argument.
    parameters : mapping
        The trial's.
    environ : mapping
        The environment while it runs; `hpctrack.init` reads it.
    """
    with ChangedEnvironment(environ):
        try:
            function(dict(parameters)) if _needs_argument(function) else function()
            end = FunctionEnd(TrialState.FINISHED)
        except KeyboardInterrupt:
            end = FunctionEnd(
                TrialState.STOPPED, _INTERRUPTED, message="interrupted", was_stopped=True
            )
        except SystemExit as error:
            end = _read_exit(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the next trial is another one
            tail = "".join(traceback.format_exception(error))
            message = tail.strip().rpartition("\n")[2]
            end = FunctionEnd(TrialState.FAILED, 1, message=message, tail=tail)
        if maybe_run() is not None:
            finish(end.exit_code)
    return end


def keep_tail(folder: SweepFolder, number: int, tail: str) -> None:
    """Append a traceback to a trial's log."""
    path = folder.log(number)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(tail)
    except OSError as error:
        sys.stderr.write(f"hpctrack: cannot write {path}: {error.strerror}\n")


def _read_exit(error: SystemExit) -> FunctionEnd:
    """Judge a ``sys.exit``, or `hpctrack.Pruned`, which is one and says a reason."""
    reason = getattr(error, "reason", None)
    if reason is not None:
        return FunctionEnd(TrialState.PRUNED, message=str(reason))
    code = error.code
    if code in {None, 0}:
        return FunctionEnd(TrialState.FINISHED)
    number = code if isinstance(code, int) else 1
    return FunctionEnd(TrialState.FAILED, number, message=f"sys.exit({code!r})")


def _needs_argument(function: Callable[..., object]) -> bool:
    """Tell whether a function cannot be called without an argument."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        one.default is one.empty and one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
        for one in parameters
    )
