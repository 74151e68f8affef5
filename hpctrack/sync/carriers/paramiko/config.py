"""``ssh_config`` as paramiko reads it, where there is no ``ssh`` to ask: without ``Include``."""

from __future__ import annotations

from pathlib import Path

from hpctrack.errors import UsageError
from hpctrack.sync.carriers.paramiko.library import paramiko, say


def read_config(host: str, path: Path) -> dict[str, str | list[str]]:
    """Return what a file says about a host; nothing if the file is not there.

    Raises
    ------
    UsageError
        It cannot be read or understood.
    """
    try:
        found: dict[str, str | list[str]] = paramiko.SSHConfig.from_path(str(path)).lookup(host)
    except FileNotFoundError:
        return {}
    except (paramiko.SSHException, OSError, ImportError) as error:
        raise UsageError(f"{path} cannot be used: {say(error)}") from None
    return found
