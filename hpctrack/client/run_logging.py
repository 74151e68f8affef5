"""The slow paths of ``log``, what a run hears of its end, and its losses; `Run` inherits it.

Apart from `Run.log` itself, which is one method because a call more costs too much.
"""

from __future__ import annotations

import abc
import os
import time
from _operator import index  # what `operator` is made of
from _thread import RLock

from hpctrack.client.channel import Channel, Losses
from hpctrack.client.run_calls import RunCalls
from hpctrack.client.values import Entries, Notices, show, to_number
from hpctrack.core import wire
from hpctrack.core.ring import RingWriter
from hpctrack.core.wire import Kind
from hpctrack.errors import is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from hpctrack.client.agreement import Agreement
    from hpctrack.client.console import Console
    from hpctrack.client.ranks import RankInfo

    T = TypeVar("T")

LEFT_WAIT_S = 0.3
LEFT_LOOK_S = 0.01
"""How long, and how often, an agent is given time to write what it had seen of closed memory."""

POLL_INTERVAL_S = 0.5
"""How often ``log`` looks whether the agent has something to say."""

LATE_MAX = 10_000
"""Calls of ``log`` that may wait for one that they have interrupted; a signal handler makes one."""


LATE_WORDS = {
    Kind.CONFIG_CHANGE: "a change of config", Kind.SUMMARY: "a change of summary",
    Kind.META: "a new name, tag or note", Kind.EVENT: "alert()", Kind.DEFINE: "define_metric()",
    Kind.SAVE: "save()",
}  # fmt: skip
"""What a frame that comes too late is called."""


