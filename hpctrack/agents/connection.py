"""One rank's connection, as the agent sees it."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hpctrack.agents.console import ConsoleDrain
from hpctrack.agents.console_events import CONSOLE_KINDS
from hpctrack.agents.joining import complete_hello
from hpctrack.agents.open_files import is_scarce
from hpctrack.agents.recorder import Recorder
from hpctrack.agents.resume import Chooser
from hpctrack.agents.session import Session
from hpctrack.agents.sync_wish import SyncWish
from hpctrack.client.spawn import peer_pid
from hpctrack.core import wire
from hpctrack.core.names import check_id
from hpctrack.core.ring_reader import RingReader
from hpctrack.core.wire import Frame, Kind
from hpctrack.errors import HpctrackError, ProtocolError
from hpctrack.store.schema import EventKind, Place

READ_BYTES = 1024 * 1024
"""One read; ranks that log flat out share the agent's time in pieces of this size."""

_JSON_EVENTS = {
    Kind.SUMMARY: EventKind.SUMMARY,
    Kind.META: EventKind.META,
    Kind.EVENT: EventKind.NOTE,
    Kind.LEDGER: EventKind.LEDGER,
    Kind.DEFINE: EventKind.DEFINE,
}

_PLACE_KEYS = ("key", "step", "n")
"""What the rank says of a medium, whatever the encoder makes of it."""

UNSENT_MAX_BYTES = 4 * 1024 * 1024
"""Answers that wait for a rank to read; what a run goes on from may be large."""

FILES_MAX = 8
"""Descriptors that may come with one message; only HELLO has some."""


def encode_media(
    description: dict[str, Any], payload: bytes
) -> list[tuple[dict[str, Any], Place, bytes]]:
    """Encode what a MEDIA frame holds; may take long."""
    # Loaded when the first picture comes: most runs have none.
    from hpctrack.agents.encode import encode  # noqa: PLC0415

    found = encode(description, memoryview(payload))
    kept: dict[str, Any] = {key: description[key] for key in _PLACE_KEYS if key in description}
    return [({**one.description, **kept}, one.place, one.body) for one in found]


