"""What lies in a sweep's folder.

::

    <store>/<project>/.sweeps/<sweep>/sweep.json             the sweep
                                      submissions/0001.json  which trials were given to whom
                                      jobs/0001/             submitit's files and Slurm's output
                                      trials/0003.json       how trial 3 stands
                                      trials/0003.rank-5.json    written only if that rank failed
                                      trials/0003.params.json    if the command asks for it
                                      logs/0003.log          what it printed, on this machine
                                      search/journal.log     the study, unless it has a URL
                                      points/0003.json       the parameters of configuration 3
                                      claims/0003.a1.json    who took the first attempt of trial 3
                                      workers/ab12cd.json    a worker; its mtime is a heartbeat
                                      work/0003/             for the trial's own checkpoints
                                      control.json           what people want: pause, stop, ...
                                      progress.json          how it stands, for who is elsewhere
                                      request.json           what was asked elsewhere
                                      taken.json             what became of that
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpctrack.core.layout import SWEEP_NAME, SWEEPS_FOLDER, sweep_folder
from hpctrack.core.wire import make_plain
from hpctrack.errors import StoreError, StoreFormatError

_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP})
"""What file systems without hard links answer; there, two writers at once are not told apart."""

_TRIAL_FILE = re.compile(r"(?P<trial>\d{4,})(?:\.rank-(?P<rank>\d+))?\.json\Z")
_OWN = ("trials", "submissions", "claims")
"""Folders that only workers make, and who starts them."""

_SUBMISSION_FILE = re.compile(r"(?P<number>\d{4,})\.json\Z")


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """The paths of one sweep."""

    path: Path

    @classmethod
    def of(cls, store: Path, project: str, sweep_id: str) -> SweepFolder:
        """Return a sweep's folder, names checked."""
        return cls(sweep_folder(store, project, sweep_id))

    @property
    def record(self) -> Path:
        """The file that makes it a sweep."""
        return self.path / SWEEP_NAME

    def trial(self, number: int, rank: int = 0) -> Path:
        """Return where a trial, or a rank of it that failed, says how it stands."""
        suffix = f".rank-{rank}" if rank else ""
        return self.path / "trials" / f"{number:04d}{suffix}.json"

    def parameters(self, number: int) -> Path:
        """Return where a trial's parameters lie for programs that read a file."""
        return self.path / "trials" / f"{number:04d}.params.json"

    @property
    def journal(self) -> Path:
        """Optuna's journal."""
        return self.path / "search" / "journal.log"

    @property
    def control(self) -> Path:
        """What people want."""
        return self.path / "control.json"

    def point(self, configuration: int) -> Path:
        """Return the parameters of a configuration; whoever creates it has chosen them."""
        return self.path / "points" / f"{configuration:04d}.json"

    def claim(self, number: int, attempt: int) -> Path:
        """Return the file whose creation gives an attempt of a trial to one worker."""
        return self.path / "claims" / f"{number:04d}.a{attempt}.json"

    def worker(self, worker_id: str) -> Path:
        """Return a worker's file; its mtime is the last sign of life."""
        return self.path / "workers" / f"{worker_id}.json"

    def work(self, number: int) -> Path:
        """Return a trial's own folder; all its attempts see the same one."""
        return self.path / "work" / f"{number:04d}"

    def ticket(self, submission: int, number: int) -> Path:
        """Return the file whose creation lets a submission with a limit take one more trial."""
        return self.path / "submissions" / f"{submission:04d}.tickets" / f"{number:04d}.json"

    def log(self, number: int) -> Path:
        """Return where the output of a trial on this machine goes."""
        return self.path / "logs" / f"{number:04d}.log"

    def jobs(self, submission: int) -> Path:
        """Return submitit's folder.

        Slurm opens a job's output before submitit has made a folder named after the job, so
        the folder is named after the submission, which exists before.
        """
        return self.path / "jobs" / f"{submission:04d}"

    def submission(self, number: int) -> Path:
        """Return the record of a submission."""
        return self.path / "submissions" / f"{number:04d}.json"

    def iter_trials(self) -> Iterator[tuple[int, int, Path]]:
        """Yield trial, rank and path of all that trials have said."""
        for name, path in _iter_names(self.path / "trials"):
            found = _TRIAL_FILE.match(name)
            if found:
                yield int(found["trial"]), int(found["rank"] or 0), path

    def iter_claim_names(self) -> Iterator[str]:
        """Yield the names of all claims, in no order."""
        with suppress(FileNotFoundError), os.scandir(self.path / "claims") as entries:
            yield from (one.name for one in entries)

    def iter_submissions(self) -> Iterator[tuple[int, Path]]:
        """Yield number and path of the submissions, in order."""
        for name, path in _iter_names(self.path / "submissions"):
            found = _SUBMISSION_FILE.match(name)
            if found:
                yield int(found["number"]), path


def has_own_files(folder: SweepFolder) -> bool:
    """Tell whether a sweep runs, or has run, in this very folder."""
    return any((folder.path / name).is_dir() for name in _OWN)


def iter_sweep_folders(store: Path, project: str | None = None) -> Iterator[SweepFolder]:
    """Yield the folders of all sweeps, by project and id."""
    projects = [store / project] if project else [path for _, path in _iter_names(store)]
    for one in projects:
        for _, path in _iter_names(one / SWEEPS_FOLDER):
            if (path / SWEEP_NAME).is_file():
                yield SweepFolder(path)


def _iter_names(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - to sort 30,000 paths takes a second
    except OSError:
        return  # not there yet, or not a folder
    for name in names:
        if not name.startswith("."):
            yield name, folder / name


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file so that a reader sees all of it or none: beside it, then renamed.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w") as file:
            json.dump(value, file, default=make_plain, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def create_json(path: Path, value: Mapping[str, Any]) -> bool:
    """Write a file that nobody else has written; False if somebody has.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_json(beside, value)
    try:
        os.link(beside, path)
    except FileExistsError:
        # NFS repeats a request whose answer was lost, and then finds what it has made itself.
        with suppress(OSError):
            return beside.stat().st_nlink > 1
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise StoreError(f"cannot write {path}: {error.strerror}") from None
        if path.exists():
            return False
        beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink()
    return True


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of ours.

    Raises
    ------
    FileNotFoundError
        There is none.
    StoreFormatError
        It is not JSON, or no object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise StoreFormatError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise StoreFormatError(f"{path} is not what a sweep writes")
    return value
