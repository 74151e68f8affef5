"""Models that a run watches and files that it keeps; `Run` inherits it.

What most programs never call is imported when it is called: every rank pays for an import.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping

from hpctrack.client.config import Config
from hpctrack.client.faults import Faults
from hpctrack.core.wire import Kind, pack_media
from hpctrack.errors import HpctrackError, UsageError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hpctrack.client.channel import Channel
    from hpctrack.client.tensorboard import TensorBoardSync
    from hpctrack.client.watch import Watcher


class RunAttachments(abc.ABC):
    """The calls of a run that take a program's own things; per-rank."""

    rank: int
    config: Config
    _faults: Faults
    _channel: Channel | None
    _is_finished: bool
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
            self._find_watcher().watch(models, criterion, log=log, log_freq=log_freq, idx=idx)
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

    def _find_watcher(self) -> Watcher:
        from hpctrack.client.media import Histogram  # noqa: PLC0415 - see above
        from hpctrack.client.watch import Watcher  # noqa: PLC0415 - see above

        def log(found: Mapping[str, Any]) -> None:
            self.log({key: Histogram(np_histogram=one) for key, one in found.items()}, commit=False)

        if self._watcher is None:
            self._watcher = Watcher(
                log,
                lambda key, text: self._faults.tell("watch", text, once=key),
                lambda error: self._faults.trouble("watch", error),
            )
        return self._watcher

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
        from hpctrack.client.file_search import find_files  # noqa: PLC0415 - see above
        from hpctrack.client.saved_files import make_save_request, read_now  # noqa: PLC0415

        if self._channel is None or self._is_finished:
            self._refuse_in_vain("save()")
            return []
        read: list[str] = []
        try:
            request = make_save_request(glob_str, base_path, policy)
            found, is_cut = find_files(request["path"], request["base"])
            if policy != "end":
                for described, body in read_now(request, found):
                    self._channel.send(pack_media(described, [body]))
                    read.append(described["meta"]["path"])
        except Exception as error:  # noqa: BLE001 - any path, any file system
            self._refuse_call("save", error)
            return []
        if policy == "now" and not found:
            self._refuse_call("save", UsageError(f"no file matches {request['path']}"))
        elif policy != "now" or is_cut or len(read) < len(found):
            # What an agent is to read at the end, its successor must know too.
            keep = f"save {request['base']} {request['path']}" if policy != "now" else ""
            said = {**request, "matched": len(found), "read": read}
            self._send_json(Kind.SAVE, said, keep=keep)
        return [str(one.path) for one in found]

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
