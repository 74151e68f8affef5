"""Output of Slurm's commands: of 22.05 recorded, of the others composed from documentation.

`tests/assets/slurm/README.md` says more.
"""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "slurm"

VERSIONS = sorted(path.name for path in ASSETS.iterdir() if path.is_dir())


def read(version: str, name: str) -> str:
    return (ASSETS / version / name).read_text()
