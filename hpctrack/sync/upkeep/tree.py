"""Walking through folders without following a link; what vanishes meanwhile is passed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from hpctrack.sync.files.place import list_names, open_folder, stat_no_follow


def iter_files(
    folder_fd: int, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, os.stat_result]]:
    """Yield every regular file below a folder.

    Parameters
    ----------
    folder_fd : int
        Where to begin; it must stay open.
    at : tuple of str
        What to put before the folders that are yielded.

    Yields
    ------
    folders : tuple of str
        Where the file is.
    name : str
    status : os.stat_result
    """
    try:
        names = sorted(list_names(folder_fd))
    except OSError:
        return
    folders = []
    for name in names:
        status = stat_no_follow(folder_fd, name)
        if status is None:
            continue
        if stat.S_ISREG(status.st_mode):
            yield at, name, status
        elif stat.S_ISDIR(status.st_mode):
            folders.append(name)
    for name in folders:
        try:
            with open_folder(folder_fd, (name,)) as below_fd:
                yield from iter_files(below_fd, (*at, name))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
