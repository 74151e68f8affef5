"""Other trackers, each in an environment of its own below ``.bench/``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS_FOLDER = ROOT / ".bench"
VERSIONS_NAME = "versions.json"

INSTALL_TIMEOUT_S = 900.0
"""A peer that takes longer has begun to compile something; it is left out."""

_LIST_VERSIONS = """
import importlib.metadata as m, json
print(json.dumps({d.metadata["Name"]: d.version for d in m.distributions()}))
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """One tracker to be compared with.

    Parameters
    ----------
    name : str
        What tables call it, and its folder below ``.bench/``.
    packages : tuple of str
        What pip installs; the first is the one whose version is shown.
    is_default : bool
        Whether ``--peers`` without names installs it.
    is_tracker : bool
        Whether the recorder's benchmarks can measure it.
    """

    name: str
    packages: tuple[str, ...]
    is_default: bool = True
    is_tracker: bool = True

    def find_python(self, folder: Path = PEERS_FOLDER) -> Path | None:
        """Return the Python of its environment, or None if it was not installed to the end."""
        home = folder / self.name
        python = home / "bin" / "python"
        return python if (home / VERSIONS_NAME).is_file() and python.exists() else None

    def read_versions(self, folder: Path = PEERS_FOLDER) -> dict[str, str]:
        """Return the versions of everything in its environment."""
        found: dict[str, str] = json.loads((folder / self.name / VERSIONS_NAME).read_text())
        return found

    def read_version(self, folder: Path = PEERS_FOLDER) -> str:
        """Return the version of the tracker itself."""
        versions = {name.lower(): one for name, one in self.read_versions(folder).items()}
        return versions.get(self.packages[0].lower(), "unknown")


PEERS: dict[str, Peer] = {
    one.name: one
    for one in (
        Peer("wandb", ("wandb",)),
        Peer("trackio", ("trackio",)),
        Peer("tensorboard", ("tensorboard",)),
        Peer("tensorboardX", ("tensorboardX", "tensorboard")),
        Peer("mlflow", ("mlflow-skinny",)),
        Peer("aim", ("aim", "setuptools<81"), is_default=False),
        # The recorder's "mlflow" is its client alone; this has the server and its pages.
        Peer("mlflow-ui", ("mlflow",), is_default=False, is_tracker=False),
        # 900 MB where pip finds no CPU build; its SummaryWriter is a shell around TensorBoard's.
        Peer("torch", ("torch", "tensorboard", "numpy"), is_default=False),
        # Engines of searches. W&B's calls scikit-learn.
        Peer("wandb-sweeps", ("sweeps",), is_default=False, is_tracker=False),
        Peer(
            "search",
            ("optuna", "torch", "scipy", "cmaes", "PyYAML", "numpy", "h5py", "click", "rich"),
            is_default=False,
            is_tracker=False,
        ),
    )
}
"""``torch`` is ``torch.utils.tensorboard.SummaryWriter``; ``tensorboard`` the writer below it."""


def install_peers(asked: Sequence[str]) -> dict[str, str]:
    """Make the environments that are missing.

    Parameters
    ----------
    asked : sequence of str
        Names, each with or without ``==VERSION``; empty for the default ones.

    Returns
    -------
    dict
        Name and version, or what went wrong.
    """
    wanted = list(asked) or [one.name for one in PEERS.values() if one.is_default]
    return {name.partition("==")[0]: _install(name) for name in wanted}


def _install(asked: str) -> str:
    name, _, version = asked.partition("==")
    peer = PEERS.get(name)
    if peer is None:
        return f"unknown; known are {', '.join(PEERS)}"
    if peer.find_python() is not None and not version:
        return f"{peer.read_version()} (was there)"
    home = PEERS_FOLDER / name
    shutil.rmtree(home, ignore_errors=True)
    packages = [f"{peer.packages[0]}=={version}" if version else peer.packages[0]]
    packages += peer.packages[1:]
    try:
        _run([sys.executable, "-m", "venv", str(home)])
        python = str(home / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *packages])
        found = json.loads(_run([python, "-c", _LIST_VERSIONS]))
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return f"not installed: {said.strip().splitlines()[-1][:200]}"
    (home / VERSIONS_NAME).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return peer.read_version()


def _run(command: list[str]) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
    ).stdout


def find_peers(folder: Path = PEERS_FOLDER) -> dict[str, Path]:
    """Return the trackers that are installed, with their Pythons."""
    found = {name: one.find_python(folder) for name, one in PEERS.items() if one.is_tracker}
    return {name: python for name, python in found.items() if python is not None}
