"""Run one program to its end, or to its time limit, with all its children."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, Final

from .layout import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE_S: Final = 2.0
"""Between SIGTERM, on which srun cancels its job, and SIGKILL."""


def run_command(
    command: Sequence[str],
    shown: Sequence[str],
    where: str,
    *,
    timeout_s: float,
    check: bool,
    text: str | None,
) -> subprocess.CompletedProcess[str]:
    """Run a host command in a process group of its own.

    Parameters
    ----------
    command : sequence of str
        What the host runs.
    shown : sequence of str
        What error messages call it.
    where : str
        User and machine, for error messages.
    timeout_s : float
        Time limit; ``subprocess.run`` would kill ``nsenter`` alone, and the program inside the
        machine would go on.
    check : bool
        Raise when the exit status is not 0.
    text : str or None
        Standard input.

    Raises
    ------
    ClusterError
        The time is up or ``check`` failed.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = child.communicate(text, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        out, err = _end_group(child)
        what = f"not done after {timeout_s:g} s"
        raise ClusterError(_describe(shown, where, what, out, err)) from None
    except BaseException:
        _end_group(child)
        raise
    if check and child.returncode != 0:
        raise ClusterError(_describe(shown, where, f"exit status {child.returncode}", out, err))
    return subprocess.CompletedProcess(list(shown), child.returncode, out, err)


def _end_group(child: subprocess.Popen[str]) -> tuple[str, str]:
    """End a program and its children and return what they had written."""
    os.killpg(child.pid, signal.SIGTERM)
    try:
        return child.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()


def _describe(shown: Sequence[str], where: str, what: str, out: str, err: str) -> str:
    """Return an error message with the program's output."""
    parts = [f"{where}: {shlex.join(shown)}: {what}"]
    parts += [part.strip() for part in (out, err) if part.strip()]
    return "\n".join(parts)
