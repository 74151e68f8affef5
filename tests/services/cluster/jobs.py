"""Slurm's account of jobs and nodes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .layout import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .cluster import Cluster

USABLE: Final = frozenset({"idle", "mixed", "allocated", "completing"})
"""Node states in which Slurm starts jobs, as sinfo spells them."""

FINAL: Final = frozenset(
    {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"}
)
"""Job states that nothing follows; NODE_FAIL and PREEMPTED are passed through on a requeue."""

SETTLE_S: Final = 10.0
"""How long a wrong final state must stand: on a requeue Slurm shows one for a moment, and on a busy
machine for seconds."""

POLL_S: Final = 0.1


def read_states(cluster: Cluster, job_id: int | str) -> list[str]:
    """Return the state of a job, or of each task of an array."""
    query = ("squeue", "-h", "-r", "-t", "all", "-j", str(job_id), "-o", "%T")
    return cluster.run("ctl", *query).stdout.split()


def wait_for_states(
    cluster: Cluster, job_id: int | str, wanted: set[str], *, timeout_s: float
) -> list[str]:
    """Wait until all tasks of a job are in wanted states; see `Cluster.wait_job`."""
    deadline = time.monotonic() + timeout_s
    wrong_since: float | None = None
    while True:
        states = read_states(cluster, job_id)
        if states and all(state in wanted for state in states):
            return states
        now = time.monotonic()
        wrong_since = (wrong_since or now) if FINAL.intersection(states) - wanted else None
        if now > deadline or (wrong_since is not None and now - wrong_since > SETTLE_S):
            account = cluster.run("ctl", "scontrol", "show", "job", str(job_id), check=False)
            raise ClusterError(
                f"job {job_id} is {', '.join(states)}, wanted {', '.join(sorted(wanted))}\n"
                f"{account.stdout.strip()}"
            )
        time.sleep(POLL_S)


def wait_for_nodes(cluster: Cluster, nodes: Iterable[str], *, timeout_s: float) -> None:
    """Wait until Slurm would start jobs on these compute nodes."""
    deadline = time.monotonic() + timeout_s
    wanted = set(nodes)
    while True:
        query = ("sinfo", "-h", "-N", "-p", "debug", "-o", "%n %T")
        answer = cluster.run("ctl", *query, check=False)
        states = dict(line.split() for line in answer.stdout.splitlines())
        if all(states.get(node) in USABLE for node in wanted):
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"nodes are not usable: {states or answer.stderr.strip()}")
        time.sleep(POLL_S)
