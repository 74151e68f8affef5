"""What the sweeps of a store have found so far; the one module that knows how sweeps are kept."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import PROGRESS_NAME, REQUEST_NAME, TAKEN_NAME
from hpctrack.core.names import check_id
from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.store.annotation_file import is_server_store
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.folder import SweepFolder, has_own_files, iter_sweep_folders
from hpctrack.sweeps.request import Taken, Taking, read_request, read_taken, write_request
from hpctrack.sweeps.results.command_line import make_command_line
from hpctrack.sweeps.results.curves import Curve, read_curves
from hpctrack.sweeps.results.dashboard import make_dashboard, make_importance, make_line
from hpctrack.sweeps.results.progress import Progress, list_submissions, read_progress
from hpctrack.sweeps.results.records import read_records
from hpctrack.sweeps.results.rungs import find_rungs
from hpctrack.sweeps.results.status import SweepReader
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.submission.wishing import make_wish
from hpctrack.sweeps.sweep import Sweep, load_sweep
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sweeps.worker.trial_runs import TrialRuns
from hpctrack_server.data.entries import reading
from hpctrack_server.data.sweep_curves import choose_trials, count_iterations, thin_line

KEPT = 64
"""Sweeps whose files are remembered; trials that are over are then not opened again."""

COMMANDS_MAX = 20
"""Trials of the best table, and of those on the front, with the line that runs them once more."""

WISHES = {"pause": Wish.PAUSE, "resume": Wish.RUN, "stop": Wish.STOP}
"""What a page may ask for, in its words."""

_PLACES = {"finished": 0, "failed": 2, "crashed": 2}
"""Of trials in a ranking: those that failed come last, whatever they had reached."""

_SOURCES = (
    "trials", "submissions", "points", "claims", "control.json",
    PROGRESS_NAME, REQUEST_NAME, TAKEN_NAME,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A sweep in a list; ``error`` says why it cannot be read, and then the rest is empty."""

    id: str
    name: str = ""
    method: str = ""
    user: str = ""
    created_wall_s: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    over: int = 0
    total: int | None = None
    wish: str = Wish.RUN.value
    metric: str = ""
    goal: str = ""
    best: float | None = None
    best_trial: int | None = None
    used_s: float = 0.0
    saved_s: float = 0.0
    eta_s: float | None = None
    is_elsewhere: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What was asked of a sweep, and how far that is.

    Parameters
    ----------
    is_elsewhere : bool
        The sweep runs on another machine, which has to come by.
    told_wall_s : float
        When it was last heard of; 0 if it is here.
    wish : str
        What is wished of its workers, as far as is known.
    wisher : str
    request : dict or None
        The last one: ``wish``, ``who``, ``wall_s``; empty of a sweep that is here.
    taken : dict or None
        What became of that request: ``taking``, ``wall_s``, ``host``, ``note``; None as long as
        nobody has come for it.
    """

    is_elsewhere: bool
    told_wall_s: float
    wish: str
    wisher: str
    request: dict[str, Any] | None = None
    taken: dict[str, Any] | None = None


@dataclass(slots=True)
class _Held:
    reader: SweepReader
    stamp: tuple[tuple[int, int], ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    status: SweepStatus | None = None
    told: Progress | None = None
    told_stamp: tuple[int, int] = (0, 0)


class Sweeps:
    """Reads sweeps for the pages. All of it touches files: for a thread of its own.

    Parameters
    ----------
    store : Path
    stale_after_s : float
        How long a live run may be silent before it counts as crashed, seconds.
    clock : Clock, optional
        For tests.
    """

    def __init__(self, store: Path, *, stale_after_s: float, clock: Clock = SYSTEM_CLOCK) -> None:
        self._store = store.absolute()
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()

    def rows(self, project: str) -> list[SweepRow]:
        """Return a project's sweeps, the newest first; one that is broken says why.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        check_id(project, what="project")
        if not (self._store / project).is_dir():
            raise NotFoundError(f"no project {project!r}")
        folders = list(iter_sweep_folders(self._store, project))
        rows = [self._make_row(project, one.path.name) for one in folders]
        return sorted(rows, key=lambda one: (-one.created_wall_s, one.id))

    def details(self, project: str, sweep_id: str, *, with_curves: bool = True) -> dict[str, Any]:
        """Return all that the page of a sweep draws; see `make_dashboard` for most of its keys.

        Also ``asking``, ``submissions``, ``wall_s``, ``commands`` of the best trials by number,
        ``ranking``: the numbers of trials with a value, the best first; ``absent_runs``: how many
        trials have a run that is not in this store, which has no project among ``trials``.

        Raises
        ------
        NotFoundError
            There is no such sweep.
        HpctrackError
            It cannot be read.
        """
        with reading(f"sweep {sweep_id}"):
            held = self._hold(project, sweep_id)
            self._forget_old(held)
            key = "whole" if with_curves else "quick"
            if key not in held.details or self._is_going_on(held.details[key]):
                quick = held.details.get("quick")
                if quick is None or self._is_going_on(quick):
                    quick = held.details["quick"] = self._read_details(held)
                if with_curves:
                    held.details["whole"] = self._add_curves(held, quick)
            found: dict[str, Any] = held.details[key]
            return {**found, "asking": self._find_asking(held.reader.sweep)}

    def overview(self, project: str, sweep_id: str) -> dict[str, Any]:
        """Return the details without curves, with how far those of the best trials are that run.

        Raises
        ------
        NotFoundError
            There is no such sweep.
        HpctrackError
            It cannot be read.
        """
        found = self.details(project, sweep_id, with_curves=False)
        states = dict(zip(found["trials"]["number"], found["trials"]["state"], strict=True))
        numbers = frozenset(one for one in found["commands"] if states[one] == "running")
        with reading(f"sweep {sweep_id}"):
            curves = _read_curves(self._hold(project, sweep_id), numbers)
            return {**found, "trials": count_iterations(found["trials"], _find_ends(curves))}

    def importance(self, project: str, sweep_id: str) -> dict[str, Any]:
        """Return which parameters of a sweep matter; takes seconds the first time, for Optuna.

        Raises
        ------
        NotFoundError
            There is no such sweep.
        HpctrackError
            It cannot be read.
        """
        with reading(f"sweep {sweep_id}"):
            held = self._hold(project, sweep_id)
            self._forget_old(held)
            if "importance" not in held.details:
                status = held.status or held.reader.read(asks_queue=False)
                held.details["importance"] = make_importance(status)
            found: dict[str, Any] = held.details["importance"]
            return found

    def ask(self, project: str, sweep_id: str, word: str, *, seen: str, who: str) -> Asking:
        """Ask something of a sweep's workers: at once if they are here, else at the next push.

        Parameters
        ----------
        project, sweep_id : str
        word : {"pause", "resume", "stop"}
        seen : str
            What was wished as far as the asker could see.
        who : str

        Raises
        ------
        UsageError
            That cannot be asked for.
        NotFoundError
            There is no such sweep.
        StoreError
            It cannot be written.
        """
        if word not in WISHES:
            raise UsageError(f"{word[:40]!r} cannot be asked for", hint=f"use {', '.join(WISHES)}")
        sweep = self._load(project, sweep_id)
        if self._is_here(sweep):
            wished = read_control(sweep.folder).wish
            if wished == Wish.CANCEL:
                raise UsageError("the sweep is being cancelled", hint="submit it again instead")
            make_wish(sweep, WISHES[word], who=who, clock=self._clock)
        else:
            known = seen if seen in set(Wish) else self._find_wished(sweep)[0]
            write_request(sweep.folder, WISHES[word], seen=Wish(known), who=who, clock=self._clock)
        return self._find_asking(sweep)

    # -- one sweep -------------------------------------------------------------------------------

    def _load(self, project: str, sweep_id: str) -> Sweep:
        check_id(project, what="project")
        check_id(sweep_id, what="sweep id")
        if not SweepFolder.of(self._store, project, sweep_id).record.is_file():
            raise NotFoundError(f"no sweep {sweep_id!r} in project {project!r}")
        return load_sweep(self._store, sweep_id, project=project)

    def _hold(self, project: str, sweep_id: str) -> _Held:
        key = (project, sweep_id)
        held = self._held.get(key)
        if held is None:
            sweep = self._load(project, sweep_id)
            reader = SweepReader(sweep, stale_after_s=self._stale_after_s, clock=self._clock)
            held = self._held[key] = _Held(reader)
        elif not held.reader.sweep.folder.record.is_file():
            del self._held[key]
            raise NotFoundError(f"no sweep {sweep_id!r} in project {project!r}")
        self._held.move_to_end(key)
        while len(self._held) > KEPT:
            self._held.popitem(last=False)
        return held

    def _is_here(self, sweep: Sweep) -> bool:
        return has_own_files(sweep.folder) or not is_server_store(self._store)

    def _stamp(self, sweep: Sweep) -> tuple[tuple[int, int], ...]:
        paths = [sweep.folder.path / name for name in _SOURCES]
        if not self._is_here(sweep):
            paths.append(self._store / sweep.project)  # its runs come when they come
        found = []
        for path in paths:
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_ino))
        return tuple(found)

    def _forget_old(self, held: _Held) -> None:
        stamp = self._stamp(held.reader.sweep)
        if held.stamp != stamp:
            held.details.clear()
            held.status, held.stamp = None, stamp

    def _read_told(self, sweep: Sweep) -> Progress | None:
        """Return what has come of a sweep that runs elsewhere; parsed once for each version."""
        path = sweep.folder.path / PROGRESS_NAME
        held = self._held.get((sweep.project, sweep.id))
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        stamp = (status.st_mtime_ns, status.st_ino)
        if held is None:
            return read_progress(sweep)
        if held.told_stamp != stamp:
            held.told, held.told_stamp = read_progress(sweep), stamp
        return held.told

    def _is_going_on(self, details: Mapping[str, Any]) -> bool:
        counts = details["counts"]
        return bool(counts.get("running") or counts.get("waiting"))

    def _make_row(self, project: str, sweep_id: str) -> SweepRow:
        try:
            with reading(f"sweep {sweep_id}"):
                found = self.details(project, sweep_id, with_curves=False)
        except HpctrackError as error:
            return SweepRow(id=sweep_id, error=error.message.replace(f"{self._store}/", ""))
        sweep, metrics = found["sweep"], found["sweep"]["metrics"]
        best = found["ranking"][:1]
        return SweepRow(
            id=sweep_id,
            name=sweep["name"],
            method=sweep["method"],
            user=found["user"],
            created_wall_s=found["created_wall_s"],
            counts=found["counts"],
            over=found["over"],
            total=sweep["trial_count"],
            wish=found["wish"],
            metric=metrics[0]["name"] if metrics else "",
            goal=metrics[0]["goal"] if metrics else "",
            best=found["values"][best[0]] if best else None,
            best_trial=best[0] if best else None,
            used_s=found["cost"]["used_s"],
            saved_s=found["cost"]["saved_s"],
            eta_s=found["eta_s"],
            is_elsewhere=found["asking"].is_elsewhere,
        )

    def _add_curves(self, held: _Held, quick: Mapping[str, Any]) -> dict[str, Any]:
        """Return the details with curves, for which runs are opened."""
        status, sweep = held.status, held.reader.sweep
        if status is None:
            return dict(quick)
        begun = [one.number for one in status.trials if one.state != TrialState.WAITING]
        drawn = choose_trials(begun, quick["ranking"])
        curves = _read_curves(held, drawn)
        ends = _find_ends(curves)
        return {
            **quick,
            "trials": count_iterations(quick["trials"], ends),
            "curves": [thin_line(make_line(one)) for one in curves],
            "curves_left_out": len(begun) - len(drawn),
            "rungs": find_rungs(sweep.file.early, max(ends.values(), default=0)),
        }

    def _read_details(self, held: _Held) -> dict[str, Any]:
        sweep = held.reader.sweep
        # Slurm is not asked for each look at a page; a trial whose job is gone seems to run.
        status = held.status
        if status is None or {"running", "waiting"} & {one.state.value for one in status.trials}:
            status = held.status = held.reader.read(asks_queue=False)
        values, ranking = _rank(status)
        found = make_dashboard(status, has_importance=False)
        by_number = {one.number: one for one in status.trials}
        winners = [number for one in found["best"] for number in one["finished"]]
        runs = TrialRuns(sweep)
        here = [runs.find(one.number) if one.has_run else "" for one in status.trials]
        return {
            **found,
            "trials": {**found["trials"], "run_project": here},
            "curves_left_out": 0,
            "absent_runs": sum(one.has_run for one in status.trials) - sum(map(bool, here)),
            "user": sweep.user,
            "host": sweep.host,
            "created_wall_s": sweep.created_wall_s,
            "wall_s": status.wall_s,
            "over": status.over_count,
            "values": values,
            "ranking": ranking,
            "parameters": {one.number: one.parameters for one in status.trials},
            "metrics": {one.number: one.values for one in status.trials},
            "commands": {
                number: make_command_line(sweep, by_number[number])
                for number in {*ranking[:COMMANDS_MAX], *winners[:COMMANDS_MAX]}
            },
            "failures": {
                one.number: one.result.log_tail or one.result.message
                for one in status.trials
                if one.result and one.state.value in {"failed", "crashed"}
            },
            "submissions": list(self._list_submissions(sweep)),
            "early": sweep.file.early.kind if sweep.file.early else "",
            "description": sweep.file.plain,
        }

    def _list_submissions(self, sweep: Sweep) -> tuple[dict[str, Any], ...]:
        if has_own_files(sweep.folder):
            return list_submissions(sweep)
        told = self._read_told(sweep)
        return told.submissions if told else ()

    def _find_wished(self, sweep: Sweep) -> tuple[str, str, float, Taken | None]:
        if self._is_here(sweep):
            control = read_control(sweep.folder)
            return control.wish.value, control.who, 0.0, read_taken(sweep.folder)
        told = self._read_told(sweep)
        if told is None:
            return Wish.RUN.value, "", 0.0, None
        return told.wish.value, told.wisher, told.wall_s, told.taken

    def _find_asking(self, sweep: Sweep) -> Asking:
        wish, wisher, told_wall_s, taken = self._find_wished(sweep)
        is_elsewhere = not self._is_here(sweep)
        request = read_request(sweep.folder) if is_elsewhere else None
        is_heard = taken is not None and request is not None and taken.id == request.id
        return Asking(
            is_elsewhere=is_elsewhere,
            told_wall_s=told_wall_s,
            wish=wish,
            wisher=wisher,
            request=None
            if request is None
            else {
                "id": request.id,
                "wish": request.wish.value,
                "who": request.who,
                "wall_s": request.wall_s,
            },
            taken=_describe_taken(taken) if is_heard and taken is not None else None,
        )


