"""What is said when a connection ends that should not have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hpctrack.errors import ProtocolError, RefusedError, SyncError
from hpctrack.sync.carriers.transport import Transport
from hpctrack.sync.wire.conversation import Conversation, CutOffError
from hpctrack.sync.wire.messages import OLDEST_VERSION, Error
from hpctrack.sync.wire.refusal import describe, make_printable

GREETING_TIMEOUT_S = 90.0
"""From the start of the command to its first byte; Python on a cold NFS takes 20 s at worst."""

ANSWER_TIMEOUT_S = 900.0
"""The other side may have to hash everything it has, or to bring a large file to a slow disk."""

EXIT_TIMEOUT_S = 2.0
"""For the exit status of a command that has already ended its output."""

NOT_FOUND_STATUSES = {126, 127}
"""What a shell returns for a command that is not there, or cannot be run."""

LOST = (EOFError, ConnectionError, TimeoutError, CutOffError)
"""How a stream says that there is no other side any more; anything else is an answer."""


class Explainer:
    """Turns the end of a connection into the error that a user can do something about.

    Parameters
    ----------
    transport : Transport
    talk : Conversation
        Over it.
    """

    def __init__(self, transport: Transport, talk: Conversation) -> None:
        self._transport = transport
        self._talk = talk

    @contextmanager
    def translated(self, *, is_start: bool = False) -> Iterator[None]:
        """Translate what is raised within.

        Parameters
        ----------
        is_start : bool
            Nothing has come from the other side yet.
        """
        try:
            yield
        except LOST as error:
            if isinstance(error, SyncError) and not isinstance(error, CutOffError):
                raise  # a carrier that knows why: there is no way, or no trust
            raise self._explain_loss(error, is_start=is_start) from None
        except ProtocolError:
            # A shell that greets with a message and then does not find the command.
            if is_start and self._transport.wait(EXIT_TIMEOUT_S) in NOT_FOUND_STATUSES:
                raise self._explain_missing() from None
            raise

    def explain_error(self, error: Error) -> SyncError:
        """Return what to tell of an error that the other side has told."""
        text = f"{self._transport.peer}: {describe(error.code, error.facts)}"
        if error.code == "version":
            newest = error.facts.get("newest", 0)
            behind = "there" if isinstance(newest, int) and newest < OLDEST_VERSION else "here"
            return ProtocolError(text, hint=f"update hpctrack {behind}: pip install -U hpctrack")
        if error.code == "protocol":
            return ProtocolError(text)
        if error.code == "internal":
            return SyncError(text, hint="this is a bug there; what has arrived is safe")
        return RefusedError(text)

    def _explain_loss(self, error: Exception, *, is_start: bool) -> SyncError:
        peer = self._transport.peer
        if isinstance(error, TimeoutError):
            wait_s = GREETING_TIMEOUT_S if is_start else ANSWER_TIMEOUT_S
            return SyncError(f"{peer} has not answered for {wait_s:g} s")
        told = self._find_error()
        if told is not None:
            return self.explain_error(told)
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

    def _find_error(self) -> Error | None:
        """Read on after the other side has closed: it may have said why."""
        try:
            while True:
                message = self._talk.receive()
                if isinstance(message, Error):
                    return message
        except (*LOST, ProtocolError):
            return None

    def _last_words(self) -> str:
        lines = [line for line in self._transport.read_stderr().splitlines() if line.strip()]
        return make_printable(lines[-1].strip()) if lines else ""
