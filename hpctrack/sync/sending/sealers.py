"""Sealing ahead of the survey, in processes of their own: it is work for a processor each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from hpctrack.core.layout import NodeFileName
from hpctrack.core.settings import copy_environment

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
# Not multiprocessing: it would run the main module of whoever calls `push` once more.
# -P keeps the user's folder out of the child's path, as for `hpctrack receive`.
_START = """
import sys; sys.path.append(sys.argv.pop(1))
from hpctrack.sync.sending.sealers import work; work()
"""


def order_sealed_first(
    folders: Iterable[Path], *, jobs: int, stale_after_s: float
) -> Iterator[Path]:
    """Yield runs' folders: first those that are sealed, then the others when they may be.

    Parameters
    ----------
    folders : iterable of Path
        Of runs.
    jobs : int
        How many processes seal, at least 1.
    stale_after_s : float
        A live run that is silent for so long has ended.

    Notes
    -----
    Whether a run could be sealed is for who takes the folder to see: it may go on, or be broken.
    """
    with ThreadPoolExecutor(jobs, thread_name_prefix="seal") as pool:
        sealers = _Sealers(stale_after_s)
        waiting: dict[Future[None], Path] = {}
        try:
            for folder in folders:
                if _has_node_files(folder):
                    waiting[pool.submit(sealers.seal, folder)] = folder
                else:
                    yield folder
            for done in as_completed(waiting):
                yield waiting[done]
        finally:
            for one in waiting:
                one.cancel()
            sealers.close()


def _has_node_files(folder: Path) -> bool:
    try:
        return any(map(NodeFileName.parse, os.listdir(folder)))  # noqa: PTH208 - 100,000 folders
    except OSError:
        return False


class _Sealers:
    """A child for each thread that asks."""

    def __init__(self, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    def seal(self, folder: Path) -> None:
        """Have a folder sealed; returns when that has worked, or not."""
        try:
            child = self._find_child()
            assert child.stdin is not None  # noqa: S101 - asked for below
            assert child.stdout is not None  # noqa: S101 - as above
            words = {"folder": str(folder), "stale_after_s": self._stale_after_s}
            child.stdin.write(json.dumps(words).encode() + b"\n")
            child.stdout.readline()
        except OSError:
            return  # then this process seals it

    def close(self) -> None:
        """End the children; what one of them is sealing can be sealed again at any time."""
        for child in self._children:
            with child:
                child.kill()

    def _find_child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._mine, "child", None)
        if child is None:
            child = self._mine.child = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, str(_PACKAGE_ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=copy_environment(),
                start_new_session=True,
            )
            with self._lock:
                self._children.append(child)
        return child


def work() -> None:
    """Seal what standard input names, one after the other; the code of a child."""
    from hpctrack.errors import HpctrackError  # noqa: PLC0415 - in a child only
    from hpctrack.store.seal import seal_run  # noqa: PLC0415 - as above

    for line in sys.stdin:
        words = json.loads(line)
        try:
            seal_run(Path(words["folder"]), stale_after_s=words["stale_after_s"])
            said = "sealed"
        except (HpctrackError, OSError) as error:
            said = type(error).__name__
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()
