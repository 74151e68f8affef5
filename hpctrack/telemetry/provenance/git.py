"""Which code it was: commit, branch, remote, and what was not committed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.child import Answer, Programs
from hpctrack.telemetry.provenance.files import encode
from hpctrack.telemetry.provenance.masking import Masker
from hpctrack.telemetry.provenance.repository import Repository, find_repository
from hpctrack.telemetry.provenance.secret_values import MASK

STATUS_TIMEOUT_S = 20.0
"""Git looks at each file of the tree: 50,000 on a cold parallel file system take so long."""

DIFF_TIMEOUT_S = 20.0
STATUS_MAX_BYTES = 4 * 1024 * 1024
DIFF_READ_MAX_BYTES = 4 * 1024 * 1024
DIFF_MAX_BYTES = 256 * 1024
"""What is recorded; files whose changes do not fit are named."""

DIFF_TRIES = 8
"""Git is asked again without a file that has taken all the room, so that the others are seen."""

UNTRACKED_MAX = 500
UNTRACKED_MAX_BYTES = 64 * 1024

ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",  # a lock of ours must not make the user's commit fail
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone would fetch what it lacks from the network
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
_CAUTION = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=off",
    "-c", "color.ui=never",
    # These copy what has changed into the repository, however large it is.
    *(word for one in ("lfs", "annex") for key in ("clean=", "process=", "required=false")
      for word in ("-c", f"filter.{one}.{key}")),
)  # fmt: skip
"""No hook, pager or monitor that a repository's own configuration names is started, and nothing in
it is changed. Filters that only translate are used: a diff without them would be another one."""

_DIFF = (
    "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-relative",
    "--full-index", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/",
    "--ignore-submodules=dirty", "--submodule=short",
)  # fmt: skip


@dataclass(slots=True)
class _Status:
    commit: str = ""
    branch: str = ""
    upstream: str = ""
    ahead: int | None = None
    changed: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)


def read_git(
    start: str,
    programs: Programs,
    masker: Masker,
    *,
    wants_diff: bool = True,
    root: Path = Path("/"),
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what git tells about the repository that a folder is in.

    Parameters
    ----------
    start : str
        The folder, as the process sees it.
    programs : Programs
        Who starts git.
    masker : Masker
        Leaves out secrets.
    wants_diff : bool
        Else only the names of changed files.
    root : Path, optional
        Where absolute paths of the process begin for us.

    Returns
    -------
    facts, missing : dict
        Empty facts if the folder is in no repository; and what could not be found out, and why.
    """
    repository = find_repository(start, root)
    if repository is None:
        return {}, {"git": f"{start or 'the folder'} is in no git repository"}
    branch, commit = repository.head()
    facts: dict[str, Any] = {
        "top": repository.top,
        "commit": commit,
        "branch": branch,
        "remotes": repository.remotes(masker),
    }
    missing = _add_changes(facts, repository, programs, masker, wants_diff=wants_diff)
    return facts, missing


def is_tracked(top: str, path: str, programs: Programs) -> bool:
    """Tell whether a file is in the repository as git knows it; True if nobody can tell."""
    answer = programs.ask(
        ["git", *_CAUTION, "-C", top, "ls-files", "-z", "--", path],
        timeout_s=STATUS_TIMEOUT_S,
        max_bytes=STATUS_MAX_BYTES,
        more=ENVIRONMENT,
    )
    return bool(answer.problem or answer.output)


def parse_status(text: str) -> _Status:
    """Read ``git status --porcelain=v2 --branch -z``."""
    status = _Status()
    parts = iter(text.split("\0"))
    for one in parts:
        kind, _space, rest = one.partition(" ")
        if kind == "#":
            _read_header(status, rest)
        elif kind == "1":
            status.changed.append(rest.split(" ", 7)[-1])
        elif kind == "2":
            status.changed += [rest.split(" ", 8)[-1], next(parts, "")]
        elif kind == "u":
            status.changed.append(rest.split(" ", 9)[-1])
        elif kind == "?":
            status.untracked.append(rest)
    return status


def cut_diff(text: str, max_bytes: int, *, is_cut: bool = False) -> tuple[str, list[str]]:
    """Keep the changes of as many files as fit, and name the others.

    Parameters
    ----------
    text : str
        What ``git diff`` printed.
    max_bytes : int
    is_cut : bool
        The text ends somewhere in a file.
    """
    parts = [one for one in re.split(r"(?m)^(?=diff --git )", text) if one]
    left_out = [_name_of(parts.pop())] if is_cut and parts else []
    kept: set[int] = set()
    room = max_bytes
    sizes = [len(encode(one)) for one in parts]
    for number in sorted(range(len(parts)), key=sizes.__getitem__):
        if sizes[number] <= room:
            room -= sizes[number]
            kept.add(number)
    left_out = [_name_of(one) for at, one in enumerate(parts) if at not in kept] + left_out
    return "".join(one for at, one in enumerate(parts) if at in kept), left_out


