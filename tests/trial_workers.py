"""What stands for a sweep's worker: it listens, writes down what a trial says, and answers."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hpctrack.core.trial_wire import (
    MESSAGE_MAX_BYTES,
    Answer,
    Ask,
    Message,
    Report,
    Stop,
    pack_message,
    read_message,
)


class WorkerDouble:
    """A worker with an opinion, on a thread.

    Attributes
    ----------
    said : list of Message
        By all trials, in order.
    decide : callable
        Takes the reports so far and returns why the trial should stop; empty if it should not.
    is_mute : bool
        Whether it reads and does not answer.
    """

    def __init__(self, path: Path, decide: Callable[[Sequence[Report]], str]) -> None:
        self.path = path
        self.decide = decide
        self.is_mute = False
        self.said: list[Message] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        path.chmod(0o777)  # the trial may belong to another user of a test's cluster
        self._listener.listen()
        self._bell, self._rope = socket.socketpair()
        self._trials: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def reports(self) -> list[Report]:
        return [one for one in self.said if isinstance(one, Report)]

    def tell(self, why: str) -> None:
        """Have the trial stop, unasked."""
        for trial in self._trials:
            trial.send(pack_message(Stop(why)))

    def close(self) -> None:
        """Be gone, as a worker that was killed."""
        self._rope.send(b"x")
        self._thread.join()
        for one in (self._listener, self._bell, self._rope, *self._trials):
            one.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ)
            while True:
                for key, _mask in selector.select():
                    if key.fileobj is self._bell:
                        return
                    if key.fileobj is self._listener:
                        trial, _address = self._listener.accept()
                        self._trials.append(trial)
                        selector.register(trial, selectors.EVENT_READ)
                    elif not self._hear(key.fileobj):  # type: ignore[arg-type]
                        selector.unregister(key.fileobj)

    def _hear(self, trial: socket.socket) -> bool:
        try:
            data = trial.recv(MESSAGE_MAX_BYTES + 1)
        except ConnectionResetError:
            return True  # it left without reading all; what it has said is still there
        if not data:
            return False
        message = read_message(data)
        self.said.append(message)
        if isinstance(message, Ask) and not self.is_mute:
            why = self.decide(self.reports)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                trial.send(pack_message(Answer(message.number, stop=bool(why), why=why)))
        return True


@contextmanager
def listening(decide: Callable[[Sequence[Report]], str] = lambda _: "") -> Iterator[WorkerDouble]:
    """Give a worker, in a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="ht-w") as folder:
        worker = WorkerDouble(Path(folder) / "s", decide)
        try:
            yield worker
        finally:
            worker.close()


def trial_environment(path: object, *metrics: str, run: str = "t") -> dict[str, str]:
    """Return what a worker puts into the environment of a trial."""
    return {
        "HPCTRACK_SWEEP_SOCKET": os.fspath(str(path)),
        "HPCTRACK_SWEEP_METRICS": json.dumps(metrics or ("loss",)),
        "HPCTRACK_SWEEP_ID": "s",
        "HPCTRACK_TRIAL": "0",
        "HPCTRACK_RUN_ID": run,
        "HPCTRACK_PROJECT": "p",
        "HPCTRACK_ATTEMPT": "1",
    }
