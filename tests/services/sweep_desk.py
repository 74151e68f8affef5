"""A user of a cluster who runs sweeps, at the login node and in a folder of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hpctrack import Store, StoredRun
from tests.programs import ROOT

from .cluster import Cluster, Place

HPCTRACK = (sys.executable, "-m", "hpctrack")
TIMEOUT_S = 180.0


class Desk:
    """A user at the login node.

    Parameters
    ----------
    cluster : Cluster
        Of which they are a user.
    scratch : Place
        Their folder; the store is in it.
    """

    def __init__(self, cluster: Cluster, scratch: Place, **environ: str) -> None:
        self.cluster = cluster
        self.scratch = scratch
        self.store = scratch.host / "store"
        self.env = {
            "HPCTRACK_DIR": f"{scratch.inside}/store",
            "HPCTRACK_LINGER_S": "0.5",
            "HPCTRACK_TELEMETRY": "off",
            "HPCTRACK_PROVENANCE": "off",
            "PYTHONPATH": f"{ROOT}:{ROOT}/server",
            "OMP_NUM_THREADS": "1",
            **environ,
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.scratch.host / name
        path.write_text(text)
        return path

    def prepare(self, program: str, **file: Any) -> None:
        """Write a program, and the sweep file that goes with it; YAML reads JSON."""
        self.write("train.py", program)
        config = {
            "method": "grid",
            "program": "train.py",
            "project": "digits",
            "metric": {"name": "loss"},
            **file,
        }
        self.write("sweep.yaml", json.dumps(config))

    def type(self, *words: str, timeout_s: float = TIMEOUT_S) -> str:
        """Type a command and return what it says."""
        line = f'cd {self.scratch.inside} && exec "$@"'
        done = self.cluster.run(
            "login", "sh", "-c", line, "sh", *words, user="alice", env=self.env, timeout_s=timeout_s
        )
        return done.stdout

    def start(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        """Start a command and return; its output is appended to a file."""
        line = f'cd {self.scratch.inside} && exec "$@"'
        command = self.cluster.make_command(
            "login", "sh", "-c", line, "sh", *words, user="alice", env=self.env
        )
        with (self.scratch.host / log).open("ab") as file:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    def sweep(self, *words: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Type a command of ``hpctrack sweep`` and return its JSON."""
        said = self.type(*HPCTRACK, "sweep", *words, "--json", timeout_s=timeout_s)
        found: dict[str, Any] = json.loads(said)
        return found

    def states(self, sweep: str) -> list[str]:
        """Return how the trials stand."""
        return [one["state"] for one in self.sweep("status", sweep)["trials"]]

    def queue(self, job: str) -> list[str]:
        """Return the states of the job's tasks that wait or run."""
        return self.type("squeue", "-h", "-r", "-j", job, "-t", "PD,R,CG", "-o", "%T").split()

    def has(self, name: str) -> bool:
        """Tell whether a file is there."""
        return (self.scratch.host / name).exists()

    def runs(self, sweep: str) -> list[StoredRun]:
        """Return the runs of a sweep, by trial."""
        return Store(self.store).runs({"sweep": sweep}, order="id")
