"""A push to another folder of this machine: the receiving side is a child process."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from hpctrack.core.settings import copy_environment
from hpctrack.errors import ConnectError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.carriers.transport import STDERR_KEPT_BYTES

CLOSE_TIMEOUT_S = 10.0
"""A receiver whose input has ended and that does not end is killed; nothing is lost by it."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
# -P keeps the user's folder out of the child's path: a click.py there would be taken for click.
_START = "import sys; sys.path.append(sys.argv.pop(1)); from hpctrack.cli.main import main; main()"


class ProcessTransport:
    """``hpctrack receive`` as a child.

    Parameters
    ----------
    store : Path
        The other store.
    remote_command : str, optional
        Shell words that start another hpctrack than this one.

    Raises
    ------
    ConnectError
        It cannot be started.
    """

    carrier = "local"
    reason = ""

    def __init__(self, store: Path, *, remote_command: str | None = None) -> None:
        self.peer = str(store)
        # A file takes whatever the child prints; a pipe that nobody reads would stop it.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        try:
            self._child = subprocess.Popen(
                _make_command(store, remote_command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                env=copy_environment(),
                # Ctrl-C is ours to handle: the child then sees the end of its input.
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise ConnectError(f"`hpctrack receive` cannot be started: {error.strerror}") from None
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None  # noqa: S101 - asked for above
        assert stdout is not None  # noqa: S101 - asked for above
        self._pipes = (stdin, stdout)
        self._stream = FdStream(stdout.fileno(), stdin.fileno())

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        return self._stream.read(max_bytes, timeout_s=timeout_s)

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        return self._stream.poll(timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything."""
        self._stream.write(data)

    def read_stderr(self) -> str:
        """Return the end of what the child has printed."""
        if self._stderr.closed:
            return ""
        size_bytes = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size_bytes - STDERR_KEPT_BYTES))
        return self._stderr.read().decode("utf-8", "replace")

    def wait(self, timeout_s: float) -> int | None:
        """Return the child's exit status."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """End the child's input and wait for it."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        if self.wait(CLOSE_TIMEOUT_S) is None:
            # The group: a shell command may have started others.
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._stderr.close()


def _make_command(store: Path, remote_command: str | None) -> list[str]:
    if remote_command is not None:
        words = f"{remote_command} receive --store {shlex.quote(str(store))}"
        return ["/bin/sh", "-c", words]
    start = [sys.executable, "-P", "-c", _START, str(_PACKAGE_ROOT)]
    return [*start, "receive", "--store", str(store)]
