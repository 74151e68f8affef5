"""Ranks that leave it to us to find out which rank they are: clients in other languages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hpctrack.client.ranks import RankInfo, detect_rank
from hpctrack.errors import ProtocolError


def complete_hello(hello: dict[str, Any], pid: int) -> None:
    """Write into a HELLO what its process was told by its launcher, and where it runs.

    Parameters
    ----------
    hello : dict
        Without ``rank``.
    pid : int
        Of the process, as it is numbered here; 0 if it has no number here.

    Raises
    ------
    ProtocolError
        Its environment cannot be read.
    """
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise ProtocolError(
            f"HELLO says no rank, and the environment of process {pid} cannot be read: {error}"
        ) from None
    pairs = (one.partition("=") for one in text.split("\0"))
    found = detect_rank({name: value for name, _, value in pairs})
    names = (name for name in RankInfo.field_names if name not in {"launch", "attempt"})
    hello |= {name: getattr(found, name) for name in names}
    hello.setdefault("host", os.uname().nodename)
    hello.setdefault("pid", pid)
