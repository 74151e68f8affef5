"""A real Slurm cluster on one machine, for tests and for trying things out.

Each machine is a set of Linux namespaces with its own hostname, processes, network, /tmp and
munged; real slurmctld, slurmd and sshd run in them, unmodified. See `Cluster`; for the shell there
is ``scripts/cluster``.
"""

from .cluster import Cluster
from .layout import JOB_USERS, ClusterError, Options, Place
from .requirements import list_missing
from .views import list_interpreter_folders

__all__ = [
    "JOB_USERS",
    "Cluster",
    "ClusterError",
    "Options",
    "Place",
    "list_interpreter_folders",
    "list_missing",
]
