"""A small process that outlives a killed worker, and ends what the worker has started.

The kernel can signal a program when its parent dies, but not what the program has started itself:
a shell's commands would run on, next to those of the worker that continues the trial. And it would
have to be asked between fork and exec, where nothing is safe in a process with threads.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import Self

END_S = 5.0

_SCRIPT = """
trap '' TERM INT HUP QUIT USR1 USR2
read -r group || exit 0
read -r word && exit 0
kill -TERM "-$group" || exit 0
left=$1
while [ "$left" -gt 0 ] && kill -0 "-$group"; do sleep 1; left=$((left - 1)); done
kill -KILL "-$group"
"""


class Guard:
    """Waits beside a program; ends its process group if this process dies before it.

    Parameters
    ----------
    kill_after_s : float
        From SIGTERM to SIGKILL.
    """

    def __init__(self, kill_after_s: float) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        # Without one, the program runs all the same.
        with suppress(OSError):
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "hpctrack-guard", str(int(kill_after_s))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # What is sent to our group is for us.
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Send it home: the program has ended, or was never started."""
        process, self._process = self._process, None
        if process is None:
            return
        self._tell(process, "over")
        if process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def watch(self, group: int) -> None:
        """Say which process group it is about."""
        if self._process is not None:
            self._tell(self._process, str(group))

    @staticmethod
    def _tell(process: subprocess.Popen[bytes], word: str) -> None:
        if process.stdin is not None:
            with suppress(OSError):  # somebody has killed it
                process.stdin.write(f"{word}\n".encode())
                process.stdin.flush()
