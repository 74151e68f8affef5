"""Looking at every byte of a run that means something, and saying what is wrong with it."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import (
    SEALED_NAME,
    SIDE_FILES,
    NodeFileName,
    is_leftover,
    is_set_aside,
    read_agreement_name,
)
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.ledger import UNREADABLE, list_losses
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify_node import check_node_file
from hpctrack.store.verify_sealed import check_sealed_file


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    """Something that was recorded is missing, wrong or unreadable."""
    WARNING = "warning"
    """Nothing is lost, but somebody should tidy up."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a file.

    Parameters
    ----------
    file : str
        Its name in the run's folder.
    what : str
        One line.
    severity : Severity
    """

    file: str
    what: str
    severity: Severity


@dataclass(slots=True)
class Report:
    """What was found in a run.

    Parameters
    ----------
    run, project : str
    files : int
        Looked at.
    size_bytes : int
        Of these.
    points : int
        Read.
    findings : list of Finding
    """

    run: str
    project: str
    files: int = 0
    size_bytes: int = 0
    points: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        """Whether there is no error among the findings."""
        return not self.errors()

    def errors(self, file: str | None = None) -> list[Finding]:
        """Return the errors, of one file or of all."""
        return [
            one
            for one in self.findings
            if one.severity == Severity.ERROR and file in {None, one.file}
        ]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        return {
            "id": self.run,
            "project": self.project,
            "intact": self.is_intact,
            "files": self.files,
            "size_bytes": self.size_bytes,
            "points": self.points,
            "findings": [
                {"file": one.file, "what": one.what, "severity": one.severity}
                for one in self.findings
            ],
        }


OnBytes = Callable[[int], None]
"""Gets how many bytes more have been looked at."""


def verify_run(
    folder: Path,
    *,
    clock: Clock = SYSTEM_CLOCK,
    stale_after_s: float = 60.0,
    on_bytes: OnBytes = lambda _size_bytes: None,
) -> Report:
    """Look at everything that a run's files hold. Changes nothing.

    Parameters
    ----------
    folder : Path
        The run's folder.
    clock : Clock, optional
        Tells whether a live file's agent is still there.
    stale_after_s : float, optional
        How long it may be silent.
    on_bytes : callable, optional
        For a progress bar: called with the size of each file that is done.

    Returns
    -------
    Report
        What is damaged is a finding, not an error that is raised.

    Raises
    ------
    NotFoundError
        There is no such folder.

    Notes
    -----
    Node files: all tables as far as the file says that they reach, every event's bytes, every
    metric's name, every payload's digest. They carry no checksums of their own: a number that was
    changed on the disk is not found. Sealed files: every dataset is read, which proves its
    checksums, and counts and digests are compared. A live run may be verified.
    """
    if not folder.is_dir():
        raise NotFoundError(f"no run {folder.name!r} in project {folder.parent.name!r}")
    report = Report(folder.name, folder.parent.name)
    now_wall_s = clock.wall_s()
    for path in _list(folder, report):
        if path.name == SEALED_NAME:
            found = check_sealed_file(path)
        elif NodeFileName.parse(path.name):
            found = check_node_file(path, now_wall_s=now_wall_s, stale_after_s=stale_after_s)
        else:
            _name_odd_file(path, report)
            continue
        report.files += 1
        report.points += found.points
        size_bytes = _size(path)
        report.size_bytes += size_bytes
        on_bytes(size_bytes)
        report.findings += _make(path, found.errors, Severity.ERROR)
        report.findings += _make(path, found.notes, Severity.NOTE)
    report.findings += _name_losses(folder, clock, stale_after_s)
    if not report.files and report.is_intact:
        report.findings.append(Finding("", "the run has no files", Severity.ERROR))
    return report


def _name_losses(folder: Path, clock: Clock, stale_after_s: float) -> list[Finding]:
    """Return what was never recorded, or could not be salvaged: no damage of these files."""
    run = StoredRun(folder, clock=clock, stale_after_s=stale_after_s)
    try:
        ledger = {key: value for key, value in run.ledger.items() if key != UNREADABLE}
    except (HpctrackError, OSError):
        return []
    finally:
        run.close()
    return [Finding("", f"incomplete: {one}", Severity.NOTE) for one in list_losses(ledger)]


def _list(folder: Path, report: Report) -> list[Path]:
    """Return what is in a folder, sorted; what cannot be looked at is a finding."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        what = f"the folder cannot be read: {error.strerror}"
        report.findings.append(Finding("", what, Severity.ERROR))
        return []


def _name_odd_file(path: Path, report: Report) -> None:
    if is_leftover(path.name):
        what = "left by somebody who was killed; `hpctrack repair` removes it"
        report.findings.append(Finding(path.name, what, Severity.WARNING))
    elif is_set_aside(path.name):
        what = "the damaged original of a file that was repaired; remove it when it is not needed"
        report.findings.append(Finding(path.name, what, Severity.NOTE))
    elif read_agreement_name(path.name) is not None:
        return
    elif path.name not in SIDE_FILES:
        report.findings.append(Finding(path.name, "not a file of ours", Severity.NOTE))


def _make(path: Path, texts: Iterable[str], severity: Severity) -> list[Finding]:
    return [Finding(path.name, text, severity) for text in texts]


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def measure(folder: Path) -> int:
    """Return how many bytes `verify_run` will report, about."""
    try:
        names = [path for path in folder.iterdir() if _is_ours(path.name)]
    except (OSError, HpctrackError):
        return 0
    return sum(_size(path) for path in names)


def _is_ours(name: str) -> bool:
    return name == SEALED_NAME or NodeFileName.parse(name) is not None
