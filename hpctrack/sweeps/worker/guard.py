"""A small process that outlives a killed worker, and ends what the worker has started.

The kernel can signal a program when its parent dies, but not what the program has started itself:
a shell's commands would run on, next to those of the worker that continues the trial. And it would
have to be asked between fork and exec, where nothing is safe in a process with threads. So the
program begins in the process group of its guard, which need not be told of it.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import Self

END_S = 5.0

_SCRIPT = """
trap '' TERM INT HUP QUIT USR1 USR2
read -r word && exit 0
kill -TERM 0
sleep "$1"
kill -KILL 0
"""


class Guard:
    """Leads a program's process group; ends it if this process dies before the program.

    Parameters
    ----------
    kill_after_s : float
        From SIGTERM to SIGKILL.

    Attributes
    ----------
    group : int
        The process group that the program is to join; 0 for one of its own, without a guard.
    """

    def __init__(self, kill_after_s: float) -> None:
        self.group = 0
        self._process: subprocess.Popen[bytes] | None = None
        # Without one, the program runs all the same.
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "hpctrack-guard", str(int(kill_after_s))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # What is sent to our group is for us.
                process_group=0,
                cwd="/",
            )
            self.group = self._process.pid

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send it home: the program has ended, or was never started."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with suppress(OSError):  # somebody has killed it
            process.stdin.write(b"over\n")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
