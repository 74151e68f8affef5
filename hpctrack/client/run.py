"""The object that ``hpctrack.init`` returns."""

from __future__ import annotations

import os
from _thread import RLock

from hpctrack.client.channel import LAST, Greeting
from hpctrack.client.config import Config, Summary
from hpctrack.client.console import STOP_TIMEOUT_S
from hpctrack.client.run_calls import Tags
from hpctrack.client.run_logging import LATE_WORDS, RunLogging
from hpctrack.client.values import Entries, Faults, Notices, exit_code_of, read_exit_code
from hpctrack.core import Record, wire
from hpctrack.core.clock import Clock
from hpctrack.core.names import make_readable_name
from hpctrack.core.settings import Settings
from hpctrack.core.wire import Kind
from hpctrack.errors import StoreError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping
    from struct import error as StructError  # noqa: N812 - it is a class
    from types import TracebackType
    from typing import Any, Self

    from hpctrack.client.channel import Channel
    from hpctrack.client.console import Console
    from hpctrack.client.ranks import RankInfo
    from hpctrack.core.ring import RingWriter
else:
    from _collections import deque
    from _struct import error as StructError  # noqa: N812 - the same one

_STEPS = frozenset({int, type(None)})

BIG = 1e308
"""Between this and its negative lies every number but NaN, infinity and integers too long to store;
one comparison of the fast path sends these the slow way."""


class RunFacts(Record):
    """What is fixed when a run begins."""

    id: str
    name: str
    project: str
    path: str
    rank: RankInfo


class Recording(Record):
    """What a run that records has, and one that is disabled has not."""

    channel: Channel
    ring: RingWriter
    console: Console
    hello: dict[str, Any]
    agent: str


