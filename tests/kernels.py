"""A real Jupyter kernel, driven as a notebook drives one."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import KernelManager

TIMEOUT_S = 180


@dataclass
class Cell:
    """What became of a cell, as its notebook shows it.

    Attributes
    ----------
    status : str
        ``ok`` or ``error``.
    error : str
        The name of the error; empty if there was none.
    shown : dict
        Text by stream (``stdout``, ``stderr``), in the order of coming.
    result : str
        The value of its last line.
    """

    status: str = ""
    error: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    result: str = ""


class Kernel:
    """A kernel in a process of its own.

    Parameters
    ----------
    environ : mapping, optional
        Its environment; default ours.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.manager = KernelManager()
        # After the usual 5 s it is killed, though it may only be waiting for a busy machine.
        self.manager.shutdown_wait_time = TIMEOUT_S
        given = os.environ if environ is None else environ
        # A kernel that is told of pytest does not watch its descriptors.
        told = {name: text for name, text in given.items() if not name.startswith("PYTEST")}
        self.manager.start_kernel(extra_arguments=["--log-level=ERROR"], env=told)
        self._client: Any = self.manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT_S)

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.wait(self.start(code))

    def start(self, code: str) -> str:
        """Start a cell; return what `wait` takes."""
        return str(self._client.execute(code))

    def wait(self, cell: str) -> Cell:
        """Wait for the end of a cell."""
        found = Cell()
        deadline = time.monotonic() + TIMEOUT_S
        while (left := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                message = self._client.get_iopub_msg(timeout=left)
                kind, content = message["msg_type"], message["content"]
                if message["parent_header"].get("msg_id") != cell:
                    continue
                if kind == "status" and content["execution_state"] == "idle":
                    break
                _note(found, kind, content)
        while True:
            reply = self._client.get_shell_msg(timeout=TIMEOUT_S)
            if reply["parent_header"].get("msg_id") == cell:
                found.status = reply["content"]["status"]
                return found

    def interrupt(self) -> None:
        """Do what the button does."""
        self.manager.interrupt_kernel()

    def restart(self, *, now: bool = False) -> None:
        """Begin anew; ``now`` kills the old process."""
        self.manager.restart_kernel(now=now)
        self._client.wait_for_ready(timeout=TIMEOUT_S)

    def close(self, *, now: bool = False) -> None:
        """End the kernel as closing the notebook does, and wait until it has gone."""
        self._client.stop_channels()
        self.manager.shutdown_kernel(now=now)
        self.manager.cleanup_resources()


@contextmanager
def running_kernel() -> Iterator[Kernel]:
    """Give a kernel and end it."""
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()


def _note(cell: Cell, kind: str, content: dict[str, Any]) -> None:
    if kind == "stream":
        cell.shown[content["name"]] = cell.shown.get(content["name"], "") + content["text"]
    elif kind == "error":
        cell.error = content["ename"]
    elif kind == "execute_result":
        cell.result = content["data"]["text/plain"]
