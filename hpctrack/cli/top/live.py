"""The runs of a store that are going on, found again and again without opening what is over."""

from __future__ import annotations

import math
import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpctrack.cli.top.model import GPU_UTIL
from hpctrack.cli.top.watched import WatchedRun
from hpctrack.core.clock import Clock
from hpctrack.core.layout import scan_runs
from hpctrack.store.ledger import list_losses

SCAN_INTERVAL_S = 10.0
SCAN_SHARE = 0.03
"""New runs are looked for this often, or less often where a look takes long: a store of 10,000 runs
on a parallel file system is listed at the cost of this share of the time at most."""


class LiveRow(NamedTuple):
    """One run that is going on.

    Parameters
    ----------
    step : int
        The highest one that any rank has logged; -1 if none has.
    rate : float
        Steps per second over the last minute; NaN if that cannot be told.
    silent_s : float
        Since the last sign of life of any of its agents.
    gpu_util : float
        Mean of its GPUs; NaN if nothing was measured lately.
    lost : tuple of str
        What is missing, in words.
    synced_wall_s : float
        Of a run of another machine, when it was looked at there, by its clock: ages and rates are
        as of then; NaN of others.
    """

    project: str
    id: str
    name: str
    user: str
    state: str
    attempt: int
    age_s: float
    step: int
    rate: float
    silent_s: float
    gpu_util: float
    gpus: int
    ranks: int
    hosts: int
    alerts: int
    lost: tuple[str, ...] = ()
    synced_wall_s: float = math.nan

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        found: dict[str, Any] = self._asdict()
        found["step"] = self.step if self.step >= 0 else None
        return found


def make_row(run: WatchedRun, now_wall_s: float) -> LiveRow:
    """Sum up a run."""
    record, model = run.record, run.model
    now_wall_s = run.known_until_wall_s(now_wall_s)
    started_s = min((one.started_wall_s for one in record.ranks), default=record.created_wall_s)
    return LiveRow(
        project=run.project,
        id=run.id,
        name=record.name or run.id,
        user=record.user,
        state=str(record.state),
        attempt=record.attempts,
        age_s=now_wall_s - started_s if started_s else math.nan,
        step=model.step,
        rate=model.rate(now_wall_s),
        silent_s=max(0.0, now_wall_s - run.last_sign_wall_s),
        gpu_util=model.gpu_mean(GPU_UTIL, now_wall_s),
        gpus=len(model.gpus()),
        ranks=record.size,
        hosts=record.nodes,
        alerts=len(record.alerts),
        lost=list_losses(record.ledger),
        synced_wall_s=math.nan if run.synced_wall_s is None else run.synced_wall_s,
    )


class LiveRuns:
    """The runs of a store that are going on.

    Parameters
    ----------
    store : Path
    clock : Clock
    stale_after_s : float
    user : str, optional
        Only this user's; default everybody's.
    project : str, optional
        Only of this project.

    Attributes
    ----------
    store : Path
    """

    def __init__(
        self,
        store: Path,
        *,
        clock: Clock,
        stale_after_s: float,
        user: str | None = None,
        project: str | None = None,
    ) -> None:
        self.store = store
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._user = user
        self._project = project
        self._runs: dict[Path, WatchedRun] = {}
        self._over: dict[Path, frozenset[str]] = {}
        self._next_scan_s = -math.inf

    def refresh(self) -> list[LiveRow]:
        """Return the runs, the newest first; what cannot be read is left out."""
        start_s = self._clock.mono_s()
        if start_s >= self._next_scan_s:
            self._scan()
            end_s = self._clock.mono_s()
            self._next_scan_s = end_s + max(SCAN_INTERVAL_S, (end_s - start_s) / SCAN_SHARE)
        for folder, run in list(self._runs.items()):
            try:
                run.refresh()
                is_over = not run.is_running
            except Exception:  # noqa: BLE001 - a damaged run must not hide the others
                is_over = True
            if is_over:
                self._over[folder] = _list_names(folder)
                self._runs.pop(folder).close()
        now_s = self._clock.wall_s()
        rows = [
            make_row(run, now_s)
            for run in self._runs.values()
            if self._user is None or run.record.user == self._user
        ]
        return sorted(rows, key=lambda one: (one.age_s, one.project, one.id))

    def close(self) -> None:
        """Close all files; `refresh` opens them again."""
        for run in self._runs.values():
            run.close()
        self._runs.clear()
        self._next_scan_s = -math.inf

    def _scan(self) -> None:
        """Look for runs with node files; those that were over are opened again if files came."""
        for found in scan_runs(self.store, self._project):
            folder = Path(found.path)
            if found.stamp is not None or folder in self._runs:
                continue
            before = self._over.get(folder)
            if before is not None and before == _list_names(folder):
                continue
            self._runs[folder] = WatchedRun(
                folder,
                clock=self._clock,
                stale_after_s=self._stale_after_s,
                is_detailed=False,
            )


def find_user(environ: Mapping[str, str]) -> str:
    """Return the user's name as the user's runs have it."""
    named = environ.get("USER") or environ.get("LOGNAME")
    if named:
        return named
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def _list_names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(one.name for one in folder.iterdir())
    except OSError:
        return frozenset()
