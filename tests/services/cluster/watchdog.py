"""Take a cluster down when the process that owns it dies: watchdog FOLDER IDENTITY OWNER.

pytest that is killed -9 runs no teardown. A process of its own, in a session of its own, notices
through a pidfd, which is exact where a pipe is not: any child of the owner may hold a pipe open.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from .cluster import Cluster
from .layout import Layout


def watch(folder: Path, identity: str, owner: int) -> None:
    """Wait for the end of ``owner``, then take its cluster down.

    Parameters
    ----------
    folder : Path
        The cluster's private folder.
    identity : str
        The cluster's own; another one that lives in the folder by then is left alone.
    owner : int
        Process id; our parent, as long as it lives.
    """
    try:
        descriptor = os.pidfd_open(owner)
    except ProcessLookupError:
        descriptor = -1
    # if the owner died before, its number may be somebody else's by now
    if descriptor >= 0 and os.getppid() == owner:
        select.select([descriptor], [], [])
    options = Layout(folder).read_options()
    if options is not None and options.identity == identity:
        Cluster(folder, options=options).down()


if __name__ == "__main__":
    watch(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
