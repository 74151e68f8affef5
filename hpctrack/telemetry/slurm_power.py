"""Power of the node as Slurm knows it, where nothing on the node tells us."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Mapping
from contextlib import suppress

from hpctrack.telemetry.reading import Reading, Sample

PERIOD_S = 300.0
"""How often the controller is asked. It answers for the whole cluster, and every node of a large
job asks: never let this be short."""

WAIT_MAX_S = 30.0
"""A program that has not answered by then is ended."""


def parse_node_watts(text: str) -> int | None:
    """Return ``CurrentWatts`` of ``scontrol show node``, or None if Slurm does not measure it.

    Without a plug-in (``AcctGatherEnergyType``) it says ``n/s`` or 0.
    """
    for word in text.split():
        name, _equals, value = word.partition("=")
        if name == "CurrentWatts":
            return int(value) if value.isdecimal() and int(value) > 0 else None
    return None


class SlurmPower:
    """Asks ``scontrol`` now and then, without waiting for the answer.

    Parameters
    ----------
    environ : mapping
        Of the job: says the node's name and where programs are.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._node = environ.get("SLURMD_NODENAME", "")
        self._program = shutil.which("scontrol", path=environ.get("PATH", ""))
        self._environ = dict(environ)
        self._child: subprocess.Popen[str] | None = None
        self._started_s = 0.0
        # Nodes of one job ask at different moments.
        self._wait_s = zlib.crc32(self._node.encode()) % 1000 / 1000 * PERIOD_S
        self._due_s: float | None = None
        self._is_told = True

    @property
    def is_waiting(self) -> bool:
        """Whether a program runs that has not answered yet."""
        return self._child is not None

    def read(self, mono_s: float, into: Reading) -> None:
        """Add the answer that has come, if any, to a reading; ask again when it is time."""
        if not (self._program and self._node and self._is_told):
            return
        if self._due_s is None:
            self._due_s = mono_s + self._wait_s
        if self._child is not None:
            self._collect(mono_s, into)
        elif mono_s >= self._due_s:
            self._due_s = self._started_s = mono_s
            self._due_s += PERIOD_S
            self._ask()

    def close(self) -> None:
        """End a program that still runs."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(self) -> None:
        command = [self._program or "scontrol", "--oneliner", "show", "node", self._node]
        with suppress(OSError):
            self._child = subprocess.Popen(
                command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def _collect(self, mono_s: float, into: Reading) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            if mono_s - self._started_s > WAIT_MAX_S:
                self.close()
            return
        answer, _errors = child.communicate()
        self._child = None
        watts = parse_node_watts(answer)
        if watts is not None:
            into.samples.append(Sample("power/node_w", watts))
        elif child.returncode == 0:
            self._is_told = False  # it is not measured: never asked again
