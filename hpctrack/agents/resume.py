"""Which run and attempt a launch records into, and what it goes on with.

Only the files know what was there before, so the agent decides. What it decides is the same on all
nodes of a launch and for every agent of it: it follows from other launches' files alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpctrack.agents.auto_resume import choose_auto_run, forget_auto_run
from hpctrack.agents.fork import copy_fork, has_fork, read_fork
from hpctrack.agents.past import Past, choose_attempt, has_past, read_past
from hpctrack.agents.relaunch import find_earlier_run
from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.core.names import ID_MAX_CHARS, check_id, digest_text, make_readable_name
from hpctrack.core.wire import make_plain
from hpctrack.errors import HpctrackError

ANSWER_MAX_BYTES = 100_000
"""What fits into a rank's socket at once, whatever its system: the answer is never sent twice."""


_WISHES = ("rewind", "fork")
"""What a rank may ask for besides ``resume``."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided for a launch.

    Parameters
    ----------
    run : str
        The run's id.
    attempt : int
    past : Past or None
        What the program goes on with, if it resumes or forks.
    notices : tuple of dict
        For the user: ``level, code, text``.
    fork : (str, int) or None
        Run and step whose copy rank 0's agent still has to make.
    """

    run: str
    attempt: int
    past: Past | None = None
    notices: tuple[dict[str, Any], ...] = ()
    fork: tuple[str, int] | None = None

    def apply(self, hello: dict[str, Any]) -> None:
        """Write the decision into a rank's HELLO, which becomes its START."""
        if hello.get("name") == make_readable_name(str(hello["run"])):
            hello["name"] = make_readable_name(self.run)
        hello["run"], hello["attempt"] = self.run, self.attempt

    def to_welcome(self) -> dict[str, Any]:
        """Return what the rank is told; values that are too long for one message are left out."""
        told: dict[str, Any] = {"run": self.run, "attempt": self.attempt}
        if self.past is None:
            return told
        told |= {"resumed": True, "step": self.past.step}
        for key in ("name", "tags", "notes", "config", "summary"):
            value = getattr(self.past, key)
            more = {**told, key: value} if value else told
            if len(json.dumps(more, default=make_plain)) <= ANSWER_MAX_BYTES:
                told = more
        return told


@dataclass(slots=True)
class Chooser:
    """Decides once per launch and run; for every further rank it only remembers.

    Parameters
    ----------
    clock : Clock
        For the state of earlier runs.
    """

    clock: Clock
    _made: dict[tuple[str, ...], Choice] = field(default_factory=dict)
    _wished: set[tuple[str, ...]] = field(default_factory=set)

    def choose(self, hello: Mapping[str, Any]) -> Choice:
        """Decide which run and attempt a rank's points go to. Never raises for broken files.

        Parameters
        ----------
        hello : mapping
            ``store, project, run, attempt, rank``, and perhaps ``launch, resume, rewind, fork,
            program, relaunch``; checked by the caller. Without ``launch`` everything stays as it
            was asked.
        """
        launch = str(hello.get("launch", ""))
        run, asked = str(hello["run"]), int(hello["attempt"])
        if not launch:
            return Choice(run, asked)
        key = (str(hello["store"]), str(hello["project"]), run, launch)
        has_wish = any(hello.get(one) is not None for one in _WISHES) or bool(hello.get("resume"))
        # A wrapper has no wish of its own; the program in it, which comes later, may have one.
        if key not in self._made or (has_wish and key not in self._wished):
            self._made[key] = _decide(hello, launch, self.clock)
        if has_wish:
            self._wished.add(key)
        choice = self._made[key]
        if choice.fork and int(hello.get("rank", 0)) == 0:
            choice = self._made[key] = _copy(hello, choice, self.clock)
        return choice

    def finish(self, hello: Mapping[str, Any], exit_code: int | None) -> None:
        """Note how a rank has ended: after a success there is nothing to resume."""
        program = str(hello.get("program", ""))
        if program and exit_code == 0 and int(hello.get("rank", 0)) == 0:
            project = Path(str(hello["store"])) / str(hello["project"])
            forget_auto_run(project, program, str(hello.get("launch", "")))


