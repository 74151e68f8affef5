"""One lock for all who call the HDF5 library without h5py: it is not made for several threads.

h5py has a lock of its own, and holds it whenever it calls the library. ctypes lets other threads go
on meanwhile: a push that read rows on two threads died of a bus error.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

_ours = threading.RLock()


@contextlib.contextmanager
def only_here() -> Iterator[None]:
    """Keep all other threads out of the library, those that come through h5py too."""
    with _ours, _find_h5py_lock():
        yield


def guard(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the library that is called by one thread at a time."""

    def call(*arguments: Any) -> Any:
        with _ours, _find_h5py_lock():
            return function(*arguments)

    return call


def _find_h5py_lock() -> AbstractContextManager[Any]:
    # h5py may be loaded later than this, or never: `hpctrack top` does without it.
    lock = getattr(sys.modules.get("h5py._objects"), "phil", None)
    return _NOTHING if lock is None else lock


_NOTHING = contextlib.nullcontext()