class RunLogging(RunCalls):
    """The slow paths of ``log``, the run's end when it is asked for, and its losses. Per-rank."""

    place: RankInfo
    project: str
    step: int
    _agent: str
    _wall_s: Callable[[], float]
    _channel: Channel | None
    _entries: Entries | None
    _ring: RingWriter | None
    _notices: Notices
    _console: Console | None
    _lock: RLock
    _is_logging: bool
    _is_config_behind: bool
    _late: deque[tuple[Mapping[str, Any], int | None, bool]]
    _is_finished: bool
    _pid: int
    _polled_s: float
    _next_poll_s: float
    _reported_losses: int
    _look: Callable[[], bool]
    _agrees = False
    _agreement: Agreement | None = None
    _stop: dict[str, Any] | None = None
    _end: dict[str, Any] | None = None
    _news: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

    # -- the slow paths --------------------------------------------------------------------------

    def _log_slowly(self, data: Mapping[str, Any], step: object, *, commit: bool) -> None:
        """Log what the fast path does not take: new names, tensors, media, mistakes, odd steps.

        The step is taken at once, so that calls have their steps in the order in which they come,
        however long their values make them wait.
        """
        try:
            wall_s = self._wall_s()
            if not hasattr(data, "items"):
                kind = type(data).__name__
                text = f"log() takes names with values, as {{'loss': 0.5}}, not a {kind}"
                self._faults.refuse("log:mapping", text)
                return
            at, commit = None if step is None else self._read_step(step), bool(commit)
            with self._lock:
                if self._is_logging:
                    self._log_late(data, at, commit=commit)
                    return
                if at is None:
                    at = min(self.step, 2**63 - 1)
                    self.step = at + 1 if commit else at
                elif at >= self.step:
                    self.step = at + 1 if commit else at
            self._put(data, at, wall_s)
            self._look_around(wall_s)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("log", error)

    def _log_at(self, data: Mapping[str, Any], step: int, wall_s: float) -> None:
        """Record what was written at another moment, uncommitted.

        A ``log`` without a step goes on at the highest step that was written so.
        """
        if self._ring is None or self._is_finished:
            return
        try:
            with self._lock:
                if self._is_logging:
                    self._log_late(data, step, commit=False)
                    return
                self.step = max(self.step, step)
            now_s = self._wall_s()
            self._put(data, step, wall_s if wall_s > 0 else now_s)
            self._look_around(now_s)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("log", error)

    def _put(self, data: Mapping[str, Any], step: int, wall_s: float) -> None:
        """Take values of any kind at a step; code of the program may run, so no lock is held."""
        entries, ring = self._entries, self._ring
        if entries is None or ring is None:
            return
        pairs: list[float] = []
        for name, value in data.items():
            entries.add(pairs, name, value, step)
        while pairs:
            with self._lock:
                self._is_logging = True
                try:
                    ring.put_points(step, wall_s, pairs[: 2 * wire.MAX_POINTS])
                finally:
                    self._is_logging = False
            del pairs[: 2 * wire.MAX_POINTS]

    def _write(self, work: Callable[[], T]) -> T:
        """Do something to the ring, as the only one; calls of signal handlers come behind it."""
        with self._lock:
            self._is_logging = True
            try:
                result = work()
            finally:
                self._is_logging = False
        if self._late:
            self._log_the_late()
        return result

    def _refuse_in_vain(self, what: str) -> None:
        """Say once that nothing is recorded any more; a disabled run never has."""
        if not self._is_finished or self.disabled:
            return
        text = f"{what} after finish() records nothing"
        if self._pid != os.getpid():
            what = "fork"
            text = (
                f"this process was forked from the one that began the run {self.id}, and what it "
                "says of it is not recorded; hpctrack.init() begins a run of its own"
            )
        self._faults.refuse_late(what, text)

    def _log_late(self, data: Mapping[str, Any], step: int | None, *, commit: bool) -> None:
        """Take a call that has interrupted another one of the same thread."""
        if len(self._late) < LATE_MAX:
            self._late.append((data, step, commit))
        elif self._ring is not None:
            self._ring.drop(len(data))

    def _log_the_late(self) -> None:
        while True:
            try:
                late = self._late.popleft()
            except IndexError:
                return  # or another thread was quicker
            self.log(*late)

    def _read_step(self, step: object) -> int:
        if type(step) is int and -(2**63) <= step < 2**63:
            return step
        try:
            at = read_whole(step)
            if -(2**63) <= at < 2**63:
                return at
        except Exception as error:
            if is_of_a_signal(error):
                raise
        at = min(self.step, 2**63 - 1)
        text = f"step {show(step)} is not a whole number; step {at} is used"
        self._faults.refuse("step", text)
        return at

    def look_with(self, look: Callable[[], bool]) -> None:
        """Have a function called now and then by ``log``; for the code that begins a run.

        Parameters
        ----------
        look : callable
            Returns whether the next ``log`` should call it again.
        """
        self._look = look

    def look_soon(self) -> None:
        """Have the next ``log`` look around, however short ago the last one did."""
        self._next_poll_s = 0.0

    @abc.abstractmethod
    def _send_config(self) -> None:
        """Say the whole configuration; `Run` knows how."""

    # -- its end, when it is asked for -----------------------------------------------------------

    def should_stop(self, *, agreed: bool | None = None) -> bool:
        """Tell whether somebody asked the run to end. Per-rank; a few microseconds.

        True for good once ``hpctrack stop`` was called for the run, its agent was told that
        the job is about to end, or a sweep has no more use for the trial; `stop_reason` says which.

        Parameters
        ----------
        agreed : bool, optional
            Whether all ranks are to hear it at the same call, the n-th of each: so all leave a loop
            together. Then all have to call it equally often. Default: in trials of a sweep only.

        Notes
        -----
        If it is not agreed upon, ranks learn it within a few seconds of each other. Agreed, rank 0
        decides, a few calls ahead; nothing collective is called. A rank may have to wait for rank
        0 if that is behind, for ``stop_agreement_timeout_s`` at most. In a trial rank 0 waits for
        the sweep's word on what was logged last, for ``stop_answer_timeout_s`` at most.
        """
        if self._end is not None or self._channel is None or self._is_finished:
            return self._end is not None
        try:
            is_agreed = self.place.size > 1 and (self._agrees if agreed is None else agreed)
            found = self._agree().ask_call() if is_agreed else self._find_wish()
            if found is not None:
                self._begin_end(found)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("should_stop", error)
        return self._end is not None

    @property
    def stop_reason(self) -> str:
        """Who asked the run to end, and why; empty if nobody did. Per-rank."""
        told = self._end or self._stop or {}
        return ": ".join(str(told[key]) for key in ("who", "why") if told.get(key))

    def _find_wish(self) -> dict[str, Any] | None:
        """Return who asks this rank to end, and why; None if nobody does."""
        if self._stop is None and self._channel is not None:
            self._channel.poll()
        return self._stop

    def _begin_end(self, found: dict[str, Any]) -> None:
        """Note that the program has been told to end; rank 0 writes it into the run."""
        self._end = found
        if self.rank == 0:
            text = f"the program was told to end: {self.stop_reason}".rstrip(": ")
            self._send_json(Kind.EVENT, {"level": "info", "code": "stopped", "text": text})

    def _agree(self) -> Agreement:
        if self._agreement is None:
            from hpctrack.client.agreement import Agreement  # noqa: PLC0415 - few programs need it

            assert self._channel is not None  # noqa: S101 - the callers have looked
            self._agreement = Agreement(
                self._channel,
                clock=self._clock,
                place=self.place,
                wait_s=self._settings.stop_agreement_timeout_s,
                find_wish=self._find_wish,
                get_news=lambda: self._news,
                tell=self._faults.tell,
            )
        return self._agreement

    # -- to other programs -----------------------------------------------------------------------

    def make_environment(self) -> dict[str, str]:
        """Return the variables with which a program that this one starts logs into the same run.

        They are for Python programs, which call `init`, and for those that use ``hpctrack.h``. One
        that is started with them is the same rank, and what it prints is recorded once. Per-rank.

        Examples
        --------
        >>> import hpctrack
        >>> hpctrack.init(mode="disabled").make_environment()
        {'HPCTRACK_MODE': 'disabled'}
        """
        if self._channel is None:
            return {"HPCTRACK_MODE": "disabled"}
        from hpctrack.core import joining  # noqa: PLC0415 - few programs start others

        told = {
            "HPCTRACK_LAUNCH": str(self._hello["launch"]),
            "HPCTRACK_RUN_ID": self.id,
            "HPCTRACK_RUN_NAME": self.name,
            "HPCTRACK_PROJECT": self.project,
            "HPCTRACK_DIR": str(self._hello["store"]),
            joining.HELLO_VARIABLE: joining.describe_run(
                {**self._hello, "run": self.id, "name": self.name}
            ),
            joining.AGENT_VARIABLE: self._agent,
        }
        consoles = self._console.recorded if self._console else ()
        if consoles:
            told["HPCTRACK_CONSOLES"] = ",".join(consoles)
        return told

    # -- what goes wrong -------------------------------------------------------------------------

    def _count_left(self, ring: RingWriter) -> None:
        """At the end, count what no agent will take of memory that the program has closed."""
        with self._lock:
            is_cut = ring.is_cut
        deadline_s = self._clock.mono_s() + LEFT_WAIT_S
        while is_cut and ring.unconfirmed_points and self._clock.mono_s() < deadline_s:
            time.sleep(LEFT_LOOK_S)  # the agent that had it may be writing its rest
        with self._lock:
            try:
                ring.renew()
            except (OSError, ValueError):
                pass  # then there is no connection either
            ring.count_left()

    def look_around(self) -> None:
        """Hear what the agent says, and replace it should it be dead; `log` does so too. Per-rank.

        For a program that waits for another one and logs nothing.
        """
        try:
            with self._lock:
                self._look_around(self._wall_s())
        except Exception:  # noqa: BLE001, S110 - it is tried again
            pass

    def _look_around(self, wall_s: float) -> None:
        """Take what waits for a call of log to end, and look what the agent has said."""
        if self._late:
            self._log_the_late()
        # Both bounds: a clock that jumps back must not silence us until it is there again.
        if self._polled_s <= wall_s < self._next_poll_s:
            return
        self._polled_s, self._next_poll_s = wall_s, wall_s + POLL_INTERVAL_S
        try:
            if self._look():
                self.look_soon()
            channel = self._channel
            if channel is None:
                return
            channel.poll()
            if self._is_config_behind and channel.is_idle:
                self._send_config()
            if self._console is not None and self._console.problem:
                self._faults.tell("console", self._console.problem)
            lost = channel.losses.frames + channel.losses.agents + self._faults.count
            if lost != self._reported_losses:
                self._reported_losses = lost
                self._report_losses(channel)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("log", error)

    def _report_losses(self, channel: Channel) -> None:
        for frame in self.restate():
            channel.send(frame, keep="ledger")

    def restate(self) -> list[bytes]:
        """Return the ledger's frame, if there is anything in it; called by the channel.

        Points that found no room in the ring are not in it: the ring itself counts them, where
        the agent can see it even if this process is killed.
        """
        losses = self._channel.losses if self._channel else Losses()
        entry = {
            "dropped_frames": losses.frames,
            "agents_lost": losses.agents,
            "cut_connections": losses.cuts,
            "refused": dict(self._faults.refused),
        }
        return [wire.pack_json(Kind.LEDGER, entry)] if any(entry.values()) else []

    def _record_warning(self, code: str, text: str) -> None:
        if not self._is_finished:
            self._send_json(Kind.EVENT, {"level": "warning", "code": code, "text": text})

    def tell(self, code: str, text: str) -> None:
        """Warn the user and write the same into the run; for the code that begins a run."""
        self._faults.tell(code, text)

    def _sum_up(self, channel: Channel, ring: RingWriter, *, is_safe: bool) -> None:
        losses, refused = channel.losses, self._faults.count
        dropped = ring.dropped_points
        if not is_safe:
            wait = f"{self._settings.finish_timeout_s:g} s"
            reason = channel.problem or f"the agent has not confirmed the end within {wait}"
            self._notices.warn_once(
                "finish", f"{reason}; {ring.unconfirmed_points:,} points may be missing"
            )
        if dropped or refused or losses.frames or losses.agents:
            self._notices.warn_once(
                "losses",
                f"{dropped:,} of {ring.points + dropped:,} points were dropped, "
                f"{losses.frames} other entries dropped, {refused} values refused, "
                f"{losses.agents} agents died; `hpctrack show {self.id}` lists them",
            )
        elif is_safe and self.rank == 0:
            # A wrapper logs nothing itself, and does not know what the program in it has logged.
            logged = f": {ring.points:,} points of rank 0, nothing lost" if ring.points else ""
            self._notices.say(f"finished {self._name}{logged}")


def read_whole(step: Any) -> int:
    """Return a step of any library's type; of a float never a part.

    Raises
    ------
    ValueError, TypeError
        It is no whole number.
    """
    try:
        return index(step)
    except TypeError:
        pass  # floats, and tensors of floats, have no index
    number = to_number(step)
    if not number.is_integer():
        raise ValueError
    return int(number)
