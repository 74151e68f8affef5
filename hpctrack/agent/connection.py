"""One rank's connection, as the agent sees it."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpctrack.agent.recorder import Recorder, Session
from hpctrack.core import wire
from hpctrack.core.names import check_id
from hpctrack.core.wire import Frame, Kind
from hpctrack.errors import HpctrackError, ProtocolError
from hpctrack.store.schema import EventKind

READ_BYTES = 1024 * 1024
"""One read; ranks that log flat out share the agent's time in pieces of this size."""

_JSON_EVENTS = {
    Kind.CONFIG: EventKind.CONFIG,
    Kind.SUMMARY: EventKind.SUMMARY,
    Kind.META: EventKind.META,
    Kind.EVENT: EventKind.NOTE,
    Kind.LEDGER: EventKind.LEDGER,
}


class Connection:
    """Turns a rank's frames into calls of the run's recorder.

    Parameters
    ----------
    peer : socket
        Accepted and non-blocking.
    find_recorder : callable
        Returns the recorder for a HELLO.
    """

    def __init__(
        self, peer: socket.socket, find_recorder: Callable[[dict[str, Any]], Recorder]
    ) -> None:
        self.socket = peer
        self._find_recorder = find_recorder
        self._decoder = wire.Decoder()
        self._told = 0
        self.recorder: Recorder | None = None
        self.session: Session | None = None
        self.wants_answer = False

    def read(self) -> bool:
        """Take what has arrived; return False when the rank has left.

        Never raises: a peer that does not speak our language is told so and let go.
        """
        try:
            data = self.socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            data = b""
        if not data:
            return False
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except (HpctrackError, ValueError, KeyError, TypeError, OverflowError) as error:
            self.tell({"level": "error", "code": "protocol", "text": f"the agent hung up: {error}"})
            return False
        return True

    def leave(self) -> None:
        """Note the rank's end if it went without a word, and close."""
        if self.recorder and self.session and self.session.is_open:
            self.recorder.end(self.session, None)
        self.socket.close()

    def answer(self) -> None:
        """Confirm that everything is in the file."""
        self.wants_answer = False
        self._send(wire.pack_json(Kind.DONE, {"ok": True}))

    def tell_news(self) -> None:
        """Pass on what the recorder has noticed since the last time."""
        if self.recorder:
            for notice in self.recorder.notices[self._told :]:
                self.tell(notice)
            self._told = len(self.recorder.notices)

    def tell(self, notice: dict[str, Any]) -> None:
        """Send a notice for the user."""
        self._send(wire.pack_json(Kind.NOTICE, notice))

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.HELLO:
            self._begin(frame.json())
            return
        recorder, session = self.recorder, self.session
        if recorder is None or session is None:
            raise ProtocolError("the first frame was not a HELLO")
        if not session.is_open:
            return  # frames behind FINISH are a client's mistake, not worth a hang-up
        if frame.kind == Kind.POINTS:
            recorder.add_points(session, frame.body, frame.count)
        elif frame.kind == Kind.NAME:
            recorder.add_name(session, bytes(frame.body))
        elif frame.kind in _JSON_EVENTS:
            recorder.add_json(_JSON_EVENTS[Kind(frame.kind)], frame.json(), session)
        elif frame.kind == Kind.FLUSH:
            self.wants_answer = True
        elif frame.kind == Kind.FINISH:
            recorder.end(session, frame.json())
            self.wants_answer = True

    def _begin(self, hello: dict[str, Any]) -> None:
        if int(hello.get("wire", 0)) != wire.WIRE_VERSION:
            raise ProtocolError(
                f"the rank speaks wire version {hello.get('wire')}, this agent {wire.WIRE_VERSION}"
            )
        check_id(str(hello["project"]), what="project")
        check_id(str(hello["run"]), what="run id")
        if not Path(str(hello["store"])).is_absolute():
            raise ProtocolError("the store's path is not absolute")
        if not hello.get("user"):
            # A slow directory service must not hold up a rank; here it may take its time.
            with contextlib.suppress(KeyError):
                hello["user"] = pwd.getpwuid(os.getuid()).pw_name
        self.recorder = self._find_recorder(hello)
        self.session = self.recorder.begin(hello)
        self._send(wire.pack_json(Kind.WELCOME, {"path": str(self.recorder.folder)}))

    def _send(self, frame: bytes) -> None:
        # A rank that does not read its few answers must not hold up the others.
        with contextlib.suppress(OSError):
            self.socket.send(frame, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
