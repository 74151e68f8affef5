"""A trial that is a Python function, called in this process."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from hpctrack.client.session import finish
from hpctrack.core.settings import replaced_environment
from hpctrack.errors import Pruned
from hpctrack.sweeps.worker.child import ChildEnd, Watch
from hpctrack.sweeps.worker.printed import TAIL_LINES
from hpctrack.sweeps.worker.signals import SignalRelay

TURN_S = 0.05
_FAILED, _INTERRUPTED = 1, 130
_POSITIONAL = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


def call_function(
    function: Callable[..., object],
    parameters: Mapping[str, Any],
    environ: Mapping[str, str],
    watch: Watch,
    *,
    relay: SignalRelay | None = None,
) -> tuple[ChildEnd, str]:
    """Call a function as a trial's program; return how it ended, and what it said last.

    `hpctrack.init` in it finds the trial's environment; a run that it leaves open is finished. A
    thread looks after it meanwhile. It cannot be ended from outside: it is asked to stop, and goes
    on if it does not ask. Only Ctrl-C is raised in it, as Python does.

    Parameters
    ----------
    function : callable
        Called without arguments, as W&B does; with the parameters if it needs one argument.
    parameters : mapping
        The trial's, nested.
    environ : mapping
        The whole environment while it runs.
    watch : Watch
        Looks after it.
    relay : SignalRelay, optional
        Has Python's own way with Ctrl-C while the function runs.
    """
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            watch.turn(TURN_S)

    thread = threading.Thread(target=look, name="hpctrack-trial-watch", daemon=True)
    thread.start()
    try:
        with replaced_environment(environ):
            return _call(bind_parameters(function, parameters), relay)
    finally:
        over.set()
        thread.join()


def bind_parameters(
    function: Callable[..., object], parameters: Mapping[str, Any]
) -> Callable[[], object]:
    """Return a call without arguments: with the parameters, if the function needs one argument."""
    try:
        needed = [
            one
            for one in inspect.signature(function).parameters.values()
            if one.default is one.empty and one.kind in _POSITIONAL
        ]
    except (TypeError, ValueError):
        return function  # written in C: nobody can tell
    return partial(function, dict(parameters)) if needed else function


def _call(function: Callable[[], object], relay: SignalRelay | None) -> tuple[ChildEnd, str]:
    code = _FAILED
    try:
        with relay.interrupting() if relay is not None else nullcontext():
            function()
        code = 0
    except Pruned as end:
        code = 0
        return ChildEnd(code, gave_up=str(end) or "it raised Pruned"), ""
    except KeyboardInterrupt:
        code = _INTERRUPTED
        return ChildEnd(code, signal="SIGINT", was_stopped=True), ""
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except Exception:  # noqa: BLE001 - the trial's, not ours
        lines = traceback.format_exc().rstrip().splitlines()
        return ChildEnd(code, message=lines[-1]), "\n".join(lines[-TAIL_LINES:])
    finally:
        finish(code)
    return ChildEnd(code), ""
