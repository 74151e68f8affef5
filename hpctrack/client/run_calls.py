"""What a user can do with a run besides logging numbers; `Run` inherits it.

Words about it, models that it watches, files that it keeps. What most programs never call is
imported when it is called: every rank pays for an import.
"""

from __future__ import annotations

import abc
import os
from _collections_abc import (  # loaded; `collections.abc` is not
    Callable,
    Iterable,
    Mapping,
    Sequence,
)

from hpctrack.client.config import Config
from hpctrack.client.values import Faults
from hpctrack.core.clock import Clock
from hpctrack.core.names import make_readable_name
from hpctrack.core.settings import Settings
from hpctrack.core.wire import Kind, text_of
from hpctrack.errors import HpctrackError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path
    from typing import Any, Self

    from hpctrack.client.alerts import Alerts
    from hpctrack.client.channel import Channel
    from hpctrack.client.definitions import Definition
    from hpctrack.client.tensorboard import TensorBoardSync
    from hpctrack.client.watch import Watcher


class Tags(tuple[str, ...]):
    """Short labels; ``+`` takes any sequence, and anything else as one label."""

    __slots__ = ()

    def __new__(cls, labels: object = ()) -> Self:
        """Take labels, without those that are there already."""
        return super().__new__(cls, dict.fromkeys(_labels_of(labels)))

    def __add__(self, other: object) -> Tags:
        """Return these labels and more."""
        return Tags((*self, *_labels_of(other)))


def _labels_of(given: object) -> list[str]:
    """Return labels, whatever a program has put in their place: nothing here may raise."""
    if given is None:
        return []
    try:
        if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
            return [text_of(one) for one in given]
    except Exception as error:
        if is_of_a_signal(error):
            raise
    return [text_of(given)]