def _decide(hello: Mapping[str, Any], launch: str, clock: Clock) -> Choice:
    store, project = Path(str(hello["store"])), str(hello["project"])
    run, mode = str(hello["run"]), str(hello.get("resume", ""))
    notices: list[dict[str, Any]] = []
    if mode == "auto":
        program = str(hello.get("program", ""))
        run = choose_auto_run(store / project, program, launch, run, clock=clock)
    elif mode != "never" and isinstance(told := hello.get("relaunch"), Mapping):
        run = find_earlier_run(store / project, run, launch, told, clock=clock)
    folder = run_folder(store, project, run)
    is_old = has_past(folder, launch, clock=clock)
    if mode == "never" and is_old:
        old, run = run, _add_launch(run, launch)
        folder = run_folder(store, project, run)
        is_old = has_past(folder, launch, clock=clock)
        notices.append(_warn("resume", f"the run {old} exists; this one is recorded as {run}"))
    elif not is_old and (mode == "must" or hello.get("rewind") is not None):
        notices.append(_warn("resume", f"there is no run {run} to resume; it begins now"))
    attempt = choose_attempt(folder, launch, int(hello["attempt"]), clock=clock)
    past: Past | None = None
    fork = _read_moment(hello.get("fork"))
    if is_old and (mode or fork):
        past = read_past(folder, attempt, clock=clock)
        rewind = hello.get("rewind")
        if isinstance(rewind, int):
            notices += _warn_of_gap(rewind, past.step, f"the run {run}")
            past = replace(past, step=rewind)
    elif fork:
        try:
            parent = run_folder(store, project, fork[0])
            past, last = read_fork(parent, fork[1], clock=clock)
            notices += _warn_of_gap(fork[1], last, f"the run {fork[0]}")
        except HpctrackError as error:
            notices.append(_warn("fork", f"{error.message}; the run begins from nothing"))
    is_forked = past is not None and not is_old
    return Choice(run, attempt, past, tuple(notices), fork if is_forked else None)


def _warn_of_gap(asked: int, last: int | None, run: str) -> list[dict[str, Any]]:
    """Say so if a run is to go on with a step that its past does not reach, or begins behind."""
    if last is not None and 0 <= asked <= last:
        return []
    end = "has no step" if last is None else f"ends with step {last}"
    if asked < 0:
        end = f"has no step {asked}: nothing of it is kept"
    return [_warn("resume", f"{run} {end}; step {asked + 1} is the next one")]


def _copy(hello: Mapping[str, Any], choice: Choice, clock: Clock) -> Choice:
    """Copy the parent, once, where rank 0 is."""
    assert choice.fork is not None  # noqa: S101 - the caller has looked
    store, project = Path(str(hello["store"])), str(hello["project"])
    folder, done = run_folder(store, project, choice.run), replace(choice, fork=None)
    if has_fork(folder):
        return done
    facts = {"run": choice.run, **{key: hello[key] for key in ("project", "node", "host")}}
    parent, step = choice.fork
    try:
        copy_fork(run_folder(store, project, parent), step, folder, facts, clock=clock)
    except HpctrackError as error:
        note = _warn("fork", f"{error.message}; the beginning of {parent} is missing here")
        return replace(done, notices=(*choice.notices, note))
    return done


def _read_moment(fork: object) -> tuple[str, int] | None:
    if not isinstance(fork, Mapping):
        return None
    return check_id(str(fork.get("run")), what="run id"), int(fork.get("step") or 0)


def _add_launch(run: str, launch: str) -> str:
    digits = digest_text(launch, 8)
    mark = launch[:4] if all(one in "0123456789abcdef" for one in launch[:4]) else digits[:4]
    return f"{run[: ID_MAX_CHARS - 5]}-{mark}"


def _warn(code: str, text: str) -> dict[str, Any]:
    return {"level": "warning", "code": code, "text": text}
