"""What the scheduler counted of a run: a small file beside the sealed one, which never changes.

``docs/reference/format.md`` describes it; `hpctrack.scheduler.accounting` makes what is in it. It
is asked for after the job, maybe several times, so it is replaced as a whole; the newest counts.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.layout import ACCOUNTING_NAME
from hpctrack.errors import StoreError

KIND = "hpctrack-accounting"
FORMAT = 1

MAX_BYTES = 16 * 1024 * 1024
"""Above what any run has: 1,000 attempts with 64 steps each."""


def read_accounting(folder: Path) -> dict[str, Any] | None:
    """Return a run's accounting; None if there is none, or none that can be read."""
    path = folder / ACCOUNTING_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        return parse_accounting(path.read_bytes())
    except OSError:
        return None


def parse_accounting(data: bytes) -> dict[str, Any] | None:
    """Return what the bytes of such a file say, or None for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        return None
    asked_wall_s, attempts = found.get("asked_wall_s"), found.get("attempts")
    if not isinstance(asked_wall_s, (int, float)) or not isinstance(attempts, list):
        return None
    return found if all(isinstance(one, dict) for one in attempts) else None


def write_accounting(folder: Path, accounting: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a run's accounting in one step; return what was written.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    scratch = folder / f"{ACCOUNTING_NAME}.{secrets.token_hex(4)}.tmp"
    whole = {"kind": KIND, "format": FORMAT, **accounting}
    text = json.dumps(whole, indent=1, allow_nan=False)
    try:
        try:
            with scratch.open("w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(folder / ACCOUNTING_NAME)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder / ACCOUNTING_NAME} cannot be written: {error.strerror}"
        ) from None
    return whole
