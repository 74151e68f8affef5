"""What ``init`` is told about earlier runs: ``resume``, ``resume_from`` and ``fork_from``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from hpctrack.client.config import Config, Summary
from hpctrack.client.ranks import RankInfo
from hpctrack.core import Record
from hpctrack.core.names import check_id, digest_text
from hpctrack.core.settings import find_cwd
from hpctrack.errors import InvalidNameError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = ("allow", "never", "must", "auto")

WELCOME_WAIT_S = 30.0
"""How long ``init`` waits for what the files know; without ``resume`` it waits for nothing. An
agent that starts while 128 ranks import their libraries takes several seconds, and a program that
was not told where to go on would compute everything again."""

_MARK = "?_step="


class Resume(Record):
    """What was asked for.

    Parameters
    ----------
    mode : str
        Out of `MODES`; empty if nothing was said: then a run id that was used before goes on as
        the next attempt, without waiting for what it had come to.
    run : str
        The run to rewind; empty for the one that ``init`` names otherwise.
    step : int or None
        Rewind to this step: the next one is the first that is computed again.
    fork_run, fork_step : str, int or None
        The run whose beginning, up to and with this step, is copied into the new one.
    """

    mode: str = ""
    run: str = ""
    step: int | None = None
    fork_run: str = ""
    fork_step: int | None = None

    @property
    def needs_answer(self) -> bool:
        """Whether ``init`` has to wait for the agent."""
        return bool(self.mode or self.run or self.fork_run)

    def to_hello(self, environ: Mapping[str, str], rank: RankInfo) -> dict[str, Any]:
        """Return what the agent is told; nothing if nothing was asked for."""
        told: dict[str, Any] = {}
        if self.mode:
            told["resume"] = self.mode
        if self.step is not None:
            told["rewind"] = self.step
        if self.fork_run:
            told["fork"] = {"run": self.fork_run, "step": self.fork_step}
        if self.mode == "auto":
            told["program"] = name_program(environ, rank)
        return told


def read_resume(
    resume: str | bool | None = None,  # noqa: FBT001 - W&B's form
    *,
    resume_from: str | None = None,
    fork_from: str | None = None,
) -> Resume:
    """Check the arguments of ``init``.

    Parameters
    ----------
    resume : str or bool, optional
        One of `MODES`; True is ``auto``.
    resume_from, fork_from : str, optional
        ``<run id>?_step=<step>``.

    Raises
    ------
    UsageError
        They cannot be understood, or contradict each other.
    """
    mode = {True: "auto", False: "", None: ""}.get(resume, resume)  # type: ignore[arg-type]
    if mode and mode not in MODES:
        raise UsageError(f"resume is {resume!r:.40}", hint=f"use one of {', '.join(MODES)}")
    if resume_from and fork_from:
        raise UsageError(
            "resume_from and fork_from are both given", hint="rewind a run, or fork a new one"
        )
    if fork_from:
        run, step = parse_moment(fork_from)
        return Resume(str(mode), fork_run=run, fork_step=step)
    if resume_from:
        run, step = parse_moment(resume_from)
        return Resume("allow" if mode in {"", "auto"} else str(mode), run, step)
    return Resume(str(mode or ""))


def parse_moment(text: str) -> tuple[str, int]:
    """Read ``<run id>?_step=<step>``.

    Raises
    ------
    UsageError
        It is something else.
    """
    run, mark, step = str(text).partition(_MARK)
    try:
        if mark:
            return check_id(run, what="run id"), int(step)
    except (InvalidNameError, ValueError):
        pass
    raise UsageError(f"{text!r:.80} names no step of a run", hint="write <run id>?_step=<step>")


def name_program(environ: Mapping[str, str], rank: RankInfo) -> str:
    """Return what two starts of the same program have in common, on every rank.

    The command line, the working folder, the number of ranks and the place in a job array.
    """
    here = find_cwd()
    words = [os.path.normpath(os.path.join(here, sys.argv[0] or "-")), *sys.argv[1:]]  # noqa: PTH118 - a text
    task = environ.get("SLURM_ARRAY_TASK_ID", "")
    text = "\0".join([*words, here, str(rank.size), task])
    return digest_text(text, 8)


class Continued(Record):
    """What the agent found of an earlier run.

    Parameters
    ----------
    run, path : str
        The run's id and folder: the agent may have chosen another one than was asked for.
    attempt : int
        Number of this start.
    is_resumed : bool
        There were points before.
    step : int or None
        The last step that counts.
    config, summary : dict
        As they were.
    name, tags, notes : str, tuple of str, str
        As they were; a fork has none of its parent's.
    """

    run: str
    path: str
    attempt: int
    is_resumed: bool
    step: int | None
    config: dict[str, Any]
    summary: dict[str, Any]
    name: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""

    @classmethod
    def read(cls, message: Mapping[str, Any]) -> Continued:
        """Read the agent's WELCOME; what is missing there has not changed."""
        step = message.get("step")
        return cls(
            run=str(message.get("run", "")),
            path=str(message.get("path", "")),
            attempt=int(message.get("attempt", 1)),
            is_resumed=bool(message.get("resumed")),
            step=int(step) if step is not None else None,
            config=dict(message.get("config") or {}),
            summary=dict(message.get("summary") or {}),
            name=str(message.get("name", "")),
            tags=tuple(str(one) for one in message.get("tags", ())),
            notes=str(message.get("notes", "")),
        )

    def restore(self, config: Config, summary: Summary) -> int:
        """Put the old values under the new ones; return the step to go on with."""
        config.restore(self.config)
        summary.restore(self.summary)
        return 0 if self.step is None else self.step + 1
