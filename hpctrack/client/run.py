"""The object that ``hpctrack.init`` returns."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from hpctrack.client.channel import LAST, Channel, Losses
from hpctrack.client.config import Config, Summary
from hpctrack.client.notices import Notices
from hpctrack.client.ranks import RankInfo
from hpctrack.client.values import NotANumberError, iter_flat, to_number
from hpctrack.core import wire
from hpctrack.core.clock import Clock
from hpctrack.core.names import metric_name_problem
from hpctrack.core.settings import Settings
from hpctrack.core.wire import Kind
from hpctrack.errors import HpctrackError, UsageError

POLL_INTERVAL_S = 0.5
"""How often ``log`` looks whether the agent has something to say."""

HUGE = 1e308
"""Between this and its negative lies every number but NaN, infinity and integers too long to store;
one comparison of the fast path sends these the slow way."""

_SHOWN_NAME_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is fixed when a run begins."""

    id: str
    name: str
    project: str
    path: str
    rank: RankInfo


class Run:
    """A run in progress, as one rank sees it.

    Every rank of a job has its own `Run`; together they are ONE run of the store. Nothing here
    raises or blocks once the run has begun, unless ``strict=True``: what goes wrong is told once
    on stderr, counted, and shown by every reader.

    Attributes
    ----------
    id, name, project : str
    path : str
        The run's folder in the store.
    rank : RankInfo
        Where this process stands.
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
        channel: Channel | None,
    ) -> None:
        self.id = facts.id
        self.project = facts.project
        self.path = facts.path
        self.rank = facts.rank
        self.step = 0
        self._name = facts.name
        self._tags: tuple[str, ...] = ()
        self._notes = ""
        self._settings = settings
        self._clock = clock
        self._wall_s = clock.wall_s
        self._notices = notices
        self._channel = channel
        self._lock = threading.RLock()
        self._numbers: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._logged_points = 0
        self._next_poll_s = 0.0
        self._reported_losses = 0
        self._is_done = threading.Event()
        self._is_finished = False
        self._pid = os.getpid()
        self.config = Config(self._send_config, self._on_config_conflict)
        self.summary = Summary(self._send_summary)

    # -- logging ---------------------------------------------------------------------------------

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - W&B's signature
        """Record numbers at a step. Per-rank; every rank calls it for itself.

        Parameters
        ----------
        data : mapping
            Names and numbers; nested mappings are joined with ``/``. Numbers are Python's,
            numpy's, and one-element tensors of any library.
        step : int, optional
            Any step, in any order. Default: one more than the last.
        commit : bool
            False keeps the step for the next call.

        Notes
        -----
        Returns when the values are with the node's agent (or, while that is busy, in this
        process's bounded buffer). Values that are no numbers are counted and named once. A few
        microseconds; safe from any thread; never raises unless ``strict``.

        Examples
        --------
        >>> import hpctrack
        >>> with hpctrack.init(mode="disabled") as run:
        ...     run.log({"loss": 0.5, "val": {"acc": 0.9}}, step=10)
        """
        channel = self._channel
        if channel is None or self._is_finished:
            if self._is_finished and self._pid == os.getpid():
                self._notices.warn_once("after-finish", "log() after finish() records nothing")
            return
        try:
            with self._lock:
                self._log(channel, data, step, commit=commit)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._trouble("log", error)

    def _log(
        self, channel: Channel, data: Mapping[str, Any], step: int | None, *, commit: bool
    ) -> None:
        wall_s = self._wall_s()
        at = self.step if step is None else self._read_step(step)
        numbers = self._numbers
        pairs: list[float] = []
        for name, value in data.items():
            number = numbers.get(name)
            kind = type(value)
            if number is not None and (kind is float or kind is int) and -HUGE < value < HUGE:
                pairs += (number, value)
            else:
                self._add_slowly(pairs, str(name), value, at)
        if pairs:
            self._send_points(channel, at, wall_s, pairs)
        if commit:
            self.step = at + 1
        elif step is not None:
            self.step = at
        if wall_s >= self._next_poll_s or wall_s < self._next_poll_s - 2 * POLL_INTERVAL_S:
            self._next_poll_s = wall_s + POLL_INTERVAL_S
            self._look_around(channel)

    def _send_points(self, channel: Channel, step: int, wall_s: float, pairs: list[float]) -> None:
        for start in range(0, len(pairs), 2 * wire.MAX_POINTS):
            some = pairs[start : start + 2 * wire.MAX_POINTS]
            channel.send(wire.pack_points(step, wall_s, some), points=len(some) // 2)
        self._logged_points += len(pairs) // 2

    def _read_step(self, step: object) -> int:
        try:
            at = int(to_number(step))
            if -(2**63) <= at < 2**63:
                return int(step) if isinstance(step, int) else at
        except (NotANumberError, OverflowError, ValueError):
            pass
        self._refuse("step", f"step {step!r:.60} is not a whole number; step {self.step} is used")
        return self.step

    def _add_slowly(self, pairs: list[float], name: str, value: object, step: int) -> None:
        """Take what the fast path does not: new names, nesting, tensors, NaN, mistakes."""
        if isinstance(value, Mapping):
            for inner, item in iter_flat(value, f"{name}/"):
                self._add_one(pairs, inner, item, step)
        else:
            self._add_one(pairs, name, value, step)

    def _add_one(self, pairs: list[float], name: str, value: object, step: int) -> None:
        number = self._numbers.get(name)
        shown = name if len(name) <= _SHOWN_NAME_CHARS else f"{name[:_SHOWN_NAME_CHARS]}..."
        if number is None:
            problem = metric_name_problem(name)
            if problem:
                self._refuse("name", f"metric {shown!r} is not recorded: {problem}")
                return
        try:
            plain = to_number(value)
        except NotANumberError:
            kind = type(value).__name__
            self._refuse(f"value:{name}", f"{shown!r} at step {step} is a {kind}, not a number")
            return
        if number is None:
            number = self._numbers[name] = len(self._numbers)
            if self._channel is not None:
                self._channel.send(wire.pack_name(number, name), keep=f"name {number}")
        if plain - plain != 0:
            self._tell("not-finite", f"{shown!r} is {plain} at step {step}", once=name)
        pairs += (number, plain)

    # -- what else a user can set ----------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name people read; may be set at any time. Rank 0's is recorded."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = str(value)
        self._send_json(Kind.META, {"name": self._name}, keep="meta name")

    @property
    def tags(self) -> tuple[str, ...]:
        """Short labels; may be set at any time. Rank 0's are recorded."""
        return self._tags

    @tags.setter
    def tags(self, value: Sequence[str]) -> None:
        self._tags = (value,) if isinstance(value, str) else tuple(str(one) for one in value)
        self._send_json(Kind.META, {"tags": list(self._tags)}, keep="meta tags")

    @property
    def notes(self) -> str:
        """Free text; may be set at any time. Rank 0's is recorded."""
        return self._notes

    @notes.setter
    def notes(self, value: str) -> None:
        self._notes = str(value)
        self._send_json(Kind.META, {"notes": self._notes}, keep="meta notes")

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
        return self._ask(wire.pack(Kind.FLUSH), timeout_s)

    def finish(self, exit_code: int = 0) -> bool:
        """End this rank's part of the run. Per-rank; called by itself at exit.

        Parameters
        ----------
        exit_code : int
            0 for success; anything else makes the run ``failed``.

        Returns
        -------
        bool
            Whether the agent has confirmed that everything is in the file. Waits at most
            ``finish_timeout_s`` for that.
        """
        if self._is_finished:
            return True
        given: object = exit_code  # whatever a program passes: what is no number is no success
        code = given if isinstance(given, int) else 1
        with self._lock:
            self._is_finished = True
        channel = self._channel
        if channel is None or self._pid != os.getpid():
            return True
        try:
            self._report_losses(channel)
            end = {"exit_code": code, "wall_s": self._wall_s()}
            frame = wire.pack_json(Kind.FINISH, end)
            is_safe = self._ask(frame, self._settings.finish_timeout_s)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._trouble("finish", error)
            return False
        self._sum_up(channel, is_safe=is_safe)
        channel.close()
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
        return f"<hpctrack.Run {self.id} {self.name!r} rank {self.rank.rank} of {self.rank.size}>"

    # -- to the agent ----------------------------------------------------------------------------

    def _ask(self, frame: bytes, timeout_s: float) -> bool:
        channel = self._channel
        if channel is None:
            return True
        self._is_done.clear()
        # Kept: should the agent die now, the next one is asked the same.
        channel.send(frame, keep=LAST)
        return channel.drain(self._clock.mono_s() + timeout_s, self._is_done.is_set)

    def _send_json(self, kind: Kind, value: Mapping[str, Any], *, keep: str = "") -> None:
        if self._channel is None or self._is_finished:
            return
        try:
            self._channel.send(wire.pack_json(kind, value), keep=keep)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._trouble(kind.name.lower(), error)

    def _send_config(self, values: Mapping[str, Any]) -> None:
        if self.rank.rank == 0:
            self._send_json(Kind.CONFIG, values, keep="config")

    def _send_summary(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._send_json(Kind.SUMMARY, {key: value}, keep=f"summary {key}")

    def _on_config_conflict(self, key: str) -> None:
        self._refuse(
            f"config:{key}",
            f"config {key!r} is set already and keeps its value; "
            "config.update(..., allow_val_change=True) changes it",
        )

    def on_message(self, kind: int, message: dict[str, Any]) -> None:
        """Take what the agent says; called by the channel."""
        if kind == Kind.DONE:
            self._is_done.set()
        elif kind == Kind.NOTICE:
            self._notices.warn_once(f"agent {message.get('code')}", str(message.get("text")))
        elif kind == Kind.WELCOME:
            self.path = str(message.get("path", self.path))

    # -- what goes wrong -------------------------------------------------------------------------

    def _look_around(self, channel: Channel) -> None:
        channel.poll()
        losses = channel.losses
        lost = losses.points + losses.frames + losses.agents + sum(self._refused.values())
        if lost != self._reported_losses:
            self._reported_losses = lost
            self._report_losses(channel)

    def _report_losses(self, channel: Channel) -> None:
        for frame in self.restate():
            channel.send(frame)

    def restate(self) -> list[bytes]:
        """Return the ledger's frame, if there is anything in it; called by the channel."""
        losses = self._channel.losses if self._channel else Losses()
        entry = {
            "dropped_points": losses.points,
            "dropped_frames": losses.frames,
            "agents_lost": losses.agents,
            "refused": dict(self._refused),
        }
        return [wire.pack_json(Kind.LEDGER, entry)] if any(entry.values()) else []

    def _refuse(self, key: str, text: str) -> None:
        """Count something the user gave that cannot be recorded; say so once."""
        if self._settings.strict:
            raise UsageError(text)
        what = key.partition(":")[0]
        self._refused[what] = self._refused.get(what, 0) + 1
        self._tell(f"refused-{what}", text, once=key)

    def _tell(self, code: str, text: str, *, once: str) -> None:
        if self._notices.warn_once(f"{code} {once}", text):
            self._send_json(Kind.EVENT, {"level": "warning", "code": code, "text": text})

    def tell(self, code: str, text: str) -> None:
        """Warn the user and write the same into the run; for the code that begins a run."""
        self._tell(code, text, once=text)

    def _trouble(self, where: str, error: Exception) -> None:
        if self._settings.strict:
            raise error
        self._refused[where] = self._refused.get(where, 0) + 1
        text = (
            error.message
            if isinstance(error, HpctrackError)
            else f"{type(error).__name__}: {error}"
        )
        self._notices.warn_once(f"trouble {where} {type(error)}", f"{where}() failed: {text}")

    def _sum_up(self, channel: Channel, *, is_safe: bool) -> None:
        losses = channel.losses
        refused = sum(self._refused.values())
        if not is_safe:
            wait = f"{self._settings.finish_timeout_s:g} s"
            reason = channel.problem or f"the agent has not confirmed the end within {wait}"
            self._notices.warn_once("finish", f"{reason}; the last points may be missing")
        if losses.points or refused or losses.agents:
            self._notices.warn_once(
                "losses",
                f"{losses.points} of {self._logged_points} points were dropped, "
                f"{refused} values refused, {losses.agents} agents died; "
                f"`hpctrack show {self.id}` lists them",
            )
        elif is_safe and self.rank.rank == 0:
            self._notices.say(
                f"finished {self._name}: {self._logged_points:,} points of rank 0, nothing lost"
            )

    @property
    def is_recording(self) -> bool:
        """Whether what is logged goes anywhere: not when disabled or finished."""
        return self._channel is not None and not self._is_finished

    def detach(self) -> None:
        """In a forked child: record nothing, and leave the parent's run alone."""
        self._is_finished = True
        self._lock = threading.RLock()
        if self._channel is not None:
            self._channel.forget()
            self._channel = None


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code that a program ending with this error has."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1