def refuse(peer: socket.socket) -> None:
    """Tell a rank that it cannot be served here."""
    text = "the agent may not open more files (ulimit -n): it cannot serve this rank"
    with contextlib.suppress(OSError):
        frame = wire.pack_json(Kind.NOTICE, {"level": "error", "code": "files", "text": text})
        peer.send(frame, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Connection:
    """Turns a rank's frames into calls of the run's recorder.

    Parameters
    ----------
    peer : socket
        Accepted and non-blocking.
    find_recorder : callable
        Returns the recorder for a HELLO.
    chooser : Chooser
        Knows which run and attempt a HELLO means.
    """

    def __init__(
        self,
        peer: socket.socket,
        find_recorder: Callable[[dict[str, Any]], Recorder],
        chooser: Chooser,
    ) -> None:
        self.socket = peer
        self._chooser = chooser
        self._is_stop_told = False
        self._is_listening = False
        self._agreed_version = 0
        self._find_recorder = find_recorder
        self._decoder = wire.Decoder()
        self._told = 0
        self._files: list[int] = []
        self._is_cut = False
        self.recorder: Recorder | None = None
        self.session: Session | None = None
        self.wants_answer = False
        self.wants_settled = False
        self._unsent = bytearray()
        self._sync_wish = SyncWish(self.tell)

    def read(self) -> bool:
        """Take what has arrived; return False when the rank has left.

        Never raises: a peer that does not speak our language is told so and let go.
        """
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            data = b""
        if not data:
            return False
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except (
            HpctrackError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
        ) as error:
            self.tell({"level": "error", "code": "protocol", "text": f"the agent hung up: {error}"})
            return False
        return True

    def leave(self) -> None:
        """Note the rank's end if it went without a word, and close."""
        self._sync_wish.act(is_last=True)
        if self.recorder and self.session and self.session.is_open:
            self.recorder.end(self.session, None)
        if self.recorder and self.session:
            self.recorder.agreement.leave(self.session)
        for fd in self._files:
            os.close(fd)
        self._files.clear()
        self.socket.close()

    def answer(self) -> None:
        """Confirm that everything is in the file, or sealed."""
        self._sync_wish.act(is_last=True)
        self.wants_answer = self.wants_settled = False
        self._send(wire.pack_json(Kind.DONE, {"ok": True}))

    def leave_wish(self) -> None:
        """Leave the rank's wish that its run be pushed, if it has one and it is time."""
        self._sync_wish.act()

    def tell_news(self) -> None:
        """Pass on what the recorder has noticed since the last time."""
        self.leave_wish()
        if self.recorder:
            # What a rule says is long, and one rank of a node is enough to tell it to the user.
            is_first = self.session is None or not self.session.hello.get("local_rank")
            for notice in self.recorder.notices[self._told :]:
                if is_first or "rule" not in notice:
                    self.tell(notice)
            self._told = len(self.recorder.notices)
            if self.recorder.stop_request and not self._is_stop_told:
                self._is_stop_told = True
                self._send(wire.pack_json(Kind.STOP, self.recorder.stop_request))

    def tell_agreement(self) -> None:
        """Pass on what rank 0 has promised, to a rank that listens and has read what it was told.

        What is told is the whole of it: nothing is lost by what is passed over meanwhile.
        """
        if not self._is_listening or self._unsent or self.recorder is None:
            return
        agreement = self.recorder.agreement
        if self._agreed_version != agreement.version:
            self._agreed_version = agreement.version
            self._send(wire.pack_json(Kind.AGREED, agreement.state))

    def tell(self, notice: dict[str, Any]) -> None:
        """Send a notice for the user."""
        self._send(wire.pack_json(Kind.NOTICE, notice))

    def _receive(self) -> bytes:
        """Read; until the rank has said HELLO, with the files that come along."""
        if self.session is not None:
            return self.socket.recv(READ_BYTES)
        data, files, flags, _address = socket.recv_fds(self.socket, READ_BYTES, FILES_MAX)
        self._files += files
        self._is_cut = self._is_cut or bool(flags & socket.MSG_CTRUNC)
        return data

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.HELLO:
            self._begin(frame.json())
            return
        if frame.kind == Kind.SETTLE:
            self.wants_settled = True
            return
        recorder, session = self.recorder, self.session
        if recorder is None or session is None:
            raise ProtocolError("the first frame was not a HELLO")
        if not session.is_open:
            return  # frames behind FINISH are a client's mistake, not worth a hang-up
        session.frames_seen += 1
        if frame.kind in _JSON_EVENTS:
            recorder.add_json(_JSON_EVENTS[frame.kind], frame.json(), session)
        elif frame.kind in {Kind.CONFIG, Kind.CONFIG_CHANGE}:
            session.take_config(frame.json(), is_whole=frame.kind == Kind.CONFIG)
        elif frame.kind == Kind.FLUSH:
            self.wants_answer = True
        elif frame.kind == Kind.FINISH:
            farewell = frame.json()
            recorder.end(session, farewell)
            recorder.agreement.leave(session)
            self._chooser.finish(session.hello, farewell["exit_code"])
            self.wants_answer = True
        elif frame.kind == Kind.SAVE:
            recorder.add_files(session, frame.json())
        else:
            self._take_bytes(recorder, session, frame)

    def _take_bytes(self, recorder: Recorder, session: Session, frame: Frame) -> None:
        """Take a frame of a rarer kind, or without JSON; a newer client's are passed over."""
        if frame.kind == Kind.POINTS:
            recorder.add_points(session, frame.body, frame.count)
        elif frame.kind == Kind.NAME:
            recorder.add_name(session, bytes(frame.body))
        elif frame.kind == Kind.CONSOLE and frame.count in CONSOLE_KINDS:
            wall_s, data = wire.unpack_console(frame.body)
            recorder.add_console(session, CONSOLE_KINDS[frame.count], data, wall_s=wall_s)
        elif frame.kind == Kind.LEASE:
            told = frame.json()
            self._is_listening = self._is_listening or bool(told.get("listen"))
            recorder.agreement.take(session, told)
        elif frame.kind == Kind.REQUEST_SYNC:
            self._sync_wish.ask(recorder, session)
        elif frame.kind == Kind.MEDIA:
            description, payload = wire.unpack_media(frame.body)
            raw = bytes(payload)  # the frame's memory is gone when the encoder comes to it
            if description.get("type") == "file":
                recorder.add_file(session, description, raw)
                return
            # What is named by its path is not in the frame, but will be in our memory.
            source = description.get("source")
            named = source.get("size", 0) if isinstance(source, dict) else 0
            size_bytes = len(raw) + (named if isinstance(named, int) else 0)
            recorder.add_media(session, partial(encode_media, description, raw), size_bytes)

    def _begin(self, hello: dict[str, Any]) -> None:
        if int(hello.get("wire", 0)) != wire.WIRE_VERSION:
            raise ProtocolError(
                f"the rank speaks wire version {hello.get('wire')}, this agent {wire.WIRE_VERSION}"
            )
        self._check_files(hello.pop("files", None))
        check_id(str(hello["project"]), what="project")
        check_id(str(hello["run"]), what="run id")
        if not Path(str(hello["store"])).is_absolute():
            raise ProtocolError("the store's path is not absolute")
        if "rank" not in hello:
            complete_hello(hello)
        if not hello.get("user"):
            # A slow directory service must not hold up a rank; here it may take its time.
            with contextlib.suppress(KeyError):
                hello["user"] = pwd.getpwuid(os.getuid()).pw_name
        choice = self._chooser.choose(hello)
        choice.apply(hello)
        self.recorder = self._find_recorder(hello)
        ring = RingReader(self._files.pop(0)) if self._files else None
        self.session = self.recorder.begin(hello, ring)
        self.session.frames_seen = 1
        self.session.pid = peer_pid(self.socket) or self.session.pid
        self._take_console()
        told = {"path": str(self.recorder.folder), **choice.to_welcome()}
        self._send(wire.pack_json(Kind.WELCOME, told))
        for notice in choice.notices:
            self.tell(notice)
            if self.session.rank == 0:
                self.recorder.add_json(EventKind.NOTE, notice, self.session)

    def _check_files(self, sent: object) -> None:
        """Refuse a rank whose ring has not arrived: its points would vanish without a trace."""
        if self._is_cut or (isinstance(sent, int) and sent > len(self._files)):
            raise ProtocolError(
                f"{len(self._files)} of {sent} files came: the agent may open no more (ulimit -n)"
            )

    def _take_console(self) -> None:
        """Take what the rank's console needs should the rank die, if we may hold so many files."""
        files, self._files = self._files, []
        if not files or self.session is None or self.recorder is None:
            return
        if not is_scarce(max(files)):
            self.session.console = ConsoleDrain.from_fds(files)
            return
        for fd in files:
            os.close(fd)
        text = (
            f"rank {self.session.rank}: its last lines are lost if it is killed: "
            "too few files may be open (ulimit -n)"
        )
        self.recorder.add_json(
            EventKind.NOTE, {"level": "info", "code": "files", "text": text}, self.session
        )

    def _send(self, frame: bytes) -> None:
        # A rank that does not read its few answers must not hold up the others.
        if len(self._unsent) + len(frame) <= UNSENT_MAX_BYTES or not self._unsent:
            self._unsent += frame
        self.push()

    @property
    def has_unsent(self) -> bool:
        """Whether the rank has not taken all of an answer yet."""
        return bool(self._unsent)

    def push(self) -> None:
        """Send what the rank has had no room for, as far as it has now."""
        with contextlib.suppress(OSError):
            while self._unsent:
                sent = self.socket.send(self._unsent, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                del self._unsent[:sent]
