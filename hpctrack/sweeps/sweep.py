"""A sweep in a store: made once, read by every node that runs one of its trials."""

from __future__ import annotations

import os
import secrets
import socket
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpctrack.core import __version__
from hpctrack.core.account import find_account
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.names import check_id
from hpctrack.core.settings import Settings, environment
from hpctrack.errors import HpctrackError, NotFoundError, StoreFormatError, SweepError, UsageError
from hpctrack.sweeps.folder import SweepFolder, create_json, iter_sweep_folders, read_json
from hpctrack.sweeps.schema.sweep_file import (
    SweepFile,
    parse_sweep_config,
    parse_sweep_file,
    read_sweep_file,
)

FORMAT = 1
"""Version of ``sweep.json``; a reader refuses a higher one."""

ID_CHARS = 8
SWEEP_ID_MAX_CHARS = 56
"""A run's id is the sweep's, a dash and the trial's number, and has at most 64 characters."""

_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep.

    Parameters
    ----------
    id, project : str
        Its name, and the folder of its runs.
    store : Path
        Absolute.
    file : SweepFile
        What it does.
    seed : int
        Of its random points.
    directory : Path
        Where it was created; its programs start there.
    created_wall_s : float
        UTC seconds.
    user, host : str
        By whom, and where.
    """

    id: str
    project: str
    store: Path
    file: SweepFile
    seed: int
    directory: Path
    created_wall_s: float
    user: str = ""
    host: str = ""

    @property
    def folder(self) -> SweepFolder:
        """Where its files are."""
        return SweepFolder.of(self.store, self.project, self.id)

    @property
    def name(self) -> str:
        """What people read."""
        return self.file.name or self.id

    def run_id(self, number: int) -> str:
        """Return the id of a trial's run; ids sort by trial."""
        return f"{self.id}-{number:04d}"

    def parameters(self, number: int) -> dict[str, Any]:
        """Return a trial's parameters, nested; the same everywhere.

        Those of a grid and of random points are worked out; others are read from the folder.

        Raises
        ------
        SweepError
            The sweep has no such trial, or nobody has chosen its parameters yet.
        StoreFormatError
            They cannot be read.
        """
        self.check_number(number)
        configuration, _repeat = self.split(number)
        return self.add_repeat(self._find_point(configuration), number)

    def check_number(self, number: int) -> None:
        """Complain about a number that no trial has.

        Raises
        ------
        SweepError
            The sweep has no such trial.
        """
        total = self.file.trial_count()
        if number < 0 or (total is not None and number >= total):
            raise SweepError(
                f"sweep {self.id} has no trial {number}",
                hint=f"its trials are 0 to {total - 1}" if total else "trials count from 0",
            )

    def split(self, number: int) -> tuple[int, int]:
        """Return a trial's configuration and which repeat of it this is, both from 0."""
        return divmod(number, self.file.seeds)

    def add_repeat(self, parameters: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return a configuration's parameters with the seed of a trial's repeat."""
        if self.file.seeds == 1:
            return dict(parameters)
        repeat = self.split(number)[1]
        return {**parameters, self.file.seed_name: self.file.seed_base + repeat}

    def _find_point(self, configuration: int) -> dict[str, Any]:
        if self.file.method == "grid":
            return self.file.space.grid_point(configuration)
        if self.file.method == "random":
            return self.file.space.random_point(self.seed, configuration)
        try:
            return dict(read_json(self.folder.point(configuration))["parameters"])
        except FileNotFoundError:
            raise SweepError(
                f"nobody has chosen the parameters of configuration {configuration} of sweep "
                f"{self.id} yet",
                hint="a worker chooses them when it takes the trial",
            ) from None
        except (KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(
                f"{self.folder.point(configuration)} lacks or garbles {error}"
            ) from None

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {
            "format": FORMAT,
            "version": __version__,
            "id": self.id,
            "project": self.project,
            "seed": self.seed,
            "created_wall_s": self.created_wall_s,
            "user": self.user,
            "host": self.host,
            "directory": str(self.directory),
            "file": self.file.plain,
        }


def make_sweep(
    store: str | os.PathLike[str],
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    project: str | None = None,
    sweep_id: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Sweep:
    """Return a sweep that is not stored yet; see `create_sweep`."""
    if isinstance(source, Mapping):
        file = parse_sweep_config(source)
    elif isinstance(source, str) and "\n" in source:
        file = parse_sweep_file(source, source="the sweep")
    else:
        file = read_sweep_file(Path(source))
    chosen = sweep_id or "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARS))
    check_id(chosen, what="sweep id")
    if len(chosen) > SWEEP_ID_MAX_CHARS:
        raise UsageError(f"the sweep id {chosen!r} is longer than {SWEEP_ID_MAX_CHARS} characters")
    for name in file.warm_start:
        try:
            load_sweep(store, name)
        except NotFoundError as error:
            # Said here, where somebody reads it, and not by each worker in turn.
            raise NotFoundError(f"warm_start: {error.message}", hint=error.hint) from None
    environ = environment()
    return Sweep(
        id=chosen,
        project=check_id(project or file.project or Settings().project, what="project"),
        store=Path(store).expanduser().absolute(),
        file=file,
        seed=secrets.randbits(32) if file.seed is None else file.seed,
        directory=Path.cwd(),
        created_wall_s=clock.wall_s(),
        user=find_account(environ),
        host=socket.gethostname(),
    )


def create_sweep(
    store: str | os.PathLike[str],
    source: str | os.PathLike[str] | Mapping[str, Any],
    *,
    project: str | None = None,
    sweep_id: str | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Sweep:
    """Make a sweep and store it.

    Parameters
    ----------
    store : path
        The store; made if it is not there.
    source : str, path or mapping
        A file, YAML text (it has more than one line), or what the file would hold.
    project : str, optional
        Wins over the file's. Default: the file's, else ``uncategorized``.
    sweep_id : str, optional
        Default: 8 random letters and digits.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Sweep
        Its programs will start in the current folder.

    Raises
    ------
    SweepFileError
        The file cannot be understood.
    NotFoundError
        A sweep that it names in ``warm_start`` is not in the store.
    SweepError
        There is a sweep with this id.
    StoreError
        The store cannot be written.
    """
    sweep = make_sweep(store, source, project=project, sweep_id=sweep_id, clock=clock)
    return store_sweep(sweep)


def store_sweep(sweep: Sweep) -> Sweep:
    """Write a sweep that is not stored yet.

    Raises
    ------
    SweepError
        There is a sweep with this id.
    StoreError
        The store cannot be written.
    """
    if not create_json(sweep.folder.record, sweep.to_json()):
        raise SweepError(
            f"there is a sweep {sweep.id!r} in project {sweep.project}", hint="choose another id"
        )
    return sweep


def load_sweep(
    store: str | os.PathLike[str], sweep_id: str, *, project: str | None = None
) -> Sweep:
    """Read a sweep.

    Parameters
    ----------
    store : path
        The store.
    sweep_id : str
        Its id, ``project/id``, or the beginning of the id if only one sweep has it.
    project : str, optional
        Where to look. Default: everywhere.

    Raises
    ------
    NotFoundError
        There is none.
    UsageError
        Several are meant.
    StoreFormatError
        It cannot be read.
    """
    head, slash, tail = sweep_id.partition("/")
    if slash:
        project, sweep_id = head, tail
    root = Path(store).expanduser().absolute()
    check_id(sweep_id, what="sweep id")
    folders = list(iter_sweep_folders(root, check_id(project, what="project") if project else None))
    for found in (
        [one for one in folders if one.path.name == sweep_id],
        [one for one in folders if one.path.name.startswith(sweep_id)],
    ):
        if len(found) == 1:
            return _read_sweep(root, found[0])
        if found:
            names = ", ".join(f"{one.path.parent.parent.name}/{one.path.name}" for one in found[:6])
            raise UsageError(f"{sweep_id!r} means {len(found)} sweeps", hint=f"say which: {names}")
    raise NotFoundError(f"no sweep {sweep_id!r} in {root}", hint="`hpctrack sweep ls` lists them")


def list_sweeps(store: str | os.PathLike[str], *, project: str | None = None) -> list[Sweep]:
    """Return all sweeps that can be read, the newest first."""
    root = Path(store).expanduser().absolute()
    sweeps = []
    for folder in iter_sweep_folders(root, project):
        try:
            sweeps.append(_read_sweep(root, folder))
        except HpctrackError:
            continue  # one broken sweep must not hide the others; `load_sweep` says what is wrong
    return sorted(sweeps, key=lambda one: one.created_wall_s, reverse=True)


def _read_sweep(store: Path, folder: SweepFolder) -> Sweep:
    try:
        value = read_json(folder.record)
    except FileNotFoundError:
        raise NotFoundError(f"no sweep in {folder.path}") from None
    form = value.get("format")
    if not isinstance(form, int) or form > FORMAT:
        raise StoreFormatError(
            f"{folder.record} has format {form!r}, this hpctrack reads up to {FORMAT}",
            hint="install a newer hpctrack",
        )
    try:
        return Sweep(
            id=folder.path.name,
            project=folder.path.parent.parent.name,
            store=store,
            file=parse_sweep_config(value["file"], source=str(folder.record)),
            seed=int(value["seed"]),
            directory=Path(value["directory"]),
            created_wall_s=float(value["created_wall_s"]),
            user=str(value.get("user", "")),
            host=str(value.get("host", "")),
        )
    except HpctrackError as error:
        raise StoreFormatError(error.message, hint=error.hint) from None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(f"{folder.record} lacks or garbles {error}") from None
