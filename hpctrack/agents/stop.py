"""Asking a run to end: a small file in its folder, which the agents look for now and then."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from hpctrack.core.layout import STOP_NAME
from hpctrack.errors import StoreError

TEXT_MAX_CHARS = 500
FILE_MAX_BYTES = 16_384


def write_stop(folder: Path, *, who: str, why: str, attempt: int, wall_s: float) -> Path:
    """Ask a run to end.

    Parameters
    ----------
    folder : Path
        The run's.
    who, why : str
        Shown to whoever asks why the run ended.
    attempt : int
        The one that is meant: a run that is resumed later is not stopped by it.
    wall_s : float
        Now.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    path = folder / STOP_NAME
    told = {
        "who": who[:TEXT_MAX_CHARS],
        "why": why[:TEXT_MAX_CHARS],
        "attempt": attempt,
        "wall_s": wall_s,
    }
    scratch = folder / f".{STOP_NAME}.{secrets.token_hex(4)}"
    try:
        scratch.write_text(json.dumps(told))
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from None
    return path


def read_stop(folder: Path, attempt: int = 1) -> dict[str, Any] | None:
    """Return who asked this attempt of a run to end, and why; None if nobody did.

    One look at the file system; never raises.

    Parameters
    ----------
    folder : Path
        The run's.
    attempt : int
        The one that asks.
    """
    try:
        handle = os.open(folder / STOP_NAME, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        value = json.loads(os.read(handle, FILE_MAX_BYTES))
    except (OSError, ValueError):
        return None
    finally:
        os.close(handle)
    if not isinstance(value, dict):
        return None
    with contextlib.suppress(TypeError, ValueError):
        if int(value.get("attempt", attempt)) < attempt:
            return None
    return {key: str(value.get(key, "")) for key in ("who", "why")}


def remove_stop(folder: Path) -> bool:
    """Take the request back; return whether there was one.

    Raises
    ------
    StoreError
        The folder cannot be written.
    """
    try:
        (folder / STOP_NAME).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from None
    return True
