"""The sender's half of the conversation, and what is said when it breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from hpctrack.core import __version__
from hpctrack.errors import ProtocolError, RefusedError, SyncError
from hpctrack.sync.carriers.transport import Transport
from hpctrack.sync.sending.gather import Gathered
from hpctrack.sync.sending.push_result import ItemResult, Progress, ProgressCallback
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    Error,
    Hello,
    Inventory,
    Item,
    Result,
)
from hpctrack.sync.wire.plan import Plan, make_plan
from hpctrack.sync.wire.protocol import DATA_BYTES, negotiate, split_inventory
from hpctrack.sync.wire.refusal import describe, make_printable

GREETING_TIMEOUT_S = 90.0
"""From the start of the command to its first byte; Python on a cold NFS takes 20 s at worst."""

ANSWER_TIMEOUT_S = 900.0
"""The other side may have to hash everything it has, or to bring a large file to a slow disk."""

EXIT_TIMEOUT_S = 2.0
"""For the exit status of a command that has already ended its output."""

MAX_UNANSWERED = 32
"""Items whose result has not been read. Their results fit in any pipe, so that the two sides can
never wait for each other, and a link with a long round trip is still kept busy."""

NOT_FOUND_STATUSES = {126, 127}
"""What a shell returns for a command that is not there, or cannot be run."""

Answer = TypeVar("Answer", Inventory, Result, Done)

_LOST = (EOFError, ConnectionError, TimeoutError)
"""How a stream says that there is no other side any more; anything else is an answer."""


class Sender:
    """One transfer to a receiver: `begin`, `ask`, `send`, `end`.

    Parameters
    ----------
    transport : Transport
        To a ``hpctrack receive`` that has just been started.
    on_progress : callable
        Told how far it is.

    Attributes
    ----------
    sent_bytes : int
        Bytes of files that were sent.
    """

    def __init__(self, transport: Transport, on_progress: ProgressCallback) -> None:
        self.sent_bytes = 0
        self._transport = transport
        self._talk = Conversation(transport, timeout_s=ANSWER_TIMEOUT_S)
        self._on_progress = on_progress
        self._results: list[ItemResult] = []
        self._unanswered: dict[int, Item] = {}

    def begin(self) -> int:
        """Exchange greetings and return the version that both speak.

        Raises
        ------
        ProtocolError
            Something else than hpctrack answered, or there is no common version.
        SyncError
            The command is not there, or it ended.
        """
        ours = Hello(software=f"hpctrack {__version__}")
        with self._translated(is_start=True):
            # A command that has ended already cannot be written to; what it said tells more.
            with suppress(ConnectionError):
                self._talk.greet()
                self._talk.send(ours)
            self._talk.expect_greeting(timeout_s=GREETING_TIMEOUT_S)
            theirs = self._talk.receive_hello()
        return negotiate(ours, theirs)

    def ask(self, gathered: Gathered) -> Plan:
        """Find out what the other side has of ours: one exchange, however many runs."""
        there: list[Item] = []
        with self._translated():
            for part in split_inventory(list(gathered.paths)):
                self._talk.send(part)
            while True:
                answer = self._receive(Inventory)
                there += answer.items
                if answer.is_last:
                    return make_plan(gathered.paths, there)

    def send(self, gathered: Gathered, plan: Plan) -> list[ItemResult]:
        """Stream what is missing; return what became of each item."""
        with self._translated():
            for number, item in enumerate(plan.send):
                while len(self._unanswered) >= MAX_UNANSWERED:
                    self._read_result()
                self._send_item(number, item, gathered.paths[item], plan.size_bytes)
            while self._unanswered:
                self._read_result()
        return self._results

    def end(self) -> None:
        """Say that there is no more, and wait until the other side has said it too."""
        with self._translated():
            self._talk.send(Done())
            self._receive(Done)

    def _send_item(self, number: int, item: Item, path: Path, total_bytes: int) -> None:
        self._unanswered[number] = item
        self._talk.send(Begin(number, item))
        for data in _iter_pieces(path, item.size_bytes):
            self._on_progress(Progress("send", str(item.key), self.sent_bytes, total_bytes))
            self._talk.send(Data(data))
            self.sent_bytes += len(data)
        self._talk.send(End(number))
        self._on_progress(Progress("send", str(item.key), self.sent_bytes, total_bytes))

    def _read_result(self) -> None:
        result = self._receive(Result)
        item = self._unanswered.pop(result.number, None)
        if item is None:
            raise ProtocolError(f"the other side answers item {result.number}, which is not open")
        self._results.append(ItemResult.of_result(item, result))

    def _receive(self, kind: type[Answer]) -> Answer:
        message = self._talk.receive()
        if isinstance(message, kind):
            return message
        if isinstance(message, Error):
            raise self._explain_error(message)
        raise ProtocolError(f"the other side says {message.kind.name}, not {kind.kind.name}")

    @contextmanager
    def _translated(self, *, is_start: bool = False) -> Iterator[None]:
        try:
            yield
        except _LOST as error:
            raise self._explain_loss(error, is_start=is_start) from None
        except ProtocolError:
            # A shell that greets with a message and then does not find the command.
            if is_start and self._transport.wait(EXIT_TIMEOUT_S) in NOT_FOUND_STATUSES:
                raise self._explain_missing() from None
            raise

    def _explain_loss(self, error: Exception, *, is_start: bool) -> SyncError:
        peer = self._transport.peer
        if isinstance(error, TimeoutError):
            wait_s = GREETING_TIMEOUT_S if is_start else ANSWER_TIMEOUT_S
            return SyncError(f"{peer} has not answered for {wait_s:g} s")
        told = self._find_error()
        if told is not None:
            return self._explain_error(told)
        status = self._transport.wait(EXIT_TIMEOUT_S)
        if is_start and status in NOT_FOUND_STATUSES:
            return self._explain_missing()
        last_words = self._last_words()
        if is_start:
            return SyncError(
                f"`hpctrack receive` on {peer} ended before it said anything"
                + (f" (status {status})" if status is not None else "")
                + (f": {last_words}" if last_words else ""),
                hint="is hpctrack there, and as new as this one? see --remote-command",
            )
        return SyncError(
            f"the connection to {peer} was lost" + (f": {last_words}" if last_words else ""),
            hint="run the same command again: what has arrived is not sent twice",
        )

    def _explain_missing(self) -> SyncError:
        return SyncError(
            f"{self._transport.peer} has no `hpctrack`: {self._last_words() or 'not found'}",
            hint=(
                "there: pip install hpctrack; or say where it is:"
                " --remote-command '~/venv/bin/hpctrack'"
            ),
        )

    def _explain_error(self, error: Error) -> SyncError:
        text = f"{self._transport.peer}: {describe(error.code, error.facts)}"
        if error.code in {"version", "protocol"}:
            return ProtocolError(text)
        if error.code == "internal":
            return SyncError(text, hint="this is a bug there; what has arrived is safe")
        return RefusedError(text)

    def _find_error(self) -> Error | None:
        """Read on after the other side has closed: it may have said why."""
        try:
            while True:
                message = self._talk.receive()
                if isinstance(message, Error):
                    return message
        except (*_LOST, ProtocolError):
            return None

    def _last_words(self) -> str:
        lines = [line for line in self._transport.read_stderr().splitlines() if line.strip()]
        return make_printable(lines[-1].strip()) if lines else ""


def _iter_pieces(path: Path, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes, at most as many as announced.

    What cannot be read is missing: the other side counts, and refuses this item only.
    """
    left_bytes = size_bytes
    try:
        with path.open("rb") as file:
            while left_bytes > 0:
                data = file.read(min(DATA_BYTES, left_bytes))
                if not data:
                    return
                left_bytes -= len(data)
                yield data
    except OSError:
        return
