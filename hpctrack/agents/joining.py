"""Ranks that leave it to us to find out which rank they are: clients in other languages."""

from __future__ import annotations

import os
from typing import Any

from hpctrack.client.ranks import RankInfo, detect_rank
from hpctrack.errors import ProtocolError

_TASKS = "SLURM_STEP_TASKS_PER_NODE"


def complete_hello(hello: dict[str, Any]) -> None:
    """Write into a HELLO which rank its process is, from what launchers have told it.

    Parameters
    ----------
    hello : dict
        Without ``rank``; ``environ`` is taken out of it.

    Raises
    ------
    ProtocolError
        It says neither.
    """
    told = hello.pop("environ", None)
    if not isinstance(told, dict):
        raise ProtocolError("HELLO says neither a rank nor what the launcher has told (environ)")
    environ = {str(name): str(value) for name, value in told.items()}
    found = detect_rank(environ)
    names = (name for name in RankInfo.field_names if name not in {"launch", "attempt"})
    hello.update({name: getattr(found, name) for name in names})
    if found.launcher == "slurm" and _TASKS not in environ:
        hello["local_size"] = 1  # too small does no harm: other ranks of the node say how many
    hello.setdefault("host", os.uname().nodename)
