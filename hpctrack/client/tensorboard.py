"""What a program writes for TensorBoard, recorded too; loaded with ``sync_tensorboard`` only.

Nothing of TensorBoard's is imported: the writers' class is wrapped when the program has it, or
when the program imports it later. tf.summary writes from C++ and passes none of these classes.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from hpctrack.client.tensorboard_values import read_hparams, read_value

WRITER_MODULES = (
    "tensorboard.summary.writer.event_file_writer",  # torch.utils.tensorboard's, too
    "tensorboardX.event_file_writer",
)
"""Modules that have a class ``EventFileWriter``."""

_TIME_NAMED = re.compile(r"(?:(?<=/)|^)\d{9,11}\.\d+/$")

_lock = threading.RLock()
_listeners: list[TensorBoardSync] = []
_wrapped: list[tuple[type, str, Any, Any]] = []


class TensorBoardSync:
    """Passes on what this process's event writers get. Per-rank.

    Parameters
    ----------
    log : callable
        Takes the values, and the writer's step and time.
    configure : callable
        Takes hyperparameters.
    trouble : callable
        Takes an error that must not reach the training.
    tell : callable
        Takes a warning.
    """

    def __init__(
        self,
        log: Callable[[Mapping[str, Any], int, float], None],
        configure: Callable[[Mapping[str, Any]], None],
        trouble: Callable[[Exception], None],
        tell: Callable[[str], None],
    ) -> None:
        self._log = log
        self._configure = configure
        self._trouble = trouble
        self._tell = tell
        self._folders: list[str] = []
        self._prefixes: dict[str, str] = {}
        self._has_seen = False

    def start(self) -> None:
        """Listen to the writers that there are and to those that are imported later."""
        with _lock:
            _listeners.append(self)
            if len(_listeners) == 1:
                sys.meta_path.insert(0, _FINDER)
            for name in WRITER_MODULES:
                if name in sys.modules:
                    _wrap(sys.modules[name])
        self._look_for_others()

    def stop(self) -> None:
        """Listen no more; the last one leaves the writers' class as it was."""
        if not self._has_seen:
            self._look_for_others()
        with _lock:
            if self in _listeners:
                _listeners.remove(self)
            if _listeners:
                return
            if _FINDER in sys.meta_path:
                sys.meta_path.remove(_FINDER)
            while _wrapped:
                owner, name, earlier, ours = _wrapped.pop()
                if owner.__dict__.get(name) is ours:  # else somebody has wrapped it once more
                    setattr(owner, name, earlier)

    def _look_for_others(self) -> None:
        if "tensorflow" in sys.modules:
            self._tell(
                "sync_tensorboard does not see what tf.summary writes; write with torch's or "
                "tensorboardX's SummaryWriter, or call run.log"
            )

    def see_writer(self, writer: Any) -> None:
        """Note a writer's folder: how many there are decides about prefixes."""
        folder = os.path.abspath(os.fspath(writer.get_logdir()))  # noqa: PTH100 - resolves no link
        if folder not in self._folders:
            self._folders.append(folder)

    def take(self, writer: Any, event: Any) -> None:
        """Record one event; never raises unless strict."""
        try:
            self._take(writer, event)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._trouble(error)

    def _take(self, writer: Any, event: Any) -> None:
        self.see_writer(writer)
        if event.WhichOneof("what") != "summary":
            return
        self._has_seen = True
        prefix = self._find_prefix(writer)
        found: dict[str, Any] = {}
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                self._configure(read_hparams(value))
                continue
            read = read_value(value)
            if read is not None:
                found[prefix + read[0]] = read[1]
            elif value.tag and not value.tag.startswith("_hparams_"):
                self._tell(f"TensorBoard's {value.tag!r} is of a kind that is not recorded")
        if found:
            self._log(found, int(event.step), float(event.wall_time))

    def _find_prefix(self, writer: Any) -> str:
        """Return what goes before a writer's names; it never changes, or curves would break."""
        folder = os.path.abspath(os.fspath(writer.get_logdir()))  # noqa: PTH100 - see above
        if folder not in self._prefixes:
            below = os.path.relpath(folder, os.path.commonpath(self._folders))
            # add_hparams of both libraries writes its metrics to a folder named by the time.
            below = _TIME_NAMED.sub("", "" if below == "." else f"{below}/".replace(os.sep, "/"))
            self._prefixes[folder] = below
        return self._prefixes[folder]


class _Finder:
    """Sees the import of a writer's module, and leaves every other import alone."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        """Find a writer's module as usual, and have its class wrapped once it is loaded."""
        if name not in WRITER_MODULES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        loader: Any = spec.loader if spec else None
        if loader is None:
            return None
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            with _lock:
                if _listeners:
                    _wrap(module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return None
        return spec


_FINDER: Any = _Finder()


def _wrap(module: Any) -> None:
    owner = getattr(module, "EventFileWriter", None)
    if owner is None or any(one[0] is owner for one in _wrapped):
        return
    begin, add = owner.__init__, owner.add_event

    def init(writer: Any, *args: Any, **kwargs: Any) -> None:
        begin(writer, *args, **kwargs)
        for listener in tuple(_listeners):
            with suppress(Exception):  # its first event tells of it
                listener.see_writer(writer)

    def add_event(writer: Any, event: Any) -> Any:
        result = add(writer, event)
        for listener in tuple(_listeners):
            listener.take(writer, event)
        return result

    for name, earlier, ours in (("__init__", begin, init), ("add_event", add, add_event)):
        setattr(owner, name, ours)
        _wrapped.append((owner, name, earlier, ours))