class RunCalls(abc.ABC):
    """The calls of a run that are not ``log``; per-rank, but of words about it rank 0's count."""

    resumed: bool = False
    """Whether an earlier attempt was found to go on with; see ``resume`` of `hpctrack.init`.
    Per-rank, and the same on all."""

    id: str
    rank: int
    config: Config
    _name: str
    _tags: Tags
    _notes: str
    _settings: Settings
    _hello: dict[str, Any]
    _clock: Clock
    _faults: Faults
    _channel: Channel | None
    _is_finished: bool
    _alerts: Alerts | None = None
    _watcher: Watcher | None = None
    _tensorboard: TensorBoardSync | None = None

    @abc.abstractmethod
    def _send_json(self, kind: int, value: Mapping[str, Any], *, keep: str = "") -> bool:
        """Pass a frame to the agent, or say that there is no room; `Run` knows how."""

    @abc.abstractmethod
    def _refuse_in_vain(self, what: str) -> None:
        """Say once that nothing is recorded any more; `Run` knows how."""

    @abc.abstractmethod
    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:  # noqa: FBT001, FBT002 - W&B's signature
        """See `Run.log`."""

    @abc.abstractmethod
    def _log_at(self, data: Mapping[str, Any], step: int, wall_s: float) -> None:
        """Record what was written at another moment; `Run` knows how."""

    # -- what was said when it began ------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """Everything that is set, read-only. Per-rank."""
        return self._settings

    @property
    def group(self) -> str:
        """The group of the run; empty if there is none. Rank 0's is recorded."""
        return self._settings.group

    @property
    def job_type(self) -> str:
        """What the run does, such as ``train``; empty if nobody said. Rank 0's is recorded."""
        return self._settings.job_type

    @property
    def sweep_id(self) -> str:
        """The sweep that the run is a trial of; empty if it is none. Rank 0's is recorded."""
        return self._settings.sweep_id

    @property
    def start_time(self) -> float:
        """When this rank began, UTC seconds; 0 of a disabled run. Per-rank."""
        return float(self._hello.get("wall_s", 0.0))

    @property
    def disabled(self) -> bool:
        """Whether the mode is ``disabled``, see `is_recording`. Per-rank."""
        return self._settings.mode == "disabled"

    @property
    def offline(self) -> bool:
        """Whether the run is kept in files only: always, unless it is disabled. Per-rank."""
        return not self.disabled

    @property
    def entity(self) -> str:
        """Empty: a store belongs to whom its folder belongs to. For W&B's sake. Per-rank."""
        return ""

    @property
    def url(self) -> None:
        """None, as of W&B's offline runs: who starts a dashboard knows its address. Per-rank."""
        return

    @property
    def checkpoint_dir(self) -> Path | None:
        """A sweep's folder for this trial's checkpoints, the same in all attempts; None elsewhere.

        Per-rank, and the same on all.
        """
        return None

    # -- descriptions ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name people read; may be set at any time; None: the made-up one. Rank 0's counts."""
        return self._name

    @name.setter
    def name(self, value: str | None) -> None:
        self._name = make_readable_name(self.id) if value is None else text_of(value)
        self._send_json(Kind.META, {"name": self._name}, keep="meta name")

    @property
    def tags(self) -> Tags:
        """Short labels; set them at any time, or add with ``+=``. Rank 0's are recorded."""
        return self._tags

    @tags.setter
    def tags(self, value: Iterable[str] | None) -> None:
        self._tags = Tags(value)
        self._send_json(Kind.META, {"tags": list(self._tags)}, keep="meta tags")

    @property
    def notes(self) -> str:
        """Free text; may be set at any time. Rank 0's is recorded."""
        return self._notes

    @notes.setter
    def notes(self, value: str | None) -> None:
        self._notes = "" if value is None else text_of(value)
        self._send_json(Kind.META, {"notes": self._notes}, keep="meta notes")

    def _restore_words(self, name: str, tags: Iterable[str], notes: str) -> None:
        """Take what an earlier attempt was called, unless this one was called something else."""
        if self._settings.name:
            self.name = self._settings.name  # readers know the first attempt's
        elif name:
            self._name = name
        self._tags = self._tags or Tags(tags)
        self._notes = self._notes or notes

    def define_metric(
        self,
        name: str,
        step_metric: str | Definition | None = None,
        *,
        summary: str | Sequence[str] | None = None,
        goal: str | None = None,
        hidden: bool | None = None,
        overwrite: bool | None = None,
        step_sync: bool | None = None,
    ) -> Definition:
        """Say how a metric is to be read. Rank 0's word is recorded.

        Parameters
        ----------
        name : str
            A metric, or the beginning of several with ``*`` at the end: ``val/*``.
        step_metric : str or Definition, optional
            The metric that it is drawn against. It may be logged at any time, before or after.
        summary : str or sequence of str, optional
            What `StoredRun.summary` holds: ``min``, ``max``, ``mean``, ``last``, ``first``,
            ``best`` or ``none``; several, joined by commas or in a list, make a mapping.
            Default: the last.
        goal : {"minimize", "maximize"}, optional
            What ``best`` means.
        hidden : bool, optional
            Leave it out of charts that nobody asked for.
        overwrite : bool, optional
            Forget what was said before of this name; by default this is added to it.
        step_sync : bool, optional
            Accepted for W&B's sake: readers always find the step metric's value by step.

        Returns
        -------
        Definition
            Can be the ``step_metric`` of others.
        """
        # Looked up by the reader: what is logged at the same step belongs together.
        del step_sync
        from hpctrack.client.definitions import Definition, define  # noqa: PLC0415 - see above

        try:
            made, said = define(
                name, step_metric, summary=summary, goal=goal, hidden=hidden, overwrite=overwrite
            )
            keep = f"define {name} {','.join(sorted(said))}"
        except Exception as error:  # noqa: BLE001 - anybody's object
            self._refuse_call("define_metric", error)
            return Definition(text_of(name))
        if self.rank == 0:
            self._send_json(Kind.DEFINE, said, keep=keep)
        return made

    # -- events ----------------------------------------------------------------------------------

    def alert(
        self,
        title: str,
        text: str = "",
        level: object = "INFO",
        wait_duration: float | dt.timedelta | None = None,
    ) -> None:
        """Record something that a person should see soon. Per-rank.

        Parameters
        ----------
        title : str
            What has happened; alerts with the same title are held back for a while and counted.
        text : str
            More about it.
        level : str
            ``INFO``, ``WARN`` or ``ERROR``.
        wait_duration : float or timedelta, optional
            For how long, seconds. Default 60.

        Notes
        -----
        Shown by ``hpctrack show`` and the dashboard; nothing is sent to anybody, because the
        machine cannot.
        """
        from hpctrack.client.alerts import Alerts  # noqa: PLC0415 - see above

        if self._alerts is None:
            self._alerts = Alerts(self._clock.mono_s)
        try:
            said = self._alerts.make(title, text, level=level, wait_duration=wait_duration)
        except Exception as error:  # noqa: BLE001 - anybody's object
            self._refuse_call("alert", error)
            return
        if said is not None:
            self._send_json(Kind.EVENT, said)

    def _end_alerts(self) -> None:
        """Send what was held back until now."""
        if self._alerts is not None:
            for said in self._alerts.take_rest():
                self._send_json(Kind.EVENT, said)

    def mark_preempting(self) -> None:
        """Say that this job is being preempted. Any rank may.

        Should the run then end without success, it is ``preempted``, not failed or crashed; the
        next attempt makes it running again.
        """
        self._send_json(Kind.META, {"preempting": True}, keep="meta preempting")

    def request_sync(self) -> None:
        """Ask that the run be pushed to the server soon. Any rank may.

        Returns at once. What was logged before is in the file when the agent leaves the request in
        the store, where ``hpctrack sync --watch --triggered``, on a machine that reaches the
        server, finds it. Asking more than once a second is asking once.
        """
        self._send_json(Kind.REQUEST_SYNC, {}, keep="request sync")

    # -- models ----------------------------------------------------------------------------------

    def watch(
        self,
        models: object,
        criterion: object = None,
        log: str | None = "gradients",
        log_freq: int = 1000,
        *,
        idx: int | None = None,
        log_graph: bool = False,
    ) -> None:
        """Log histograms of a model's gradients and parameters. Per-rank: call it where wanted.

        Parameters
        ----------
        models : torch.nn.Module, or sequence of them
            Anything with ``named_parameters()``.
        criterion : torch.nn.Module, optional
            A loss; watched too if it has parameters.
        log : {"gradients", "parameters", "all"} or None
            What is logged as ``gradients/<name>`` and ``parameters/<name>``.
        log_freq : int
            Backward passes from one histogram to the next; for parameters that need no gradient,
            forward passes in training (not of a model that ``torch.compile`` has compiled).
        idx : int, optional
            Number of the first model, for the names. Default: the one it had before, else the
            first that is free.
        log_graph : bool
            Also log the model's structure as text, once.

        Notes
        -----
        Costs one count of the tensor, where it is, and 64 numbers; in between nothing but a call.
        The histograms have the step of the next ``log`` call. `finish` ends it.
        """
        try:
            if self._watcher is None:
                from hpctrack.client.watch import make_watcher  # noqa: PLC0415 - see above

                self._watcher = make_watcher(self.log, self._faults)
            self._watcher.watch(models, criterion, log=log, log_freq=log_freq, idx=idx)
            if log_graph:
                from hpctrack.client.media import Text  # noqa: PLC0415 - see above

                chosen = models if isinstance(models, (list, tuple)) else [models]
                graphs = {f"graph/{number}": Text(repr(one)) for number, one in enumerate(chosen)}
                self.log(graphs, commit=False)
        except Exception as error:  # noqa: BLE001 - anybody's model
            self._refuse_call("watch", error)

    def unwatch(self, models: object = None) -> None:
        """Stop watching some models, or all. Per-rank."""
        if self._watcher is not None:
            try:
                self._watcher.unwatch(models)
            except Exception as error:  # noqa: BLE001 - anybody's model
                self._refuse_call("unwatch", error)

    # -- TensorBoard -----------------------------------------------------------------------------

    def follow_tensorboard(self) -> None:
        """Record what this process writes for TensorBoard; per-rank, for the code of ``init``."""
        from hpctrack.client.tensorboard import TensorBoardSync  # noqa: PLC0415 - see above

        def trouble(error: Exception) -> None:
            self._faults.trouble("sync_tensorboard", error)

        if self._tensorboard is None:
            self._tensorboard = TensorBoardSync(
                self._log_at,
                lambda found: self.config.update(found, allow_val_change=True),
                trouble,
                lambda text: self._faults.tell("tensorboard", text),
            )
            self._tensorboard.start()

    def _leave_tensorboard(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.stop()
            self._tensorboard = None

    # -- files -----------------------------------------------------------------------------------

    def save(
        self,
        glob_str: str | os.PathLike[str],
        base_path: str | os.PathLike[str] | None = None,
        policy: str = "live",
    ) -> list[str]:
        """Keep files in the run. Per-rank.

        Parameters
        ----------
        glob_str : path
            A file, a folder, or a pattern with ``*``, ``?`` and ``**``.
        base_path : path, optional
            Names in the run are relative to it. Default: the working folder, or the folder of an
            absolute path.
        policy : {"live", "now", "end"}
            Read at once and again at the end if it has changed, only now, or only at the end.

        Returns
        -------
        list of str
            The files that match now; none if the run is disabled.

        Notes
        -----
        Looks for the files, and reads small ones at once, 16 MiB of each call together: they may
        change on the next line. Larger ones, and those of the end, are read by the node's agent a
        moment later, or when the rank ends. At most 1,000 files of 256 MB each; for more, use
        artifacts. The same bytes are stored once. A pattern that no file matches is told and
        counted.
        """
        from hpctrack.client.saved_files import save_files  # noqa: PLC0415 - see above

        if self._channel is None or self._is_finished:
            self._refuse_in_vain("save()")
            return []
        try:
            found, said = save_files(glob_str, base_path, policy, self._channel.send)
        except Exception as error:  # noqa: BLE001 - any path, any file system
            self._refuse_call("save", error)
            return []
        if said is not None:
            # What an agent is to read at the end, its successor must know too.
            keep = f"save {said['base']} {said['path']}" if policy != "now" else ""
            self._send_json(Kind.SAVE, said, keep=keep)
        return found

    def log_code(
        self,
        root: str | os.PathLike[str] = ".",
        name: str | None = None,
        include_fn: Callable[..., bool] | None = None,
        exclude_fn: Callable[..., bool] | None = None,
    ) -> None:
        """Keep the program's code in the run. Rank 0's is recorded.

        Parameters
        ----------
        root : path
            A folder; what lies below it is kept under its relative name.
        name : str, optional
            A folder to put the names in.
        include_fn, exclude_fn : callable, optional
            Choose files by path, or by path and root. Default: ``*.py``.

        Notes
        -----
        Hidden folders, virtual environments and what Git ignores are left out; at most 1,000
        files and 50 MB. With a function, this process walks the folder.
        """
        from hpctrack.client.saved_files import make_code_request  # noqa: PLC0415 - see above

        if self.rank != 0:
            return
        try:
            request = make_code_request(root, name, include_fn=include_fn, exclude_fn=exclude_fn)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            self._refuse_call("log_code", error)
            return
        self._send_json(Kind.SAVE, request)

    def _refuse_call(self, call: str, error: Exception) -> None:
        """Count a call that could not be understood, and say so once."""
        if is_of_a_signal(error):
            raise error
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, HpctrackError):
            text = error.in_a_line()
        self._faults.refuse(f"{call}:{text}", f"{call}(): {text}")
