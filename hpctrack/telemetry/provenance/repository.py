"""A git repository by its files: what is known of it where no git is installed, or none answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hpctrack.telemetry.provenance.files import below, first_text, read_text
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.secret_values import mask_keys

_SECTION = re.compile(r"^\s*\[\s*(\w[\w.-]*)(?:\s+\"((?:\\.|[^\"\\])*)\")?\s*\]")
_URL = re.compile(r"^\s*(?:push)?url\s*=\s*(.+?)\s*$", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_PARENTS_MAX = 64
_LINKS_MAX = 5


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a working tree is, and its history.

    Parameters
    ----------
    top : str
        The working tree, as the process sees it.
    folder : Path
        This working tree's own folder in ``.git``.
    shared : Path
        The one that it shares with others, or the same.
    """

    top: str
    folder: Path
    shared: Path

    def head(self) -> tuple[str, str]:
        """Return branch and commit; empty where there is none, or it cannot be read."""
        text = (read_text(self.folder / "HEAD") or "").strip()
        if not text.startswith("ref:"):
            return "", text if _COMMIT.match(text) else ""
        name = text[4:].strip()
        return name.removeprefix("refs/heads/"), self._resolve(name)

    def remotes(self, masker: Masker) -> dict[str, str]:
        """Return the addresses of other repositories, without the secrets in them."""
        found: dict[str, str] = {}
        section = ("", "")
        for line in (read_text(self.shared / "config") or "").splitlines():
            head = _SECTION.match(line)
            if head:
                section = (head[1].lower(), head[2] or "")
                continue
            url = _URL.match(line)
            if url and section[0] == "remote":
                found.setdefault(section[1], masker.anything(mask_url(url[1].strip('"'))))
        return found

    def _resolve(self, name: str) -> str:
        for _link in range(_LINKS_MAX):
            text = first_text([self.folder / name, self.shared / name]).strip()
            if not text.startswith("ref:"):
                return text if _COMMIT.match(text) else self._find_packed(name)
            name = text[4:].strip()
        return ""

    def _find_packed(self, name: str) -> str:
        for line in (read_text(self.shared / "packed-refs", 16 * 1024 * 1024) or "").splitlines():
            commit, _space, found = line.partition(" ")
            if found == name and _COMMIT.match(commit):
                return commit
        return ""


def find_repository(start: str, root: Path = Path("/")) -> Repository | None:
    """Return the repository that a folder is in, if any.

    Parameters
    ----------
    start : str
        An absolute path, as the process sees it.
    root : Path, optional
        Where absolute paths of the process begin for us.
    """
    if not start.startswith("/"):
        return None
    folder = Path(start)
    for one in [folder, *folder.parents][:_PARENTS_MAX]:
        found = _open(str(one), below(root, one) / ".git", root)
        if found:
            return found
    return None


def mask_url(url: str) -> str:
    """Return an address of a repository without what lets somebody in."""
    masked = mask_keys(url)
    host, colon, path = masked.partition(":")
    # user:password@host:path, which git takes for a file or a host, and somebody has tried
    if colon and "//" not in masked and "@" in path and "/" not in host:
        return f"***@{path.rpartition('@')[2]}"
    return re.sub(r"([?&][^=&]*)=[^&]+", r"\1=***", masked)


def _open(top: str, git: Path, root: Path) -> Repository | None:
    try:
        if git.is_dir():
            # Anything may be called .git; a repository has a HEAD.
            return Repository(top, git, git) if (git / "HEAD").exists() else None
        if not git.is_file():
            return None
    except OSError:
        return None
    # A worktree, or a submodule: the file says where its folder is.
    text = (read_text(git) or "").strip()
    if not text.startswith("gitdir:"):
        return None
    told = text[7:].strip()
    folder = below(root, told) if told.startswith("/") else git.parent / told
    common = (read_text(folder / "commondir") or "").strip()
    if not common:
        return Repository(top, folder, folder)
    return Repository(
        top, folder, below(root, common) if common.startswith("/") else folder / common
    )
