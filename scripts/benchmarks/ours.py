"""hpctrack as users have it: a wheel in an environment of its own, ``.bench/hpctrack``.

The development environment finds it through an editable install, whose hooks load a dozen modules
at every start; no user has that.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.benchmarks.peers import INSTALL_TIMEOUT_S, PEERS_FOLDER, ROOT

HOME = PEERS_FOLDER / "hpctrack"
STAMP_NAME = "tree"
"""Says which tree the wheel was built from."""

_SOURCES = ("hpctrack", "server/hpctrack_server")
_FILES = ("pyproject.toml", "constraints.txt", "README.md", "LICENSE")


def install_ours(home: Path = HOME) -> str:
    """Make the environment, or renew what is in it if the tree has changed since.

    Without pip in it: setuptools, which comes along in Python 3.11, hooks into every start.

    Returns
    -------
    str
        What was done, or what went wrong.
    """
    tree = _digest_tree()
    if find_ours(home) is not None and (home / STAMP_NAME).read_text() == tree:
        return "this tree (was there)"
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    below = ["-c", str(ROOT / "constraints.txt"), "--only-binary", ":all:", "numpy", "h5py"]
    try:
        if find_ours(home) is None:
            shutil.rmtree(home, ignore_errors=True)
            _run([sys.executable, "-m", "venv", "--without-pip", str(home)])
            _run([*pip, *below])
        (home / STAMP_NAME).unlink(missing_ok=True)
        _run([*pip, "--no-deps", "--force-reinstall", str(ROOT)])
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return f"not installed: {said.strip().splitlines()[-1][:200]}"
    (home / STAMP_NAME).write_text(tree)
    return "this tree"


def find_ours(home: Path = HOME) -> Path | None:
    """Return the environment's Python, or None if there is none; it may hold an older tree."""
    python = home / "bin" / "python"
    return python if (home / STAMP_NAME).is_file() and python.exists() else None


def _digest_tree() -> str:
    digest = hashlib.sha256()
    for path in _list_sources():
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _list_sources() -> list[Path]:
    found = [ROOT / name for name in _FILES]
    for folder in _SOURCES:
        found += sorted((ROOT / folder).rglob("*"))
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
