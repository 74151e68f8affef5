"""What a process must know to join a run that another one has begun, in the words of a HELLO.

That process may be written in any language: the C client puts the text into its HELLO as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hpctrack.core import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

AGENT_VARIABLE = "HPCTRACK_AGENT"
"""The path of the agent's socket."""

HELLO_VARIABLE = "HPCTRACK_HELLO"
"""What a HELLO says of the run, as JSON."""

CARD_NAME = f"{wire.WIRE_VERSION}.join"
"""File beside the agent's socket: its path, a newline, and what `HELLO_VARIABLE` would hold."""

_KEPT = (
    "version", "store", "project", "run", "attempt", "name", "group", "job_type", "sweep", "trial",
    "user", "launch",
)  # fmt: skip

_SETTINGS_KEPT = (
    "flush_interval_s", "heartbeat_s", "seal", "spill_dir", "roll_over_bytes", "roll_over_s",
    "telemetry", "telemetry_interval_s",
)  # fmt: skip
"""Without the rules and the provenance: those that began the run have said them."""

_JOB_KEPT = (
    "SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "COBALT_JOBID", "FLUX_JOB_ID",
)  # fmt: skip
"""That there is a job at all tells the agent that it will be killed with the last rank."""


def describe_run(hello: Mapping[str, Any]) -> str:
    """Return as JSON what a HELLO says of its run, and nothing of its rank.

    Parameters
    ----------
    hello : mapping
        Of any rank of the run.
    """
    settings, job = hello.get("settings") or {}, hello.get("job") or {}
    told = {
        **{key: hello[key] for key in _KEPT if key in hello},
        "job": {key: job[key] for key in _JOB_KEPT if key in job},
        "settings": {key: settings[key] for key in _SETTINGS_KEPT if key in settings},
    }
    return wire.dump_json(told).decode()


def leave_card(folder: str, socket: str, hello: Mapping[str, Any]) -> None:
    """Leave beside an agent's socket what others need to join the run that has begun last.

    Parameters
    ----------
    folder, socket : str
        The agent's.
    hello : mapping
        Of the run's first rank.

    Raises
    ------
    OSError
        It cannot be written; then they cannot join.
    """
    path = os.path.join(folder, CARD_NAME)  # noqa: PTH118 - plain texts
    text = f"{socket}\n{describe_run(hello)}\n"
    handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
    os.replace(f"{path}.new", path)  # noqa: PTH105 - as above
