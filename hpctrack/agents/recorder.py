"""One run on one node: from what ranks say to the node file, with a spill when the store fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.agents.agreement import Agreement
from hpctrack.agents.console import ConsoleDrain, Pieces
from hpctrack.agents.console_events import CONSOLE_KINDS, add_joined
from hpctrack.agents.encoder import EncodedMedia, Encoder, Work, write_media
from hpctrack.agents.points import UNKNOWN
from hpctrack.agents.provenance import Provenance
from hpctrack.agents.rule_secrets import hide_in_hello
from hpctrack.agents.rule_watch import RuleWatch
from hpctrack.agents.run_folders import find_latest_s, find_spill
from hpctrack.agents.samples import SampleBook
from hpctrack.agents.saved_files import SavedFiles
from hpctrack.agents.session import Session, make_session
from hpctrack.agents.stop import read_stop
from hpctrack.agents.takeover import pass_over_written
from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.core.names import metric_name_problem
from hpctrack.core.ring_reader import RingReader
from hpctrack.core.settings import environment
from hpctrack.core.wire import NAME_HEAD
from hpctrack.errors import HpctrackError
from hpctrack.store.node_file import NOBODY, ROLL_OVER_BYTES, ROLL_OVER_S, NewEvent, NodeFile
from hpctrack.store.schema import EventKind, Place
from hpctrack.telemetry.reading import Reading

PENDING_MAX_BYTES = 64 * 1024 * 1024
"""Rows and media held while no file can be written, neither in the store nor in the spill. Then
the rings are not read any more, and ranks drop, and count, what finds no room there."""

POLL_SHARE = 0.8
"""How often rings are looked at, as a share of the flush interval: a point waits for the next look
and then for its flush, and both together should stay within the interval."""

END_KINDS = frozenset({EventKind.END, EventKind.LOST})


class Recorder:
    """Writes one run's points, samples and events of this node.

    Parameters
    ----------
    hello : mapping
        The first rank's HELLO, checked by the caller.
    clock : Clock
        For time stamps and intervals.

    Attributes
    ----------
    sessions : list of Session
        All that there were.
    changes : int
        Grows when a rank comes or goes.

    Notes
    -----
    What ranks put into their rings is decoded, written and flushed to the page cache, and only
    then confirmed: an agent that dies leaves the rest to its successor. When the store cannot be
    written, the run continues in the spill folder of this node, and says so.
    """

    def __init__(self, hello: Mapping[str, Any], *, clock: Clock) -> None:
        self._clock = clock
        self._facts = {key: hello[key] for key in ("run", "project", "node", "attempt", "host")}
        self._settings: Mapping[str, Any] = hello.get("settings") or {}
        self._store = Path(str(hello["store"]))
        self.folder = run_folder(self._store, str(hello["project"]), str(hello["run"]))
        self._spill = find_spill(self._settings, self._facts)
        self._names: dict[str, int] = {}
        self._rows = bytearray()
        self._events: list[NewEvent] = []
        self._media: list[EncodedMedia] = []
        self._book = SampleBook()
        self._samples = bytearray()
        self._payloads: set[str] = set()
        self._kept: dict[tuple[EventKind, int, str], NewEvent] = {}
        self._encoder = Encoder()
        self._saved = SavedFiles()
        self._provenance = Provenance(int(hello["node"]), self._settings, clock=clock)
        self._is_suspect = bool(int(hello.get("agents_lost", 0)))
        self._file: NodeFile | None = None
        # A successor's clock may have been put back.
        node, attempt = int(hello["node"]), int(hello["attempt"])
        self._told_wall_s = find_latest_s((self.folder, self._spill), node, attempt)
        self._opened_wall_s = self._told_wall_s
        self._flush_interval_s = float(self._settings.get("flush_interval_s", 0.05))
        self._heartbeat_s = float(self._settings.get("heartbeat_s", 5.0))
        self._last_flush_s = -1e9
        self._last_pulse_s = self._last_look_s = self._clock.mono_s()
        self.sessions: list[Session] = []
        self.changes = 0
        self.notices: list[dict[str, Any]] = []
        self.left_consoles: list[ConsoleDrain] = []
        self.agreement = Agreement(self.folder, hello, self.sessions, clock=clock)
        self.stop_request: dict[str, Any] | None = None
        self.is_spilled = False
        self._is_spill_told = False
        self.is_closed = False
        self.idle_since_s = self._clock.mono_s()
        self._rules = RuleWatch(
            hello, folder=self.folder, clock=clock, environ=environment(), names=self._names,
            sessions=self.sessions, say=self._tell,
        )  # fmt: skip
        self._open_file()

    # -- what ranks say --------------------------------------------------------------------------

    def begin(self, hello: dict[str, Any], ring: RingReader | None = None) -> Session:
        """Take a rank in."""
        self._provenance.begin(hello)
        session = make_session(len(self.sessions), hello, self._find_number, ring)
        if ring is not None and int(hello.get("agents_lost", 0)):
            folders = (self.folder, self._spill)
            if not pass_over_written(session, ring, folders, self._find_number, beside=self.path):
                self._note("twice", f"rank {session.rank}: some points may be recorded twice")
        self.sessions.append(session)
        self._rules.begin(hello)
        self.changes += 1
        told = hide_in_hello(hello, environment())
        self._add(EventKind.START, told, session, keep=f"start {session.number}")
        if hello.get("agents_lost"):
            session.ledger["agents_lost"] = int(hello["agents_lost"])
            self._add_ledger(session)
        return session

    def end(self, session: Session, farewell: dict[str, Any] | None) -> None:
        """Let a rank go: with what it said at its end, or lost."""
        session.names_left = 0  # what has not come by now never will
        session.read_ring(self._note, is_last=True)
        self._add_config(session)
        session.is_open = False
        self.changes += 1
        if session.console is not None:
            self._add_console(session, session.console.finish())
        self._read_files(session, self._saved.take_leave(session.number))
        if session.update_ledger():
            self._add_ledger(session)
        if farewell is None:
            self._add(EventKind.LOST, {}, session, keep=f"end {session.number}")
        else:
            farewell["exit_code"] = int(farewell.get("exit_code", 0))
            self._add(EventKind.END, farewell, session, keep=f"end {session.number}")
        self.idle_since_s = self._clock.mono_s()

    def add_name(self, session: Session, body: bytes) -> None:
        """Take a rank's number for a metric, from a client that does not put it into a ring."""
        session.decoder.add_name(body)
        session.names_left -= 1

    def add_points(self, session: Session, body: memoryview, count: int) -> None:
        """Take the numbers of one ``log`` call, from a client without a ring."""
        session.decoder.add_body(body, count)

    def add_json(self, kind: EventKind, value: dict[str, Any], session: Session) -> None:
        """Take a summary, description, definition, note or ledger."""
        if kind == EventKind.LEDGER:
            session.ledger.update(value)
            self._add_ledger(session)
            return
        key = ",".join(sorted(value)) if kind in {EventKind.SUMMARY, EventKind.META} else ""
        if kind == EventKind.DEFINE:
            key = str(value.get("name", ""))
        is_state = kind != EventKind.NOTE
        self._add(kind, value, session, keep=f"{session.number} {key}" if is_state else "")

    def add_media(self, session: Session, work: Work, size_bytes: int) -> None:
        """Take something that is encoded, or read, before it can be written."""
        self._rules.note_logged()
        self._encoder.submit(session, work, size_bytes)

    def add_files(self, session: Session, request: dict[str, Any]) -> None:
        """Take files of this node into the run, now or when the rank ends."""
        self._read_files(session, self._saved.take(request, session.number))

    def add_file(self, session: Session, told: dict[str, Any], body: bytes) -> None:
        """Take a small file that the rank has read."""
        work = self._saved.take_content(told, body)
        if work is not None:
            self._encoder.submit(session, work, len(body))

    def _read_files(self, session: Session, works: list[tuple[Work, int]]) -> None:
        if self._saved.unmatched:
            refused = session.ledger.setdefault("refused", {})
            refused["save"] = refused.get("save", 0) + self._saved.unmatched
            self._saved.unmatched = 0
            self._add_ledger(session)
        for work, size_bytes in works:
            self._encoder.submit(session, work, size_bytes)
        for problem in self._saved.problems:
            self._note("save", problem)
        self._saved.problems.clear()

    def take_reading(self, reading: Reading, wall_s: float, *, is_last: bool = False) -> None:
        """Take what a source of telemetry says of this run's ranks; at last of those that left."""
        ranks = {one.pid: one.rank for one in self.sessions if one.is_open or is_last}
        rows, told = self._book.take(reading, wall_s, ranks)
        for kind, value in told:
            self._add_own(kind, value, keep=f"{kind} {value['number']}")
        if len(self._samples) < PENDING_MAX_BYTES:
            self._samples += rows
        for happening in reading.happenings:
            self._tell(happening._asdict())
        self._rules.take_reading(() if is_last else self._book.iter_own(reading, ranks))

    def _tell(self, note: dict[str, Any], rank: int = -1) -> None:
        if note["level"] != "info":
            # Ranks print the first notice of each code.
            self.notices.append({**note, "code": f"{note['code']} {note.get('rule', '')}".strip()})
        self._add_own(EventKind.NOTE, note, rank=rank)

    def look_after_consoles(self) -> bool:
        """Help ranks whose terminal needs it; return whether that has to go on."""
        is_needed = False
        for session in self.sessions:
            if session.console is not None:
                self._add_console(session, session.console.look())
                if session.console.is_done:
                    session.console = None
                else:
                    is_needed = True
        return is_needed

    def _add_console(self, session: Session, pieces: Pieces) -> None:
        for stream, data in pieces:
            self.add_console(session, CONSOLE_KINDS[stream], data)

    def add_console(
        self, session: Session, kind: EventKind, data: bytes, *, wall_s: float | None = None
    ) -> None:
        """Take a piece of what a rank wrote to its terminal; pieces of one moment become one.

        Without a time it is what the agent itself has moved just now.
        """
        wall_s = self._clock.wall_s() if wall_s is None else wall_s
        event = NewEvent(kind, data, wall_s, session.rank, session.number, Place.TEXT)
        self._put(event, session)

    def _put(self, event: NewEvent, session: Session) -> None:
        """Take an event that must not be in the file twice."""
        if session.unwritten.must_hold:
            session.unwritten.hold(session.frames_seen, event)
        else:
            add_joined(self._events, event)

    # -- to the file -----------------------------------------------------------------------------

    @property
    def path(self) -> Path | None:
        """The file that is written now."""
        return self._file.path if self._file else None

    @property
    def has_pending(self) -> bool:
        """Whether anything waits to be written."""
        return (
            bool(self._rows or self._events or self._media or self._samples)
            or self._encoder.has_ready
            or self._provenance.has_ready
            or any(one.decoder.rows or one.has_news or one.is_config_new for one in self.sessions)
        )

    @property
    def points(self) -> int:
        """Points written to the present file."""
        return self._file.sizes["points"] if self._file else 0

    def next_due_s(self) -> float:
        """Return the monotonic time at which `tick` should be called next."""
        pulse = self._last_pulse_s + self._heartbeat_s
        if self._events or any(one.ring is not None for one in self.sessions):
            return min(pulse, self._last_flush_s + POLL_SHARE * self._flush_interval_s)
        return pulse

    def tick(self, now_s: float) -> None:
        """Do what is due: look at the rings and flush what is new, or give a sign of life."""
        self.look_after_consoles()
        if now_s >= self._last_pulse_s + self._heartbeat_s or self.has_pending:
            self.flush()
        else:
            self._last_flush_s = now_s
        self._rules.act()

    def flush(self, *, asked_by: Session | None = None) -> bool:
        """Write what waits through to the page cache; return whether it is there.

        Parameters
        ----------
        asked_by : Session, optional
            A rank that waits for it: everything that it has said is meant.
        """
        if self.is_closed:
            return True
        self._last_flush_s = self._clock.mono_s()
        # A busy run flushes, and so gives its sign of life, many times between two looks.
        if self._last_flush_s >= self._last_look_s + self._heartbeat_s:
            self._last_look_s = self._last_flush_s
            self._look_after_ledgers()
            attempt = int(self._facts["attempt"])
            self.stop_request = self.stop_request or read_stop(self.folder, attempt)
            self._rules.look()
        self._last_pulse_s = self._last_flush_s
        self._collect(asked_by)
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
            self._encoder.settle()
            for session in self.sessions:
                session.confirm()
            return True
        return False

    def close(self) -> None:
        """Write everything and close the file; that the disk has it is for others to see to."""
        self._collect(None, wait=True)
        self._samples += self._book.close()
        self._rules.conclude()
        if self._rules.is_busy:
            self.flush()
            self._rules.finish()
        if self.flush() and self._file is not None:
            try:
                self._file.close(wall_s=self._clock.wall_s(), is_durable=False)
            except Exception as error:  # noqa: BLE001 - it was flushed a moment ago
                self._note("close", f"{self._file.path} could not be closed: {error}")
        self._encoder.close()
        # Children of the ranks may print for as long as they live.
        self.left_consoles = [one.console for one in self.sessions if one.console is not None]
        self._file = None
        self.is_closed = True

    def _collect(self, asked_by: Session | None, *, wait: bool = False) -> None:
        """Take what is ready to be written: from the rings, and from the encoder."""
        self._events += self._provenance.take(is_asked=asked_by is not None, is_last=wait)
        held = len(self._rows)
        held_bytes = held + sum(len(one.body) for one in self._media)
        for session in self.sessions:
            if held_bytes + len(self._rows) < PENDING_MAX_BYTES:
                session.read_ring(self._note, is_last=session is asked_by or wait)
            if session.decoder.rows:
                self._rows += session.decoder.take()
            self._add_config(session)
        if self._rules.has_rules and len(self._rows) > held:
            self._rules.take_points(bytes(memoryview(self._rows)[held:]))
        if held_bytes < PENDING_MAX_BYTES:
            failed = self._encoder.failed
            self._media += self._encoder.collect(wait=wait or asked_by is not None)
            if self._encoder.failed > failed:
                self._note("media", f"something was not recorded: {self._encoder.problem}")
        for session in self.sessions:
            for event in session.unwritten.release():
                add_joined(self._events, event)

    def _write(self, file: NodeFile) -> None:
        """Write what waits, names before points before ends; forget it when it is flushed."""
        media = [
            event
            for one in self._media
            for event in write_media(file, one, self._payloads, wall_s=self._stamp_s())
        ]
        events = self._events + media
        # Whoever reads that a rank has ended must find all its points: they go first.
        ends = [one for one in events if one.kind in END_KINDS] if self._rows else []
        if ends:
            events = [one for one in events if one.kind not in END_KINDS]
        if events:
            file.add_events(events)
        if self._rows:
            file.add_points(self._rows)
        if self._samples:
            file.add_samples(self._samples)
        wall_s = self._clock.wall_s()
        file.flush(wall_s=wall_s)
        # A file that failed before this line is left, and everything goes to the next one.
        self._media.clear()
        self._events = ends
        self._rows, self._samples = bytearray(), bytearray()
        if ends:
            file.add_events(ends)
            file.flush(wall_s=wall_s)
            self._events = []
        if file.should_roll(wall_s):
            file.close(wall_s=wall_s)
            self._file = None
            self._open_file()

    def _open_file(self) -> None:
        """Open a file in the store, else in the spill."""
        folders = [] if self.is_spilled else [self.folder]
        reason = ""
        # Readers put a node's files in the order of their times, which clocks may not keep.
        wall_s = self._opened_wall_s = max(self._clock.wall_s(), self._opened_wall_s + 0.001)
        for folder in [*folders, self._spill]:
            try:
                self._file = NodeFile(
                    folder,
                    self._facts,
                    wall_s=wall_s,
                    is_suspect=self._is_suspect,
                    roll_over_bytes=float(self._settings.get("roll_over_bytes", ROLL_OVER_BYTES)),
                    roll_over_s=float(self._settings.get("roll_over_s", ROLL_OVER_S)),
                )
            except HpctrackError as error:
                reason = error.message
                continue
            if folder != self.folder and not self._is_spill_told:
                self.is_spilled = self._is_spill_told = True
                self._note("spill", f"{reason or 'the store failed'}; the run goes on in {folder}")
            self._events[:0] = list(self._kept.values())
            self._payloads.clear()
            return
        self._note("unwritable", f"{reason}; nothing can be written, points will be dropped")

    def _leave_file(self, error: Exception) -> None:
        """Give up a file that failed; one that is only out of room is closed as it should be."""
        file, self._file = self._file, None
        if file is None:
            self.is_spilled = True
            return
        self._note("store-failed", f"{file.path} cannot be written any more: {error}")
        try:
            if not file.is_abandoned:
                file.close(wall_s=self._clock.wall_s())
        except HpctrackError:
            file.abandon()
        # A sealer, or the user, may take a file away from a store that is as good as ever.
        self.is_spilled = self.is_spilled or not file.was_removed
        unsafe = file.count_unsafe_points()
        if unsafe:
            self._add_own(EventKind.LEDGER, {"unsafe_points": unsafe})
            self._note("unsafe", f"the disk may not have {unsafe:,} points of {file.path}")

    # -- events ----------------------------------------------------------------------------------

    def _find_number(self, name: str) -> int:
        known = self._names.get(name)
        if known is None and (problem := metric_name_problem(name)):
            self._note("name", f"a metric {name[:60]!r} is not recorded: {problem}")
            return UNKNOWN
        if known is None:
            known = self._names[name] = len(self._names)
            self._add_own(EventKind.NAME, NAME_HEAD.pack(known) + name.encode(), keep=str(known))
        return known

    def _look_after_ledgers(self) -> None:
        for session in self.sessions:
            if session.is_open and session.update_ledger():
                self._add_ledger(session)

    def _add_config(self, session: Session) -> None:
        if session.is_config_new:
            session.is_config_new = False
            self._add(EventKind.CONFIG, session.config, session, keep=f"{session.number} config")

    def _add_ledger(self, session: Session) -> None:
        key = f"ledger {session.number}"
        self._add(EventKind.LEDGER, session.ledger, session, keep=key)

    def _stamp_s(self) -> float:
        """Return the time of an event: now, but never before that of an earlier one."""
        self._told_wall_s = max(self._clock.wall_s(), self._told_wall_s)
        return self._told_wall_s

    def _note(self, code: str, text: str) -> None:
        self._tell({"level": "warning", "code": code, "text": text})

    def _add_own(
        self, kind: EventKind, value: Mapping[str, Any] | bytes, keep: str = "", rank: int = -1
    ) -> None:
        """Add an event of the agent's own."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        event = NewEvent(kind, body, self._stamp_s(), rank, NOBODY)
        self._events.append(event)
        if keep:
            self._kept[kind, -1, keep] = event

    def _add(
        self, kind: EventKind, value: Mapping[str, Any], session: Session, *, keep: str
    ) -> None:
        body = json.dumps(value).encode()
        event = NewEvent(kind, body, self._stamp_s(), session.rank, session.number)
        if keep:
            self._events.append(event)
            self._kept[kind, session.rank, keep] = event
        else:
            self._put(event, session)
