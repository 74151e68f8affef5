"""One run on one node: from frames to the node file, with a spill when the store fails."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.core.wire import NAME_HEAD, POINT, POINTS_HEAD
from hpctrack.errors import HpctrackError
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import EventKind

PENDING_MAX_BYTES = 64 * 1024 * 1024
"""Rows held while no file can be written, neither in the store nor in the spill."""

_ROW = struct.Struct("<qddII")
"""`schema.POINT` as bytes: step, wall_s, value, metric, rank; a test compares the two."""


@dataclass(slots=True)
class Session:
    """One rank's connection, as the file knows it."""

    number: int
    rank: int
    hello: dict[str, Any]
    metric_numbers: dict[int, int] = field(default_factory=dict)
    is_open: bool = True


@dataclass(slots=True)
class _Event:
    kind: EventKind
    body: bytes
    wall_s: float
    rank: int
    session: int


class Recorder:
    """Writes one run's points and events of this node.

    Parameters
    ----------
    hello : mapping
        The first rank's HELLO, checked by the caller.
    clock : Clock
        For time stamps and intervals.

    Notes
    -----
    Rows wait in memory for at most ``flush_interval_s``, then go through to the page cache. When
    the store cannot be written, the run continues in the spill folder of this node, and says so;
    when that cannot be written either, the newest rows are dropped and counted.
    """

    def __init__(self, hello: Mapping[str, Any], *, clock: Clock) -> None:
        self._clock = clock
        self._facts = {key: hello[key] for key in ("run", "project", "node", "attempt", "host")}
        self._settings: Mapping[str, Any] = hello.get("settings") or {}
        self._store = Path(str(hello["store"]))
        self.folder = run_folder(self._store, str(hello["project"]), str(hello["run"]))
        self._names: dict[str, int] = {}
        self._rows = bytearray()
        self._events: list[_Event] = []
        self._kept: dict[tuple[EventKind, int, str], _Event] = {}
        self._file: NodeFile | None = None
        self._dropped_points = 0
        self._last_flush_s = -1e9
        self._last_pulse_s = self._clock.mono_s()
        self.sessions: list[Session] = []
        self.notices: list[dict[str, Any]] = []
        self.is_spilled = False
        self.is_closed = False
        self.idle_since_s = self._clock.mono_s()
        self._open_file()

    # -- what ranks say --------------------------------------------------------------------------

    def begin(self, hello: dict[str, Any]) -> Session:
        """Take a rank in."""
        session = Session(len(self.sessions), int(hello["rank"]), hello)
        self.sessions.append(session)
        self._add(EventKind.START, hello, session, keep=f"start {session.number}")
        return session

    def end(self, session: Session, farewell: dict[str, Any] | None) -> None:
        """Let a rank go: with what it said at its end, or lost."""
        session.is_open = False
        if farewell is None:
            self._add(EventKind.LOST, {}, session, keep=f"end {session.number}")
        else:
            farewell["exit_code"] = int(farewell.get("exit_code", 0))
            self._add(EventKind.END, farewell, session, keep=f"end {session.number}")
        self.idle_since_s = self._clock.mono_s()

    def add_name(self, session: Session, body: bytes) -> None:
        """Take a rank's number for a metric."""
        (number,) = NAME_HEAD.unpack_from(body)
        name = body[NAME_HEAD.size :].decode("utf-8", "replace")
        known = self._names.get(name)
        if known is None:
            known = self._names[name] = len(self._names)
            event = NAME_HEAD.pack(known) + name.encode()
            self._add_raw(EventKind.NAME, event, session, keep=f"name {known}")
        session.metric_numbers[number] = known

    def add_points(self, session: Session, body: memoryview, count: int) -> None:
        """Take the numbers of one ``log`` call."""
        step, wall_s = POINTS_HEAD.unpack_from(body)
        numbers, rank, rows = session.metric_numbers, session.rank, self._rows
        if len(rows) + count * _ROW.size > PENDING_MAX_BYTES:
            self._dropped_points += count
            return
        for metric, value in POINT.iter_unpack(body[POINTS_HEAD.size :]):
            known = numbers.get(metric)
            if known is not None:
                rows += _ROW.pack(step, wall_s, value, known, rank)

    def add_json(self, kind: EventKind, value: dict[str, Any], session: Session) -> None:
        """Take a configuration, summary, description, note or ledger."""
        key = ",".join(sorted(value)) if kind in {EventKind.SUMMARY, EventKind.META} else ""
        is_state = kind != EventKind.NOTE
        self._add(kind, value, session, keep=f"{session.number} {key}" if is_state else "")

    # -- to the file -----------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """The file that is written now."""
        return self._file.path if self._file else None

    @property
    def has_pending(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._rows or self._events)

    @property
    def points(self) -> int:
        """Points written to the present file."""
        return self._file.sizes["points"] if self._file else 0

    def next_due_s(self) -> float:
        """Return the monotonic time at which `flush` should be called next."""
        pulse = self._last_pulse_s + float(self._settings.get("heartbeat_s", 5.0))
        if not self.has_pending:
            return pulse
        return min(pulse, self._last_flush_s + float(self._settings.get("flush_interval_s", 0.05)))

    def flush(self) -> bool:
        """Write what waits through to the page cache; return whether it is there."""
        if self.is_closed:
            return True
        now = self._clock.mono_s()
        self._last_flush_s = self._last_pulse_s = now
        for _attempt in range(2):
            if self._file is None:
                self._open_file()
            if self._file is None:
                return False
            try:
                self._write(self._file)
            except Exception as error:  # noqa: BLE001 - HDF5 raises many kinds; the rows are still here
                self._leave_file(error)
                continue
            return True
        return False

    def close(self) -> None:
        """Write everything and close the file."""
        if self._dropped_points:
            entry = {"dropped_points": self._dropped_points}
            body = json.dumps(entry).encode()
            self._events.append(_Event(EventKind.LEDGER, body, self._clock.wall_s(), -1, 2**31))
        if self.flush() and self._file is not None:
            try:
                self._file.close(wall_s=self._clock.wall_s())
            except Exception as error:  # noqa: BLE001 - it was flushed a moment ago
                self._note("close", f"{self._file.path} could not be closed: {error}")
        self._file = None
        self.is_closed = True

    def is_done(self) -> bool:
        """Whether all ranks that this node has of the run came and went."""
        if not self.sessions or any(one.is_open for one in self.sessions):
            return False
        local_size = max(int(one.hello.get("local_size", 1)) for one in self.sessions)
        return len({one.rank for one in self.sessions}) >= local_size

    def _write(self, file: NodeFile) -> None:
        """Write events before points, so that a point's name is never behind it."""
        while self._events:
            one = self._events[0]
            file.add_event(
                one.kind, one.body, wall_s=one.wall_s, rank=one.rank, session=one.session
            )
            self._events.pop(0)
        if self._rows:
            file.add_points(bytes(self._rows))
            self._rows.clear()
        file.flush(wall_s=self._clock.wall_s())

    def _open_file(self) -> None:
        """Open a file in the store, else in the spill."""
        folders = [] if self.is_spilled else [self.folder]
        reason = ""
        for folder in [*folders, self._spill_folder()]:
            try:
                self._file = NodeFile(folder, self._facts, wall_s=self._clock.wall_s())
            except HpctrackError as error:
                reason = error.message
                continue
            if folder != self.folder and not self.is_spilled:
                self.is_spilled = True
                self._note("spill", f"{reason}; the run goes on in {folder}")
            self._events[:0] = list(self._kept.values())
            return
        self._note("unwritable", f"{reason}; nothing can be written, points will be dropped")

    def _leave_file(self, error: Exception) -> None:
        """Give up a file that failed: HDF5 must not be asked to flush it again."""
        self._note("store-failed", f"{self.path} cannot be written any more: {error}")
        self._file = None
        self.is_spilled = True

    def _spill_folder(self) -> Path:
        base = self._settings.get("spill_dir") or Path(tempfile.gettempdir()) / (
            f"hpctrack-spill-{os.getuid()}"
        )
        facts = self._facts
        return run_folder(Path(str(base)), str(facts["project"]), str(facts["run"]))

    # -- events ----------------------------------------------------------------------------------

    def _note(self, code: str, text: str) -> None:
        note = {"level": "warning", "code": code, "text": text}
        self.notices.append(note)
        body = json.dumps(note).encode()
        self._events.append(_Event(EventKind.NOTE, body, self._clock.wall_s(), -1, 2**31))

    def _add(
        self, kind: EventKind, value: Mapping[str, Any], session: Session, *, keep: str
    ) -> None:
        self._add_raw(kind, json.dumps(value).encode(), session, keep=keep)

    def _add_raw(self, kind: EventKind, body: bytes, session: Session, *, keep: str) -> None:
        event = _Event(kind, body, self._clock.wall_s(), session.rank, session.number)
        self._events.append(event)
        if keep:
            self._kept[kind, session.rank, keep] = event
