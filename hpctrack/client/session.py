"""``hpctrack.init`` and the run that module-level calls mean."""

from __future__ import annotations

import atexit
import builtins
import os
import sys
from _thread import get_native_id

from hpctrack.client.config import read_config
from hpctrack.client.opening import Opening
from hpctrack.client.ranks import ask_mpi, detect_rank
from hpctrack.client.run import Run
from hpctrack.client.run_calls import Tags
from hpctrack.client.spawn import wait_in_process
from hpctrack.client.values import Notices, exit_code_of
from hpctrack.core import Record
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import environment, load_settings
from hpctrack.errors import HpctrackError, NotInitialisedError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType, TracebackType
    from typing import Any, NoReturn

    from hpctrack.client.resume import Resume


class ExitCode:
    """Hears of errors that nobody caught and of ``sys.exit``, ``exit`` and ``quit``.

    Functions of ``atexit`` are not told the code in any other way. A bare ``raise SystemExit(5)``
    leaves no trace, nor does an ``exit`` that was taken from ``sys`` before `hook`.

    Attributes
    ----------
    code : int
        What the program ends with, if it ends now.

    Notes
    -----
    Of the main thread only: ``sys.exit`` in another one ends that thread. Whether somebody has
    caught the exit shows when the program goes on, see `look`.
    """

    def __init__(self) -> None:
        self.code = 0
        self._program: FrameType | None = None
        self._on_exit: Callable[[], None] = lambda: None

    def hook(self, on_exit: Callable[[], None]) -> None:
        """Begin to listen, for as long as the process lives.

        Parameters
        ----------
        on_exit : callable
            Called whenever the program has asked for its end: `look` should be called when it
            does something next.
        """
        self._on_exit = on_exit
        earlier_hook, earlier_exit = sys.excepthook, sys.exit

        def on_error(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            self.code, self._program = exit_code_of(error), None
            earlier_hook(kind, error, trace)

        def note_exit(code: Any = None, /) -> NoReturn:
            self._note(code)
            earlier_exit(code)

        sys.excepthook = on_error
        sys.exit = note_exit
        for name in ("exit", "quit"):
            earlier = getattr(builtins, name, None)  # not there under python -S
            if type(earlier).__name__ == "Quitter":
                setattr(builtins, name, _Quitter(earlier, self._note))

    def look(self) -> bool:
        """Forget a code if the program, which calls this, goes on as if nothing had been.

        Returns
        -------
        bool
            Whether that cannot be told yet, because the exit is just being handled: in a
            ``finally`` on its way out, perhaps.
        """
        if self._program is None or not _is_main_thread():
            return False
        error = sys.exception()
        while error is not None:
            if isinstance(error, SystemExit):
                return True
            error = error.__context__
        # Functions of atexit have no program below them.
        if _find_program() is self._program:
            self.code, self._program = 0, None
        return False

    def at_end(self) -> int:
        """Return the code for runs that the program's end finds open."""
        if self.code or not _is_notebook():
            return self.code
        from hpctrack.client.notebook import code_of_last_cell  # noqa: PLC0415 - rarely needed

        return code_of_last_cell()

    def _note(self, code: object) -> None:
        if _is_main_thread():
            self.code, self._program = exit_code_of(SystemExit(code)), _find_program()
            self._on_exit()


class _Quitter:
    """What stands for ``exit`` or ``quit``."""

    def __init__(self, earlier: Any, note: Callable[[object], None]) -> None:
        self._earlier = earlier
        self._note = note

    def __call__(self, code: object = None) -> NoReturn:
        """End the program."""
        self._note(code)
        self._earlier(code)
        raise SystemExit(code)

    def __repr__(self) -> str:
        """Say how to leave."""
        return repr(self._earlier)


def _is_main_thread() -> bool:
    return get_native_id() == os.getpid()


def _find_program() -> FrameType | None:
    """Return the outermost frame of this thread: the program's, or a function's of atexit."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, for use as here
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_notebook() -> bool:
    """Say whether cells are run one by one, in a Jupyter kernel or at IPython's prompt."""
    return hasattr(builtins, "__IPYTHON__")


class _State:
    """What module-level calls refer to.

    Attributes
    ----------
    last : Run or None
        The last run, also when it is finished: calls that come too late are its business.
    runs : list of Run
        Those that record: a fork and the program's end concern them all, named or not.
    settle : callable or None
        Waits for the agent at the program's end, where that is the agent's end too.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        self.last: Run | None = None
        self.runs: list[Run] = []
        self.begun = 0
        self.is_hooked = False
        self.exit = ExitCode()
        self.settle: Callable[[float], None] | None = None


SETTLE_S = 10.0
"""Longest wait at a program's end for runs to be sealed; what is not is left to `hpctrack seal`."""

_state = _State()


_MEANINGLESS = frozenset({
    "allow_val_change", "anonymous", "entity", "force", "magic", "monitor_gym",
})  # fmt: skip
"""Parameters of W&B's ``init`` that a program need not be told about."""

_INSTEAD = {"save_code": "call run.log_code()", "tensorboard": "use sync_tensorboard"}


class _About(Record):
    """What a user says of a run when it begins."""

    config: object = None
    tags: Sequence[str] | None = None
    notes: str | None = None
    exclude: Sequence[str] | None = None
    include: Sequence[str] | None = None
    others: Mapping[str, object] | None = None

    def list_unknown(self) -> list[str]:
        """Return a sentence for each argument that nobody knows."""
        names = sorted((self.others or {}).keys() - _MEANINGLESS - {"reinit"})
        return [
            f"init() has no parameter {one!r}; {_INSTEAD.get(one, 'left out')}" for one in names
        ]

    def ends_others(self) -> bool:
        """Say whether runs that are still open end now.

        A cell that begins a run is run again and again. A program may have several at once.
        """
        wish = (self.others or {}).get("reinit")
        return wish != "create_new" if _is_notebook() else wish in (True, "finish_previous")

    def choose_config(self) -> dict[str, Any]:
        """Return the part of the configuration that is to be recorded."""
        values = read_config(self.config)
        if not (self.include or self.exclude):
            return values
        from hpctrack.client.config_source import choose_keys  # noqa: PLC0415 - rarely asked for

        return choose_keys(values, include=self.include, exclude=self.exclude)


def init(  # noqa: PLR0917 - what one would not name in a notebook
    project: str | None = None,
    name: str | None = None,
    id: str | None = None,  # noqa: A002 - W&B's name
    config: object = None,
    group: str | None = None,
    job_type: str | None = None,
    *,
    tags: Sequence[str] | None = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002 - W&B's name
    mode: str | None = None,
    resume: str | bool | None = None,
    settings: Mapping[str, Any] | None = None,
    sync_tensorboard: bool = False,
    strict: bool | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    rules: Sequence[Mapping[str, Any]] | None = None,
    raise_pruned: bool | None = None,
    **others: object,
) -> Run:
    """Begin a run, or join the one that the other ranks of this job have begun. Per-rank.

    Every rank calls it; the launcher's environment tells the run's id.

    Parameters
    ----------
    project : str, optional
        Folder of related runs. Default: ``$HPCTRACK_PROJECT``, else ``uncategorized``.
    name, id : str, optional
        What people read; and the id, by default ``$HPCTRACK_RUN_ID``, else the launcher's.
    config : mapping, dataclass instance, argparse.Namespace or path, optional
        Hyperparameters, rank 0's; a path names a ``.json``, ``.toml`` or ``.yaml`` file.
    group, job_type, tags, notes : optional
        As in W&B; rank 0's are recorded.
    dir, mode : path and {"offline", "disabled"}, optional
        The store, by default ``$HPCTRACK_DIR``, else ``./hpctrack-store``; and ``disabled`` to make
        every call a no-op that touches nothing.
    settings, strict, rules : mapping, bool and list of mapping, optional
        Other settings, see ``hpctrack config``; whether to raise instead of warning; what to watch
        for: ``[{"metric": "loss", "is": "nan"}]``.
    resume : {"allow", "never", "must", "auto"}, optional
        If the id was used before: ``allow`` goes on after the last step, with old config and
        summary, ``must`` warns if there is none, ``never`` takes another id, ``auto`` finds what
        this program left unfinished. Old and new points never mix. Waits at most 30 s.
    resume_from, fork_from : str, optional
        ``<run id>?_step=<step>``: rewind a run, or begin a new one with a copy of its beginning.
    config_exclude_keys, config_include_keys : which of ``config`` to leave out, or alone to take.
    sync_tensorboard : bool
        Also record what this rank's ``SummaryWriter`` of torch or tensorboardX gets from now on.
    raise_pruned : have ``log`` raise `Pruned` at the next step when the run is to end early.
    **others : of W&B's, ``reinit="create_new"`` keeps a notebook's earlier runs; unknown are told.

    Returns
    -------
    Run
        Also a context manager.

    Raises
    ------
    HpctrackError
        Only with ``strict``; else it is told on stderr and worked around, to keep the job alive.

    Examples
    --------
    >>> import hpctrack
    >>> hpctrack.init(project="digits", config={"lr": 0.1}, mode="disabled").config.lr
    0.1
    """
    asked = {
        "project": project, "name": name, "run_id": id, "group": group, "job_type": job_type,
        "dir": dir, "mode": mode, "strict": strict, "rules": rules, "settings": settings,
        "tb": sync_tensorboard, "raise_pruned": raise_pruned,
    }  # fmt: skip
    about = _About(config, tags, notes, config_exclude_keys, config_include_keys, others)
    earlier = {"resume": resume, "resume_from": resume_from, "fork_from": fork_from}
    return _begin_safely(asked, about, earlier)


def finish(exit_code: int | None = None, *, quiet: bool | None = None) -> None:
    """End the current run, see `Run.finish`. Per-rank; does nothing without a run."""
    if _state.run is not None:
        _state.run.finish(exit_code, quiet=quiet)
        _state.run = None


def log(data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - W&B's signature
    """Record numbers in the current run, see `Run.log`. Per-rank.

    Raises
    ------
    NotInitialisedError
        `init` has not been called.
    """
    current_run("log").log(data, step=step, commit=commit)


def current_run(what: str) -> Run:
    """Return the run that module-level calls mean.

    Raises
    ------
    NotInitialisedError
        There is none.
    """
    if _state.run is not None:
        return _state.run
    if _state.last is not None:
        return _state.last  # finished, or left to the parent of a fork: it does nothing
    if load_settings().values.mode == "disabled":
        return _begin({}, _About(), {})
    raise NotInitialisedError(f"hpctrack.{what} needs a run", hint="call hpctrack.init() first")


def maybe_run() -> Run | None:
    """Return the current run, if there is one that has not finished."""
    run = _state.run
    return None if run is None or run.is_finished else run


def _begin_safely(asked: dict[str, Any], about: _About, earlier: Mapping[str, Any]) -> Run:
    """Begin a run; a mistake that nobody has thought of costs the record, not the job."""
    before = _state.last
    try:
        more = asked.pop("settings") or {}
        is_followed = asked.pop("tb")
        run = _begin({**asked, **more}, about, earlier)
        if is_followed and run.is_recording:
            run.follow_tensorboard()
    except HpctrackError:
        raise  # strict
    except Exception as error:
        if asked.get("strict"):
            raise
        if _state.last is before or _state.last is None:
            _begin({"mode": "disabled"}, _About(), {})
        run = current_run("init")
        what = "records without the rest" if run.is_recording else "records nothing"
        run.tell("init", f"init() failed: {type(error).__name__}: {error}; this run {what}")
    return run


def _begin(asked: dict[str, Any], about: _About, earlier: Mapping[str, Any]) -> Run:
    environ = environment()
    if environ.get("HPCTRACK_SWEEP_ID"):
        # The sweep says which run this is and where it belongs, as in W&B.
        asked |= dict.fromkeys(("project", "run_id", "group"))
    loaded = load_settings(asked, environ=environ)
    chosen = loaded.values
    if chosen.strict and loaded.problems:
        raise loaded.problems[0]
    problems = [problem.in_a_line() for problem in loaded.problems] + about.list_unknown()
    if chosen.strict and problems:
        raise UsageError(problems[0])
    wish = None
    try:
        wish = _read_wish(chosen.resume, **earlier)
    except UsageError as error:
        if chosen.strict:
            raise
        problems.append(error.in_a_line())
    if about.ends_others():
        _finish_all(0)
    rank = detect_rank(environ, ask_mpi)
    label = f"rank {rank.rank}" if rank.size > 1 else ""
    opening = Opening(
        environ=environ,
        settings=chosen,
        rank=rank,
        ordinal=_state.begun,
        clock=SYSTEM_CLOCK,
        notices=Notices(label, quiet=chosen.quiet or rank.rank != 0),
        resume=wish,
        problems=problems,
    )
    run = opening.open()
    _state.begun += 1
    _state.run = _state.last = run
    run.look_with(_state.exit.look)
    _state.runs = [one for one in _state.runs if one.is_recording] + [run]
    # The end of a Slurm step kills the agent at once; elsewhere it stays until it has sealed.
    _state.settle = opening.settle if "SLURM_JOB_ID" in environ else None
    _hook_exit()
    opening.problems += _describe(run, environ, about)
    if opening.needs_answer:
        opening.problems += filter(None, [run.wait_for_past()])
    for problem in opening.problems:
        run.tell("init", problem)
    if run.is_recording:
        opening.notices.say(f"recording {run.name} in {run.path}")
    return run


def _describe(run: Run, environ: Mapping[str, str], about: _About) -> list[str]:
    """Send what the user said about the run; return what could not be used."""
    problems = []
    try:
        if about.config is not None:
            run.config.update(about.choose_config())
        if environ.get("HPCTRACK_SWEEP_CONFIG"):
            from hpctrack.client.trial_run import take_parameters  # noqa: PLC0415 - in trials only

            take_parameters(run.config, environ["HPCTRACK_SWEEP_CONFIG"])
    except HpctrackError as error:
        problems.append(error.in_a_line())
    tags = about.tags
    if tags is None:
        tags = [one.strip() for one in run.settings.tags.split(",")]
    labels = Tags(tags)
    if any(labels):
        run.tags = labels
    if about.notes:
        run.notes = about.notes
    return problems


def _read_wish(mode: str, **earlier: Any) -> Resume | None:
    """Check what ``init`` was told about earlier runs; most programs say nothing of them."""
    earlier = earlier if any(earlier.values()) else {"resume": mode}
    if not any(earlier.values()):
        return None
    from hpctrack.client.resume import read_resume  # noqa: PLC0415 - see above

    return read_resume(**earlier)


def _hook_exit() -> None:
    """Finish the run when the program ends, with the code that it ends with."""
    if _state.is_hooked:
        return
    _state.is_hooked = True
    atexit.register(_finish_at_exit)
    os.register_at_fork(after_in_child=_after_fork)
    _state.exit.hook(_look_soon)


def _look_soon() -> None:
    for run in _state.runs:
        run.look_soon()


def _finish_at_exit() -> None:
    _finish_all(_state.exit.at_end())
    if _state.settle is not None:
        _state.settle(SETTLE_S)
    if not wait_in_process(SETTLE_S):
        text = f"the recorder is still busy after {SETTLE_S:g} s; `hpctrack seal` does the rest"
        Notices().warn_once("settle", text)


def _finish_all(exit_code: int) -> None:
    """Finish what is open; all runs share one time-out."""
    begun_s = SYSTEM_CLOCK.mono_s()
    for run in _state.runs:
        try:
            run.finish(exit_code, waited_s=SYSTEM_CLOCK.mono_s() - begun_s)
        except Exception as error:  # noqa: BLE001 - strict; the others have an end, too
            Notices().warn_once(run.id, f"finish() failed: {type(error).__name__}: {error}")


def _after_fork() -> None:
    # All of them: a child that wrote into the ring of an earlier run would garble its parent's.
    for run in _state.runs:
        run.detach()
    _state.runs.clear()
    _state.run = _state.settle = None
