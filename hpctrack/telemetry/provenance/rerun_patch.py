"""The recorded changes as git can apply them to the recorded commit. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hpctrack.telemetry.provenance.secret_values import MASK

_HUNK = re.compile(r"@@ -(?P<old>\d+)(?:,\d+)? \+(?P<new>\d+)(?:,\d+)? @@")
_SUBMODULE = re.compile(
    r"(?ms)^\+\+\+ b/(?P<path>[^\n\t\"]+)\t?\n@@[^\n]*\n(?:-Subproject commit [^\n]*\n)?"
    r"\+Subproject commit (?P<commit>[0-9a-f]{40,64})(?:-dirty)?$"
)
_NO_END = "\\ "
"""Begins the line that tells that the line before it has no end."""


def make_patch(diff: str) -> str:
    """Return a diff without what only mentions a change, and without hidden lines around changes.

    Parameters
    ----------
    diff : str
        As recorded: with three lines of context, secrets hidden.

    Returns
    -------
    str
        For ``git apply --unidiff-zero``. A change of a binary file or of a submodule's commit is
        left out; a hunk in whose context something is hidden has none, as line numbers are exact.
    """
    parts = re.split(r"(?m)^(?=diff --git )", diff)
    return "".join(_mend(one) for one in parts if not (_is_binary(one) or _SUBMODULE.search(one)))


def list_submodules(diff: str) -> dict[str, str]:
    """Return the commits of submodules that were not those that the commit names, by path."""
    found = map(_SUBMODULE.search, re.split(r"(?m)^(?=diff --git )", diff))
    return {one["path"]: one["commit"] for one in found if one}


def count_hidden_changes(patch: str) -> int:
    """Return how many lines git cannot find, since what they were is hidden."""
    return sum(
        1
        for part in re.split(r"(?m)^(?=diff --git )", patch)
        for line in part.partition("\n@@")[2].split("\n")
        if line.startswith("-") and MASK in line
    )


def _is_binary(part: str) -> bool:
    return re.search(r"(?m)^(?:Binary files .* differ|GIT binary patch)$", part) is not None


def _mend(part: str) -> str:
    head, mark, body = part.partition("\n@@")
    if MASK not in body:
        return part
    hunks = re.split(r"(?m)^(?=@@ -)", f"@@{body}")
    return head + mark[:1] + "".join(map(_drop_context, hunks))


def _drop_context(hunk: str) -> str:
    lines = hunk.split("\n")
    found = _HUNK.match(lines[0])
    if found is None or not any(one.startswith(" ") and MASK in one for one in lines[1:]):
        return hunk
    return "".join(_iter_changes(lines[1:], int(found["old"]), int(found["new"])))


def _iter_changes(lines: Sequence[str], old: int, new: int) -> Iterator[str]:
    """Yield each run of changed lines as a hunk of its own."""
    # Where nothing was, git counts from the line before.
    block: list[str] = []
    removed = added = 0
    for line in [*lines, " "]:
        if line.startswith(("-", "+")) or (block and line.startswith(_NO_END)):
            block.append(line)
            removed += line.startswith("-")
            added += line.startswith("+")
            continue
        if block:
            start = old if removed else old - 1, new if added else new - 1
            text = "\n".join(block)
            yield f"@@ -{start[0]},{removed} +{start[1]},{added} @@\n{text}\n"
            old, new = old + removed, new + added
            block, removed, added = [], 0, 0
        if line.startswith(" "):
            old, new = old + 1, new + 1