def _read_curves(held: _Held, numbers: frozenset[int]) -> list[Curve]:
    """Return the curves of some trials, for which runs are opened."""
    if held.status is None or not numbers:
        return []
    trials = tuple(one for one in held.status.trials if one.number in numbers)
    return read_curves(replace(held.status, trials=trials), read_records(held.reader.sweep))


def _find_ends(curves: Sequence[Curve]) -> dict[int, int]:
    """Return the last iteration of each curve, by the trial's number."""
    return {one.number: int(one.iterations[-1]) for one in curves if len(one)}


def _describe_taken(taken: Taken) -> dict[str, Any]:
    return {
        "taking": taken.taking.value,
        "is_done": taken.taking == Taking.DONE,
        "wall_s": taken.wall_s,
        "host": taken.host,
        "note": taken.note,
    }


def _rank(status: SweepStatus) -> tuple[dict[int, float], list[int]]:
    """Return values of the first metric, and the numbers of the trials: finished, best first."""
    metric = status.sweep.file.metric
    values = {one.number: one.metric for one in status.trials if one.metric is not None}
    sign = -1.0 if metric and metric.goal == "maximize" else 1.0
    states = {one.number: one.state.value for one in status.trials}

    def order(number: int) -> tuple[int, float]:
        return _PLACES.get(states[number], 1), sign * values[number]

    return values, sorted(values, key=order)
