"""Trees of files for tests, and real git repositories made by real git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WHO = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


@dataclass(frozen=True)
class GitFolder:
    """A working tree."""

    top: Path

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.top), *words],
            env={**os.environ, **WHO}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def commit(self, message: str = "x") -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


def make_repository(top: Path, **files: str) -> GitFolder:
    """Return a repository whose one commit has these files; ``__`` in a name is a dot."""
    top.mkdir(parents=True, exist_ok=True)
    made = GitFolder(top)
    made.git("init", "-q", "-b", "main")
    for name, content in files.items():
        made.write(name.replace("__", "."), content)
    made.commit()
    return made


def plant(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a tree of files."""
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
