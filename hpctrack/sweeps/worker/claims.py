"""Who has which attempt of which trial: files that only one process can create.

A claim is made by linking a finished file to its name, which is atomic on NFS too and needs no
lock that a dead process could keep. Nothing is ever taken back: the next life of a trial is its
next attempt.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hpctrack.core.fields import pick_fields
from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import SweepFolder, create_json, read_json

_CLAIM_FILE = re.compile(r"(?P<trial>\d{4,})\.a(?P<attempt>\d+)\.json\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One attempt of one trial, and whose it is.

    Parameters
    ----------
    trial : int
        Its number.
    attempt : int
        Counts the trial's lives from 1.
    worker : str
        Id of who has it.
    host, pid, stamp : str, int, str
        Its process; see `hpctrack.sweeps.worker.process.read_stamp`.
    job : str
        Slurm's id (``50_3`` for a task of an array); empty outside Slurm.
    restart : int
        How often Slurm had requeued that job.
    failures : int
        How many earlier attempts have failed by themselves.
    returns : int
        How many were given back, because their worker had to leave.
    wall_s : float
        When, UTC seconds.
    """

    trial: int
    attempt: int
    worker: str
    host: str = ""
    pid: int = 0
    stamp: str = ""
    job: str = ""
    restart: int = 0
    failures: int = 0
    returns: int = 0
    wall_s: float = 0.0

    @property
    def interruptions(self) -> int:
        """How many earlier attempts ended without a word of their own."""
        return self.attempt - 1 - self.failures - self.returns

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it back; unknown keys, from a newer writer, are left out.

        Raises
        ------
        StoreFormatError
            It is no claim.
        """
        try:
            return cls(**pick_fields(cls, value))
        except TypeError as error:
            raise StoreFormatError(f"a claim lacks or garbles {error}") from None


def make_claim(folder: SweepFolder, claim: Claim) -> bool:
    """Take an attempt; False if somebody else has it.

    Raises
    ------
    StoreError
        Nothing can be written.
    """
    path = folder.claim(claim.trial, claim.attempt)
    # Most attempts that are lost are lost long ago: a look is cheaper than a try.
    return not path.exists() and create_json(path, dataclasses.asdict(claim))


def read_claim(folder: SweepFolder, trial: int, attempt: int) -> Claim | None:
    """Return who has an attempt, or None if nobody has.

    Raises
    ------
    StoreFormatError
        The file cannot be read.
    """
    try:
        return Claim.from_json(read_json(folder.claim(trial, attempt)))
    except FileNotFoundError:
        return None


def find_last_claim(folder: SweepFolder, trial: int, *, known: int = 0) -> Claim | None:
    """Return the newest attempt of a trial, or None if it has not begun.

    Parameters
    ----------
    folder : SweepFolder
        The sweep's.
    trial : int
        Its number.
    known : int, optional
        An attempt that is known to exist.
    """
    attempt = max(known, 1)
    while folder.claim(trial, attempt + 1).exists():
        attempt += 1
    return read_claim(folder, trial, attempt)


def list_claims(folder: SweepFolder) -> dict[int, int]:
    """Return the newest attempt of every trial that has begun; one look at one folder."""
    newest: dict[int, int] = {}
    for name in folder.iter_claim_names():
        found = _CLAIM_FILE.match(name)
        if found:
            trial, attempt = int(found["trial"]), int(found["attempt"])
            newest[trial] = max(newest.get(trial, 0), attempt)
    return newest