def list_binary(diff: str) -> list[str]:
    """Return the files whose changes a diff only mentions."""
    return re.findall(r"(?m)^Binary files .*? and (?:b/)?(.*?) differ$", diff)


def _add_changes(
    facts: dict[str, Any],
    repository: Repository,
    programs: Programs,
    masker: Masker,
    *,
    wants_diff: bool,
) -> dict[str, str]:
    git = ["git", *_CAUTION, "-C", repository.top]
    answer = programs.ask(
        [*git, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal",
         "--ignore-submodules=dirty", "--no-renames"],
        timeout_s=STATUS_TIMEOUT_S, max_bytes=STATUS_MAX_BYTES, more=ENVIRONMENT,
    )  # fmt: skip
    if answer.problem:
        return {"git": _explain(answer.problem)}
    status = parse_status(answer.text)
    facts["commit"] = status.commit or facts["commit"]
    facts |= {
        "dirty": bool(status.changed),
        "changed": list(_take(status.changed)),
        "untracked": [masker.anything(one) for one in _take(status.untracked)],
        "untracked_count": len(status.untracked),
    }
    if status.upstream:
        facts |= {"upstream": status.upstream, "ahead": status.ahead}
    missing = {"status": "too many changes to list"} if answer.is_cut else {}
    if status.changed and status.commit and wants_diff:
        missing |= _add_diff(facts, git, programs, masker)
    return missing


def _add_diff(
    facts: dict[str, Any], git: Sequence[str], programs: Programs, masker: Masker
) -> dict[str, str]:
    answer, excluded = _ask_diff(git, programs)
    if answer.problem:
        return {"diff": _explain(answer.problem)}
    kept, left_out = cut_diff(answer.text, DIFF_MAX_BYTES, is_cut=answer.is_cut)
    left_out += excluded
    if answer.is_cut:
        known = {_name_of(one) for one in re.split(r"(?m)^(?=diff --git )", answer.text) if one}
        left_out += [one for one in facts["changed"] if one not in {*known, *excluded}]
    masked = masker.diff(kept)
    facts["diff"] = masked
    hidden = masked.count(MASK) - kept.count(MASK)
    found: dict[str, Any] = {
        "diff_left_out": list(_take(left_out)),
        "diff_binary": list_binary(kept),
        "diff_masked": hidden,
    }
    facts |= {key: value for key, value in found.items() if value}
    return {"diff": f"{len(left_out)} file(s) with too many changes"} if left_out else {}


def _ask_diff(git: Sequence[str], programs: Programs) -> tuple[Answer, list[str]]:
    """Return what git says, and the files that it was told to leave out since they are too long."""
    excluded: list[str] = []
    deadline_s = programs.clock.mono_s() + DIFF_TIMEOUT_S
    while True:
        without = [f":(top,literal,exclude){one}" for one in excluded]
        answer = programs.ask(
            [*git, *_DIFF, *(["--", ":(top)", *without] if without else [])],
            timeout_s=max(1.0, deadline_s - programs.clock.mono_s()),
            max_bytes=DIFF_READ_MAX_BYTES,
            more=ENVIRONMENT,
        )
        parts = re.split(r"(?m)^(?=diff --git )", answer.text) if answer.is_cut else [""]
        longest = _name_of(max(parts, key=len))
        if not longest or longest in excluded or len(excluded) == DIFF_TRIES - 1:
            return answer, excluded
        excluded.append(longest)


def _read_header(status: _Status, text: str) -> None:
    name, _space, value = text.partition(" ")
    if name == "branch.oid" and value != "(initial)":
        status.commit = value
    elif name == "branch.head" and value != "(detached)":
        status.branch = value
    elif name == "branch.upstream":
        status.upstream = value
    elif name == "branch.ab":
        ahead = value.split()[0].lstrip("+")
        status.ahead = int(ahead) if ahead.isdigit() else None


def _take(names: Sequence[str]) -> Iterator[str]:
    room = UNTRACKED_MAX_BYTES
    for one in names[:UNTRACKED_MAX]:
        room -= len(one)
        if room < 0:
            return
        yield one


def _name_of(part: str) -> str:
    """Return the file that a part of a diff is about."""
    head = part.partition("\n@@")[0]
    for pattern in (
        r"(?m)^\+\+\+ b/(.*?)\t?$",
        r"(?m)^--- a/(.*?)\t?$",
        r"^diff --git a/.* b/(.*)$",
    ):
        found = re.search(pattern, head, re.MULTILINE)
        if found:
            return found[1]
    return head.partition("\n")[0]


def _explain(problem: str) -> str:
    if "dubious ownership" in problem:
        return "git does not trust a repository of another user (safe.directory)"
    return problem
