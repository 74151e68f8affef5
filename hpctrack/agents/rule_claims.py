"""Who executes a rule: a small file in the run's folder, which only one agent can make.

``O_EXCL`` is atomic on file systems that nodes share, and the file stays: so a rule is executed
once whatever the number of nodes, and is not executed again when the job is requeued.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpctrack.core.layout import RULES_FOLDER, rule_claim
from hpctrack.core.rules import ATTEMPT, Rule

FILE_MAX_BYTES = 16_384


class Claim(NamedTuple):
    """What became of an attempt to take a rule.

    Parameters
    ----------
    is_ours : bool
        We have it, and execute it.
    attempt : int
        The one in which it was executed; 0 if that cannot be told.
    problem : str
        Why nobody knows who has it: the folder cannot be used.
    """

    is_ours: bool
    attempt: int = 0
    problem: str = ""


def claim_rule(folder: Path, rule: Rule, attempt: int, told: Mapping[str, object]) -> Claim:
    """Take a rule unless somebody has; never raises.

    Parameters
    ----------
    folder : Path
        The run's.
    rule : Rule
    attempt : int
        This one.
    told : mapping
        JSON-able, written into the file for people.
    """
    path = _find_path(folder, rule, attempt)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir()
        handle = os.open(path, flags, 0o644)
    except FileExistsError:
        return Claim(is_ours=False, attempt=read_claim(folder, rule, attempt) or 0)
    except OSError as error:
        return Claim(is_ours=False, problem=f"{path.parent}: {error.strerror or error}")
    try:
        # The name is what counts; a full disk costs only the text.
        with contextlib.suppress(OSError):
            os.write(handle, json.dumps({**told, "attempt": attempt}).encode())
    finally:
        os.close(handle)
    return Claim(is_ours=True, attempt=attempt)


def read_claim(folder: Path, rule: Rule, attempt: int) -> int | None:
    """Return the attempt in which a rule was executed, 0 if the file does not tell.

    Returns
    -------
    int or None
        None if it was not executed, or not in this attempt where it is once for each.
    """
    try:
        handle = os.open(_find_path(folder, rule, attempt), os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        value: Any = json.loads(os.read(handle, FILE_MAX_BYTES))
        return int(value["attempt"])
    except (OSError, ValueError, KeyError, TypeError):
        return attempt if rule.once == ATTEMPT else 0
    finally:
        os.close(handle)


def list_claims(folder: Path) -> frozenset[str]:
    """Return the names of the files there are: one look for all rules."""
    try:
        return frozenset(path.name for path in (folder / RULES_FOLDER).iterdir())
    except OSError:
        return frozenset()


def is_claimed(rule: Rule, attempt: int, listed: frozenset[str]) -> bool:
    """Tell whether a rule is among those that `list_claims` has found."""
    return _find_path(Path(), rule, attempt).name in listed


def _find_path(folder: Path, rule: Rule, attempt: int) -> Path:
    return rule_claim(folder, rule.name, attempt if rule.once == ATTEMPT else None)