class Run(RunLogging):
    """A run in progress, as one rank sees it.

    Every rank of a job has its own `Run`; together they are ONE run of the store. Nothing here
    raises or blocks once the run has begun, unless ``strict`` or ``raise_pruned`` was asked for:
    what goes wrong is told once on stderr, counted, and shown by every reader.

    Attributes
    ----------
    id, name, project : str
    path : str
        The run's folder in the store. It keeps this name when the store could not be written and
        the run went on in the node's spill folder, which the warning names.
    rank : int
        This process's number in the whole job, 0-based.
    place : RankInfo
        The same with size, local rank, node, launcher and attempt.
    config : Config
        Rank 0's is recorded.
    summary : Summary
        Per-rank; readers take the lowest rank's value.
    step : int
        The step that the next ``log`` without one will have.
    """

    def __init__(
        self,
        facts: RunFacts,
        *,
        settings: Settings,
        clock: Clock,
        notices: Notices,
        recording: Recording | None,
    ) -> None:
        self.id = facts.id
        self.project = facts.project
        self.path = facts.path
        self.rank = facts.rank.rank
        self.place = facts.rank
        self.step = 0
        self._name = facts.name
        self._tags = Tags()
        self._notes = ""
        self._settings = settings
        self._clock = clock
        self._wall_s = clock.wall_s
        self._notices = notices
        # Re-entrant: a signal handler may log in the middle of a call of log.
        self._lock = RLock()
        self._is_logging = False
        self._late: deque[tuple[Mapping[str, Any], int | None, bool]] = deque()
        self._polled_s = self._next_poll_s = 0.0
        self._look: Callable[[], bool] = bool
        self._reported_losses = 0
        self._is_done = False
        self._is_finished = False
        self._welcome: dict[str, Any] | None = None
        self._pid = os.getpid()
        self._has_config = self._is_config_behind = False
        self._faults = Faults(notices, strict=settings.strict, record=self._record_warning)
        self._channel = recording.channel if recording else None
        self._hello = recording.hello if recording else {}
        self._agent = recording.agent if recording else ""
        self._ring = recording.ring if recording else None
        self._console = recording.console if recording else None
        self._entries = (
            Entries(
                recording.ring,
                self._faults,
                recording.channel.send,
                run=facts.path,
                write=self._write,
            )
            if recording
            else None
        )
        self._numbers = self._entries.numbers if self._entries else {}
        refuse = self._refuse_call
        self.config = Config(
            self._send_change,
            self._on_config_conflict,
            lambda error: refuse("config.update", error),
        )
        self.summary = Summary(self._send_summary, lambda error: refuse("summary.update", error))

    def open(self) -> None:
        """Find or start the agent and say hello; called once, by the code that begins a run."""
        if self._channel is None:
            return
        # First, because the agent is given its pipes along with HELLO.
        if self._console is not None and not self._console.start() and self._console.problem:
            self._notices.warn_once("console", self._console.problem)
        self._channel.open(self._greet, self.on_message, self._say_again, self._prepare)

    # -- logging ---------------------------------------------------------------------------------

    def log(  # noqa: C901, PLR0912 - one call less
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool = True,  # noqa: FBT001, FBT002 - W&B's signature
        sync: bool | None = None,  # noqa: ARG002, FBT001 - as above
    ) -> None:
        """Record numbers, media and tables at a step. Per-rank; every rank calls it for itself.

        Returns when the numbers are in memory that outlives this process, after a microsecond or
        two. Safe from threads and signal handlers. What cannot be recorded is counted and named.

        Parameters
        ----------
        data : mapping
            Names and values; nested mappings are joined with ``/``. Any library's numbers;
            `Image`, `Table` and their like, figures and data frames.
        step : int, optional
            Any whole number, in any order. Default: one more than the highest so far.
        commit : bool; False keeps the step for the next call.
        sync : accepted for W&B's sake; nothing here waits for anybody.

        Examples
        --------
        >>> import hpctrack
        >>> with hpctrack.init(mode="disabled") as run:
        ...     run.log({"loss": 0.5, "val": {"acc": 0.9}}, step=10)
        """
        ring = self._ring
        if ring is None or self._is_finished:
            self._refuse_in_vain("log()")
            return
        known = self._numbers
        number, point, is_quick = -1, 0.0, type(step) in _STEPS and type(commit) is bool
        pairs: list[float] | None = None
        try:
            if len(data) == 1:  # the same as below, a quarter cheaper
                for name, value in data.items():
                    kind = type(value)
                    if (kind is float or kind is int) and -BIG < value < BIG and name in known:
                        number, point = known[name], value
                    else:
                        is_quick = False
            else:
                pairs = []
                for name, value in data.items():
                    kind = type(value)
                    if (kind is float or kind is int) and -BIG < value < BIG and name in known:
                        pairs += (known[name], value)
                    else:
                        is_quick = False
        except Exception as error:
            if is_of_a_signal(error):
                raise
            is_quick = False
        if not is_quick:  # may run code of the program, and not with the lock held
            self._log_slowly(data, step, commit=commit)
            return
        wall_s = self._wall_s()
        with self._lock:
            if self._is_logging:
                self._log_late(data, step, commit=commit)
                return
            self._is_logging = True
            try:
                at = self.step if step is None else step
                if pairs is None:
                    ring.put_point(at, wall_s, number, point)
                elif pairs:
                    ring.put_points(at, wall_s, pairs)
                if at >= self.step:
                    self.step = at + 1 if commit else at
            except StructError:
                is_quick = False  # a step beyond 64 bits, or very many values
            finally:
                self._is_logging = False
        if not is_quick:
            self._log_slowly(data, step, commit=commit)
        elif self._late or not self._polled_s <= wall_s < self._next_poll_s:
            self._look_around(wall_s)

    # -- its end ---------------------------------------------------------------------------------

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged so far is in the agent's file. Per-rank.

        Parameters
        ----------
        timeout_s : float
            Longest wait, seconds.

        Returns
        -------
        bool
            Whether it is; False also when the time was not enough.
        """
        if self._is_finished or self._channel is None:
            return self.disabled
        try:
            wait_s = max(0.0, float(timeout_s))  # nan is no time at all
        except Exception as error:  # noqa: BLE001 - anybody's object
            self._refuse_call("flush", error)
            wait_s = 10.0
        return self._ask(wire.pack(Kind.FLUSH), wait_s)

    def finish(
        self, exit_code: int | None = None, *, quiet: bool | None = None, waited_s: float = 0.0
    ) -> bool:
        """End this rank's part of the run. Per-rank; called by itself at exit.

        Parameters
        ----------
        exit_code : int
            0 or None for success; anything else makes the run ``failed``.
        quiet : bool, optional
            Accepted for W&B's sake; the setting ``quiet`` decides.
        waited_s : float
            What of the time-out the program's other runs have used up at its end, seconds.

        Returns
        -------
        bool
            Whether the agent has confirmed that everything is in the file. Waits at most
            ``finish_timeout_s`` for that.
        """
        del quiet
        if self._is_finished:
            return True
        begun_s = self._clock.mono_s() - waited_s
        code = read_exit_code(exit_code)
        try:
            self._end_alerts()
            self.unwatch()
            self._leave_tensorboard()
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("finish", error)
        with self._lock:
            self._is_finished = True
        channel, ring = self._channel, self._ring
        if channel is None or ring is None or self._pid != os.getpid():
            return True
        try:
            limit_s = begun_s + self._settings.finish_timeout_s
            if self._console is not None:
                self._console.stop(min(STOP_TIMEOUT_S, max(0.1, limit_s - self._clock.mono_s())))
            self._count_left(ring)
            self._report_losses(channel)
            end = {"exit_code": code, "wall_s": self._wall_s()}
            frame = wire.pack_json(Kind.FINISH, end)
            is_safe = self._ask(frame, max(0.0, limit_s - self._clock.mono_s()))
            self._sum_up(channel, ring, is_safe=is_safe)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("finish", error)
            return False
        finally:
            channel.close()
            with self._lock:
                ring.close()
        return is_safe

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the run, as failed if an error is passing through."""
        self.finish(exit_code_of(error))

    def __repr__(self) -> str:
        """Name the run and the rank."""
        return f"<hpctrack.Run {self.id} {self.name!r} rank {self.rank} of {self.place.size}>"

    # -- to the agent ----------------------------------------------------------------------------

    def wait_for_past(self) -> str:
        """Go on where an earlier attempt stopped; for the code that begins a run.

        Returns
        -------
        str
            What went wrong, if anything did.
        """
        from hpctrack.client.resume import WELCOME_WAIT_S, Continued  # noqa: PLC0415 - in few runs

        channel = self._channel
        if channel is None:
            return ""
        deadline_s = self._clock.mono_s() + WELCOME_WAIT_S
        if not channel.drain(deadline_s, lambda: self._welcome is not None):
            return f"the agent has not said within {WELCOME_WAIT_S:g} s what there is to resume"
        past = Continued.read(self._welcome or {})
        self.resumed = past.is_resumed
        if past.is_resumed:
            self.step = past.restore(self.config, self.summary)
            # The attempt's own configuration is whole: readers take the latest, not a sum.
            self._send_config()
            self._restore_words(past.name, past.tags, past.notes)
        return ""

    def _greet(self) -> Greeting:
        """Make the HELLO of a new connection: everything that another agent could not know."""
        assert self._ring is not None  # noqa: S101 - only a run that records has a channel
        self._ring.begin_connection()
        # An agent that lives although the program has closed our connection has the console's.
        is_new = self._channel is None or not self._channel.was_cut
        files = (self._ring.fd, *(self._console.fds if self._console and is_new else ()))
        told = {
            **self._hello,
            **({"ring": self._ring.renewals} if self._ring.renewals else {}),
            "files": len(files),
            "name": self._name,
            "names": list(self._numbers),
            "agents_lost": self._channel.losses.agents if self._channel else 0,
        }
        return Greeting(wire.pack_json(Kind.HELLO, told), files)

    def _prepare(self) -> None:
        """See to it that what a new connection begins with can be given away."""
        if self._ring is None:
            return
        with self._lock:
            try:
                self._ring.renew()
            except (OSError, ValueError) as error:
                raise StoreError(f"no memory to share with the agent: {error}") from None

    def _ask(self, frame: bytes, timeout_s: float) -> bool:
        channel = self._channel
        if channel is None:
            return True
        if self._is_config_behind:
            self._send_config()
        channel.poll()  # an answer that came too late for its question is none to this one
        self._is_done = False
        # Kept: should the agent die now, the next one is asked the same.
        channel.send(frame, keep=LAST)
        deadline_s = self._clock.mono_s() + timeout_s
        return channel.drain(deadline_s, lambda: self._is_done, is_last=self._is_finished)

    def _send_json(self, kind: int, value: Mapping[str, Any], *, keep: str = "") -> bool:
        if self._channel is None or self._is_finished:
            self._refuse_in_vain(LATE_WORDS.get(kind, wire.name_kind(kind)))
            return True
        try:
            return self._channel.send(wire.pack_json(kind, value), keep=keep)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble(wire.name_kind(kind), error)
            return True

    def _send_change(self, change: Mapping[str, Any]) -> None:
        """Say what has changed in the configuration: it may be large, and be set key by key."""
        if self.rank and not self._is_finished:
            return
        self._has_config = True
        if not self._is_config_behind:
            self._is_config_behind = not self._send_json(Kind.CONFIG_CHANGE, change)

    def _send_config(self) -> None:
        """Say the whole configuration, however little room there is."""
        if self._channel is not None and self.rank == 0:
            self._has_config, self._is_config_behind = True, False
            self._channel.send(wire.pack_json(Kind.CONFIG, self._copy_config()), is_forced=True)

    def _copy_config(self) -> dict[str, Any]:
        while True:
            try:
                return self.config.as_dict()
            except RuntimeError:  # another thread has added a key
                continue

    def _say_again(self) -> list[bytes]:
        """Return what another agent must be told, besides what is kept."""
        again = [wire.pack_json(Kind.CONFIG, self._copy_config())] if self._has_config else []
        return again + self.restate()

    def _send_summary(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._send_json(Kind.SUMMARY, {key: value}, keep=f"summary {key}")

    def _on_config_conflict(self, key: str) -> None:
        self._faults.refuse(
            f"config:{key}",
            f"config {key!r} is set already and keeps its value; "
            "config.update(..., allow_val_change=True) changes it",
        )

    def on_message(self, kind: int, message: dict[str, Any]) -> None:
        """Take what the agent says; called by the channel."""
        if kind == Kind.DONE:
            self._is_done = True
        elif kind == Kind.NOTICE:
            self._notices.warn_once(f"agent {message.get('code')}", str(message.get("text")))
        elif kind == Kind.WELCOME:
            self._welcome = message
            self.path = str(message.get("path", self.path))
            self._rename(str(message.get("run", self.id)))
        elif kind == Kind.STOP:
            self._stop = message
        elif kind == Kind.AGREED:
            self._news = message

    def _rename(self, run_id: str) -> None:
        """Take the id that the agent has chosen; a name that was made from the old one follows."""
        if self._name == make_readable_name(self.id):
            self._name = make_readable_name(run_id)
        self.id = run_id

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called; True in a forked child too. Per-rank."""
        return self._is_finished

    @property
    def is_recording(self) -> bool:
        """Whether what is logged goes anywhere: not when disabled or finished. Per-rank."""
        return self._channel is not None and not self._is_finished

    def detach(self) -> None:
        """In a forked child: record nothing, and leave the parent's run alone."""
        self._is_finished = True
        self._lock = RLock()
        self._faults.forget()
        self._is_logging = False
        self._tensorboard = None  # not stopped: its lock may be held by a thread of the parent
        if self._console is not None:
            self._console.forget()
        if self._channel is not None:
            self._channel.forget()
            self._channel = None
        if self._ring is not None:
            self._ring.close()
            self._ring = None
