"""What rank 0 has promised about the end of a run, passed on to the other ranks.

The agent of rank 0 writes it into a small file in the run's folder, which the agents of the other
nodes read every now and then while a rank of theirs listens.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from hpctrack.agents.session import Session
from hpctrack.core.clock import Clock
from hpctrack.core.layout import agreement_path
from hpctrack.core.lease import choose_look_s

RECORD_BYTES = 4096
"""Of the file: always the same, so that it is written in place, by one call."""

TEXT_MAX_CHARS = 500

TRACKS = ("call", "step")


class Agreement:
    """The state of one run on one node.

    Parameters
    ----------
    folder : path
        The run's.
    hello : mapping
        Of the first rank: ``attempt, launch, size, local_size``.
    sessions : sequence of Session
        All that the run has with this agent.
    clock : Clock
        For the looks at the file.

    Attributes
    ----------
    version : int
        Grows with each change; 0 means that there is nothing to tell.

    Notes
    -----
    The file is never replaced: a client of NFS would look at the old one for a while. Its name has
    the attempt, and it says whose launch it is of, so that nobody takes an old promise for a new
    one. What was torn by a reader that came too early does not have the right checksum, and is read
    again at the next look.
    """

    def __init__(
        self,
        folder: os.PathLike[str],
        hello: Mapping[str, Any],
        sessions: Sequence[Session],
        *,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._launch = str(hello.get("launch", ""))
        self._path = agreement_path(folder, int(hello["attempt"]))
        self._size = int(hello.get("size", 1))
        self._sessions = sessions
        self._look_s = choose_look_s(self._size, int(hello.get("local_size", 1)))
        self._looked_s = -1e9
        self._seen = b""
        self._giver: Session | None = None
        self._listeners: list[Session] = []
        self.state: dict[str, Any] = {}
        self.version = 0

    def take(self, session: Session, told: Mapping[str, Any]) -> None:
        """Take what a rank says in a LEASE frame."""
        if told.get("listen"):
            self._listeners.append(session)
            return
        track = str(told.get("track"))
        if session.rank != 0 or track not in TRACKS:
            return
        said = dict(self.state.get(track, {}))
        for key in ("until", "after"):
            if key in told:
                said[key] = int(told[key])
        for key in ("who", "why"):
            if key in told:
                said[key] = str(told[key])[:TEXT_MAX_CHARS]
        self._giver = session
        self._set({**self.state, track: said, "gone": False})
        self._write()

    def leave(self, session: Session) -> None:
        """Note that a rank has left: nobody need wait for a word of rank 0 any more."""
        if session in self._listeners:
            self._listeners.remove(session)
        if session is self._giver:
            self._giver = None
            self._set({**self.state, "gone": True})
            self._write()

    def next_due_s(self) -> float:
        """Return the monotonic time at which `look` should be called next."""
        if not self._listeners or self._giver is not None:
            return float("inf")
        return self._looked_s + self._look_s

    def look(self) -> None:
        """Read the file of rank 0's agent, if it is another one and it is time to."""
        if self._clock.mono_s() < self.next_due_s():
            return
        self._looked_s = self._clock.mono_s()
        state = self._read()
        if state is not None and state != self.state:
            self._set(state)

    def _set(self, state: dict[str, Any]) -> None:
        self.state = state
        self.version += 1

    def _write(self) -> None:
        """Write the file, for ranks of other nodes, or with a recorder on a thread of their own."""
        if self._size <= len({one.rank for one in self._sessions}):
            return
        text = json.dumps({"launch": self._launch, "state": self.state}).encode()
        record = f"{zlib.crc32(text):08x} ".encode() + text
        # What cannot be written, in a full store, say, costs the other nodes' ranks a time-out.
        with contextlib.suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(handle, record.ljust(RECORD_BYTES)[:RECORD_BYTES], 0)
            finally:
                os.close(handle)

    def _read(self) -> dict[str, Any] | None:
        """Return what the file says; None if that is nothing, nothing new, or not whole."""
        data = b""
        with contextlib.suppress(OSError):
            # Made if it is not there: else NFS would remember for half a minute that it was not.
            handle = os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                data = os.pread(handle, RECORD_BYTES, 0).rstrip()
            finally:
                os.close(handle)
        if not data or data == self._seen:
            return None
        check, _, text = data.partition(b" ")
        if check != f"{zlib.crc32(text):08x}".encode():
            return None
        self._seen = data
        try:
            told = json.loads(text)
            state = told["state"]
        except (ValueError, KeyError, TypeError):
            return None
        is_ours = told.get("launch") == self._launch and isinstance(state, dict)
        return state if is_ours else None
