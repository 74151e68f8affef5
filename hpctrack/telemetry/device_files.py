"""What the kernel lets this process have: device files, and the numbers of processes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""Linux' number of the namespace that a machine starts with. Drivers number processes as it does,
so in another one (a container with its own) a number would mean another process, or none."""


def can_open(path: Path) -> bool:
    """Say whether a device file lets us in: a device cgroup answers to opening only.

    Returns
    -------
    bool
        False if we are refused. A file that is missing or not ready refuses nobody.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return error.errno not in {errno.EPERM, errno.EACCES}
    os.close(handle)
    return True


def has_machine_pids(root: Path) -> bool:
    """Say whether our process numbers are those of the machine, as far as that can be told."""
    try:
        return str((root / "proc/self/ns/pid").readlink()) == INITIAL_PID_NAMESPACE
    except OSError:
        return True
