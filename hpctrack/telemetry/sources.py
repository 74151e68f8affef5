"""The sources of telemetry that a node is asked by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpctrack.telemetry.gpu import make_gpu_telemetry
from hpctrack.telemetry.host import HostSource
from hpctrack.telemetry.reading import Source


def make_sources(environ: Mapping[str, str], *, root: Path = Path("/")) -> list[Source]:
    """Return all sources; none of them has touched a driver or a file yet.

    Parameters
    ----------
    environ : mapping
        The agent's, which it has from a rank.
    root : Path
        What stands for ``/``.
    """
    gpu = make_gpu_telemetry(environ=environ, root=root)
    return [HostSource(root=root, environ=environ, find_gpus=lambda: gpu.places), gpu]
