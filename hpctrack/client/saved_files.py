"""``run.save`` and ``run.log_code``: the rank says which files, the node's agent reads them.

Small files that are to be saved now are read here, at once: the program may change or remove them
on the next line.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from hpctrack.client.file_search import FoundFile, find_files, read_small
from hpctrack.core.settings import find_cwd
from hpctrack.core.wire import pack_media
from hpctrack.errors import UsageError

POLICIES = ("now", "end", "live")

READ_NOW_MAX_BYTES = 16 * 1024 * 1024
"""Of one call so much is read in the rank: from the page cache that takes a few milliseconds."""

CODE_MAX_FILES = 1000
"""What ``log_code`` takes at most."""

SEEN_MAX_FILES = 50_000
"""Files that ``log_code`` looks at before it gives up: somebody's data lies below the root."""

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages", "hpctrack-store"})
"""Folders without any code of the user's; hidden ones are left out too."""

Choose = Callable[..., bool]


def save_files(
    glob_str: str | os.PathLike[str],
    base_path: str | os.PathLike[str] | None,
    policy: str,
    send: Callable[[bytes], object],
) -> tuple[list[str], dict[str, Any] | None]:
    """Send the files that are read here, and return what matches and what is left to the agent.

    Parameters
    ----------
    glob_str, base_path, policy
        See `make_save_request`.
    send : callable
        Takes a frame.

    Returns
    -------
    found, said : list of str, dict or None
        Said to the agent; None if it has nothing to do.

    Raises
    ------
    UsageError
        As of `make_save_request`, or nothing matches what is to be saved now.
    """
    request = make_save_request(glob_str, base_path, policy)
    found, is_cut = find_files(request["path"], request["base"])
    read: list[str] = []
    if policy != "end":
        for described, body in read_now(request, found):
            send(pack_media(described, [body]))
            read.append(described["meta"]["path"])
    if policy == "now" and not found:
        raise UsageError(f"no file matches {request['path']}")
    said = None
    if policy != "now" or is_cut or len(read) < len(found):
        said = {**request, "matched": len(found), "read": read}
    return [str(one.path) for one in found], said


def make_save_request(
    glob_str: str | os.PathLike[str],
    base_path: str | os.PathLike[str] | None = None,
    policy: str = "live",
) -> dict[str, Any]:
    """Return what the agent is told to save.

    Parameters
    ----------
    glob_str : path
        A file, or a pattern with ``*``, ``?`` and ``**``; evaluated by the agent, again at the end
        for ``end`` and ``live``.
    base_path : path, optional
        Names in the run are relative to it. Default: the working folder for a relative pattern,
        the pattern's own folder for an absolute one.
    policy : {"now", "end", "live"}
        Read at once, when the rank ends, or at once and again at the end if it has changed.

    Raises
    ------
    UsageError
        The policy is none, or the pattern is empty.
    """
    pattern = os.fspath(glob_str)
    if not pattern:
        raise UsageError(f"cannot save {glob_str!r:.80}", hint="give a path or a pattern")
    if policy not in POLICIES:
        raise UsageError(f"the policy is {policy!r:.40}", hint=f"use one of {', '.join(POLICIES)}")
    here = find_cwd()
    if not here and not os.path.isabs(os.path.expanduser(pattern)):  # noqa: PTH111, PTH117 - a text
        raise _make_homeless(pattern)
    if base_path is not None:
        base = _find_folder(base_path)
    elif os.path.isabs(pattern):  # noqa: PTH117 - as above
        base = os.path.dirname(pattern)  # noqa: PTH120 - as above
    else:
        base = here
    full = os.path.join(here, os.path.expanduser(pattern))  # noqa: PTH118, PTH111 - as above
    return {"path": full, "base": base, "policy": policy, "type": "file"}


def read_now(
    request: Mapping[str, Any], found: Sequence[FoundFile]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield description and content of the files that are read in the rank, the smallest first.

    Parameters
    ----------
    request : mapping
        From `make_save_request`.
    found : sequence of FoundFile
        What matches it; larger files, and what cannot be read here, are left to the agent.
    """
    left_bytes = READ_NOW_MAX_BYTES
    for one in sorted(found, key=lambda file: file.size_bytes):
        if one.size_bytes > left_bytes:
            return
        body = read_small(one.path, left_bytes)
        if body is not None:
            left_bytes -= len(body)
            version = {"size_bytes": one.size_bytes, "mtime_ns": one.mtime_ns}
            yield {**one.describe(request["policy"]), **version}, body


def make_code_request(
    root: str | os.PathLike[str] = ".",
    name: str | None = None,
    *,
    include_fn: Choose | None = None,
    exclude_fn: Choose | None = None,
) -> dict[str, Any]:
    """Return what the agent is told to save as the program's code.

    Parameters
    ----------
    root : path
        Names in the run are relative to it.
    name : str, optional
        Put before the names, as a folder.
    include_fn, exclude_fn : callable, optional
        Choose files by path, or by path and root, as in W&B. Default: ``*.py``. With a function
        this process walks the folder itself, because only it can call the function.

    Raises
    ------
    UsageError
        The root is no path.
    """
    try:
        folder = _find_folder(os.fspath(root))
    except TypeError:
        raise UsageError(f"the root of the code is {root!r:.80}", hint="give a folder") from None
    request: dict[str, Any] = {"path": folder, "policy": "now", "type": "code", "name": name or ""}
    if include_fn is not None or exclude_fn is not None:
        chosen = _choose(folder, include_fn or _is_python, exclude_fn or _never)
        request["files"] = list(islice(chosen, CODE_MAX_FILES + 1))
    return request


def _find_folder(path: str | os.PathLike[str]) -> str:
    try:
        return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - a plain text
    except OSError:
        raise _make_homeless(path) from None


def _make_homeless(path: object) -> UsageError:
    return UsageError(
        f"the working folder is gone, so nobody knows where {str(path)!r:.80} is",
        hint="give an absolute path",
    )


def iter_code_files(root: str) -> Iterator[str]:
    """Yield the files below a folder, relative to it, without hidden folders and foreign code."""
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and one not in SKIPPED_FOLDERS
        )
        if folder != root and "pyvenv.cfg" in files:
            folders.clear()
            continue
        for file in sorted(files):
            seen += 1
            if seen > SEEN_MAX_FILES:
                return
            yield os.path.relpath(os.path.join(folder, file), root)  # noqa: PTH118 - a plain text


def _choose(root: str, include: Choose, exclude: Choose) -> Iterator[str]:
    wants_in, wants_out = _with_root(include, root), _with_root(exclude, root)
    for name in iter_code_files(root):
        path = os.path.join(root, name)  # noqa: PTH118 - a plain text
        if wants_in(path) and not wants_out(path):
            yield name


def _with_root(choose: Choose, root: str) -> Callable[[str], bool]:
    """Call a function with the arguments that it takes: W&B allows both forms."""
    try:
        count = len(inspect.signature(choose).parameters)
    except (TypeError, ValueError):
        count = 1
    return (lambda path: choose(path, root)) if count > 1 else choose


def _is_python(path: str) -> bool:
    return path.endswith(".py")


def _never(_path: str) -> bool:
    return False
