"""The folder ``.incoming`` of a store, as those know it who receive and those who clean up."""

from __future__ import annotations

import os
import re

from hpctrack.sync.files.place import list_names, stat_no_follow

UPLOAD_NAME = re.compile(r"[0-9a-f]{16}\Z")
"""The quarantine of one connection."""

PARTIAL_FOLDER = "partial"
"""Parts of large files, each under what its sender calls it."""

PUBLISH_LOCK_NAME = "publish.lock"
"""Held by who looks at what is there and renames."""

ABANDONED_AFTER_S = 24 * 3600.0
"""A folder that nothing was written to for a day was left by a receiver that was killed."""


def find_last_change_wall_s(folder_fd: int) -> float:
    """Return when a quarantine or a file in it was last written, UTC seconds."""
    found = (stat_no_follow(folder_fd, name) for name in list_names(folder_fd))
    return max([os.fstat(folder_fd).st_mtime, *(one.st_mtime for one in found if one is not None)])
