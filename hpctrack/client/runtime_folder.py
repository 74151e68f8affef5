"""The node-local folder in which the ranks of a job find their agent."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpctrack._version import __version__
from hpctrack.core.wire import WIRE_VERSION
from hpctrack.errors import StoreError

_RELEASE = f"{__version__}-{WIRE_VERSION}"
"""Ranks and agents that do not understand each other do not meet, in checkouts neither."""

SOCKET_PATH_MAX_BYTES = 107
"""sun_path holds 108 bytes with the closing zero, see unix(7)."""


@dataclass(frozen=True, slots=True)
class RuntimeFolder:
    """A private folder with an agent's socket, lock and log."""

    path: Path

    @property
    def socket(self) -> Path:
        """Where the agent listens; another version of hpctrack has another agent."""
        return self.path / f"{_RELEASE}.sock"

    @property
    def lock(self) -> Path:
        """Held while an agent is started or leaves."""
        return self.path / f"{_RELEASE}.lock"

    @property
    def log(self) -> Path:
        """What the agent prints; for us, not for users."""
        return self.path / f"{_RELEASE}.log"

    def claim(self, run_id: str) -> str:
        """Return the id, with a number behind it if this job has used it on this node before.

        For programs that a batch script starts one after the other with the same command line:
        they are different runs, yet a requeue, which counts from the start, finds the same ids.
        """
        for number in range(1, 100_000):
            name = run_id if number == 1 else f"{run_id}-{number}"
            try:
                os.close(os.open(self.path / f"{name}.claim", os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            except OSError:
                break
            return name
        return run_id


def ensure_runtime_folder(
    environ: Mapping[str, str], job_key: str, *, asked: str = ""
) -> RuntimeFolder:
    """Make the folder, mode 0700 and ours, in the first place that can hold a socket.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    job_key : str
        From `Identity`: who shares the agent.
    asked : str
        The setting ``runtime_dir``; tried first.

    Raises
    ------
    StoreError
        No place will do.
    """
    tried: list[str] = []
    for base in (asked, environ.get("SLURM_TMPDIR"), environ.get("TMPDIR"), "/tmp"):  # noqa: S108
        if not base:
            continue
        folder = RuntimeFolder(Path(base) / f"hpctrack-{os.getuid()}" / job_key)
        if len(os.fsencode(folder.socket)) > SOCKET_PATH_MAX_BYTES:
            tried.append(f"{base}: path too long for a socket")
            continue
        try:
            _ensure_private(folder.path.parent)
            _ensure_private(folder.path)
        except OSError as error:
            tried.append(f"{base}: {error.strerror or error}")
            continue
        return folder
    raise StoreError(
        f"no node-local folder for the agent's socket ({'; '.join(tried)})",
        hint="set HPCTRACK_RUNTIME_DIR to a short path on a local disk",
    )


def _ensure_private(path: Path) -> None:
    """Make a folder, or take one that is there only if nobody else could have made it."""
    path.mkdir(mode=0o700, parents=False, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(1, "belongs to somebody else", str(path))
    if found.st_mode & 0o077:
        path.chmod(0o700)
