"""Where an agent's files of a run are: in the store, and in the node's spill."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpctrack.core.layout import run_folder


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
