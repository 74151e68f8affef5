"""Where an agent's files of a run are: in the store, and in the node's spill."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.layout import NodeFileName, iter_node_files, run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.node_reader import NodeReader


def find_spill(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> Path:
    """Return a run's folder in the spill of this node, which need not be there.

    Parameters
    ----------
    settings : mapping
        ``spill_dir``, if the user has chosen.
    facts : mapping
        ``project`` and ``run``.
    """
    base = settings.get("spill_dir") or Path(tempfile.gettempdir()) / (
        f"hpctrack-spill-{os.getuid()}"
    )
    return run_folder(Path(str(base)), str(facts["project"]), str(facts["run"]))


def find_latest_s(folders: Iterable[Path], node: int, attempt: int) -> float:
    """Return the latest time that the files of a node and attempt know of, or 0.

    Clocks go back, and agents die; whoever goes on must not seem to have come before.

    Parameters
    ----------
    folders : iterable of Path
        The run's, in the store and in the spill.
    node, attempt : int
        Whose files.
    """
    latest_s = 0.0
    for folder in folders:
        if not folder.is_dir():
            continue
        for path in iter_node_files(folder):
            name = NodeFileName.parse(path.name)
            if name is None or (name.node, name.attempt) != (node, attempt):
                continue
            # One that cannot be read has no place in the order either.
            with contextlib.suppress(HpctrackError), NodeReader(path) as reader:
                times = [event.wall_s for event in reader.read_events().events]
                latest_s = max(latest_s, float(reader.facts["created_wall_s"]), *times)
    return latest_s
