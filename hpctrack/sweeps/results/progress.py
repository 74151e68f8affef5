"""How a sweep stands, in one small file that travels: who is elsewhere has no other of its files.

The workers of a sweep write thousands of small files, which never leave the cluster. Before a push
they are summed up in ``progress.json`` beside the sweep's description. ADR 0023.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpctrack.core.fields import pick_fields
from hpctrack.core.layout import PROGRESS_NAME, TAKEN_NAME
from hpctrack.core.wire import make_plain
from hpctrack.errors import StoreFormatError, SweepError
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.folder import SweepFolder, read_json, write_json
from hpctrack.sweeps.request import Taken, read_taken
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.submission_record import read_submissions
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialResult, TrialState

FORMAT = 1

TOLD_FIELDS = (
    "exit_code", "signal", "message", "host", "job", "attempt", "failures", "worker", "why",
    "started_wall_s", "ended_wall_s", "duration_s", "earlier_s", "cpus", "gpus", "iterations",
    "pace_s", "command",
)  # fmt: skip
"""Of what a trial says; what is as it would be by default is left out."""

TAIL_CHARS = 600
"""Of what a failed trial printed last."""

_CALCULATED = frozenset({"grid", "random"})
"""Methods whose points everybody can work out."""

_SOURCES = ("trials", "submissions", "points", "control.json", TAKEN_NAME)

STILL_S = 2.0
"""Files that have changed so lately may change again without another time on them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What ``progress.json`` says.

    Parameters
    ----------
    trials : tuple of TrialStatus
    wish : Wish
        What was wished of the workers.
    wisher : str
    submissions : tuple of dict
        ``number``, ``executor``, ``tasks``, ``submitted_wall_s``.
    taken : Taken or None
        The last request that came to the sweep.
    wall_s : float
        When this file came, UTC seconds.
    """

    trials: tuple[TrialStatus, ...]
    wish: Wish = Wish.RUN
    wisher: str = ""
    submissions: tuple[dict[str, Any], ...] = ()
    taken: Taken | None = None
    wall_s: float = 0.0


def is_current(folder: SweepFolder) -> bool:
    """Tell whether ``progress.json`` says the last word: all is over, and nobody wrote since."""
    path = folder.path / PROGRESS_NAME
    try:
        told_s = path.stat().st_mtime
        sources = [folder.path / name for name in _SOURCES]
        last_s = max((one.stat().st_mtime for one in sources if one.exists()), default=0.0)
        if last_s > told_s - STILL_S:
            return False
        trials = read_json(path)["trials"]
        return all(TrialState(one["state"]).is_final for one in trials)
    except (OSError, StoreFormatError, KeyError, TypeError, ValueError):
        return False


def list_submissions(sweep: Sweep) -> tuple[dict[str, Any], ...]:
    """Return when workers were asked for, as it travels."""
    return tuple(
        {
            "number": one.number,
            "executor": one.executor,
            "tasks": one.tasks or len(one.workers),
            "submitted_wall_s": one.submitted_wall_s,
        }
        for one in read_submissions(sweep)
    )


def write_progress(status: SweepStatus) -> bool:
    """Write how a sweep stands beside its description; return whether that is news.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    sweep = status.sweep
    control, taken = read_control(sweep.folder), read_taken(sweep.folder)
    told = {
        "format": FORMAT,
        "wish": control.wish.value,
        "wisher": control.who,
        "taken": dataclasses.asdict(taken) if taken else None,
        "submissions": list(list_submissions(sweep)),
        "trials": [_tell_trial(one, sweep.file.method) for one in status.trials],
    }
    path = sweep.folder.path / PROGRESS_NAME
    try:
        if read_json(path) == _as_read(told):
            os.utime(path)  # it is as good as new, see `is_current`
            return False
    except (OSError, StoreFormatError):
        pass  # the first time, or half of one
    write_json(path, told)
    return True


def read_progress(sweep: Sweep) -> Progress | None:
    """Return what has come of a sweep that runs elsewhere; None if nothing has.

    Raises
    ------
    StoreFormatError
        It cannot be read, or a newer hpctrack has written it.
    """
    path = sweep.folder.path / PROGRESS_NAME
    try:
        value = read_json(path)
        wall_s = path.stat().st_mtime
    except FileNotFoundError:
        return None
    form = value.get("format")
    if not isinstance(form, int) or form > FORMAT:
        raise StoreFormatError(
            f"{path} has format {form!r}, this hpctrack reads up to {FORMAT}",
            hint="install a newer hpctrack",
        )
    try:
        return Progress(
            trials=tuple(_hear_trial(one, sweep) for one in value["trials"]),
            wish=Wish(value["wish"]),
            wisher=str(value["wisher"]),
            submissions=tuple(dict(one) for one in value.get("submissions", ())),
            taken=Taken.from_json(value.get("taken")),
            wall_s=wall_s,
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise StoreFormatError(f"{path} lacks or garbles {error}") from None


def _tell_trial(one: TrialStatus, method: str) -> dict[str, Any]:
    told: dict[str, Any] = {"number": one.number, "state": one.state.value}
    if method not in _CALCULATED:
        told["parameters"] = one.parameters
    if one.has_run:
        told["run_project"] = one.run_project
    if one.values:
        told["values"] = one.values
    if one.result is not None:
        default = TrialResult(trial=0, state=TrialState.WAITING)
        kept = {
            name: getattr(one.result, name)
            for name in TOLD_FIELDS
            if getattr(one.result, name) != getattr(default, name)
        }
        if one.result.log_tail:
            kept["log_tail"] = one.result.log_tail[-TAIL_CHARS:]
        told["result"] = kept
    return told


def _hear_trial(told: Mapping[str, Any], sweep: Sweep) -> TrialStatus:
    number, state = int(told["number"]), TrialState(told["state"])
    values = {str(name): float(value) for name, value in told.get("values", {}).items()}
    metric = sweep.file.metric
    configuration, repeat = sweep.split(number)
    project = str(told.get("run_project", ""))
    result = None
    if "result" in told:
        kept = pick_fields(TrialResult, {**told["result"], "trial": number, "state": state})
        result = TrialResult(**{**kept, "command": tuple(kept.get("command", ()))})
    return TrialStatus(
        number=number,
        state=state,
        parameters=dict(told["parameters"]) if "parameters" in told else _find_point(sweep, number),
        run_id=sweep.run_id(number),
        configuration=configuration,
        repeat=repeat,
        has_run=bool(project),
        run_project=project,
        result=result,
        metric=values.get(metric.name) if metric else None,
        values=values,
    )


def _find_point(sweep: Sweep, number: int) -> dict[str, Any]:
    try:
        return sweep.parameters(number)
    except (SweepError, StoreFormatError):
        return {}


def _as_read(told: Mapping[str, Any]) -> Any:
    """Return what a reader of the file would have: lists for tuples."""
    return json.loads(json.dumps(told, default=make_plain))
