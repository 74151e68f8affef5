"""A sweep runs on a cluster, its dashboard elsewhere: what is asked there the next push brings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpctrack.sweeps.control import read_control
from hpctrack.sweeps.request import read_taken
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.results.trial_status import TrialStatus
from hpctrack.sweeps.sweep import Sweep, load_sweep
from tests.programs import ROOT, wait_for
from tests.services import sshd as private_sshd
from tests.services.dashboards import Command, serving
from tests.services.sshd import Sshd

pytestmark = [pytest.mark.ssh, pytest.mark.slow]

sshd = private_sshd.sshd
"""The fixture."""

TIMEOUT_S = 180

TRAIN = """
import argparse, pathlib, time
import hpctrack

parser = argparse.ArgumentParser()
parser.add_argument("--part", type=int)
part = parser.parse_args().part
run = hpctrack.init()
run.log({"loss": 1.0 / part}, step=0)
while not (pathlib.Path(f"end-{part}").exists() or pathlib.Path("end").exists()):
    time.sleep(0.02)
run.log({"loss": 0.5 / part}, step=1)
"""
"""A trial that ends when it is told to."""

SWEEP = {
    "program": "train.py",
    "method": "grid",
    "project": "digits",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {"part": {"values": [1, 2, 3, 4]}},
}


class Cluster:
    """A folder in which a sweep runs, and from which it is pushed.

    Parameters
    ----------
    folder : Path
    sshd : Sshd
        Of the machine that is pushed to.
    server : Path
        The store there.
    """

    def __init__(self, folder: Path, sshd: Sshd, server: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self._sshd = sshd
        self._server = server
        (folder / "train.py").write_text(TRAIN)
        (folder / "sweep.yaml").write_text(json.dumps(SWEEP))
        submitted = self.type(
            "sweep", "submit", "sweep.yaml", "-e", "local", "-w", "1", "--no-wait"
        )
        self.sweep_id = str(submitted["id"])

    def type(self, *words: str) -> Any:
        """Type a command there and return its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "hpctrack", *words, "--json"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HPCTRACK_DIR": str(self.store)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def push(self) -> None:
        """Push as users do."""
        self.type(
            "sync", self._sshd.url(self._server), "--remote-command", str(self._sshd.hpctrack),
            "--identity", str(self._sshd.identity), "--known-hosts", str(self._sshd.known_hosts),
        )  # fmt: skip

    @property
    def sweep(self) -> Sweep:
        """The sweep, as its own files have it."""
        return load_sweep(self.store, self.sweep_id, project="digits")

    def trials(self) -> Sequence[TrialStatus]:
        """Return how the trials stand."""
        return read_status(self.sweep).trials

    def wait_for_states(self, *states: str) -> None:
        """Wait until there are these trials and stand like this."""
        wait_for(lambda: [one.state.value for one in self.trials()] == list(states))

    def wait_for_workers_to_leave(self) -> None:
        """Wait until nobody works any more."""
        words = ("sweep", "stop", self.sweep_id)
        wait_for(lambda: not self.type(*words)["running"])

    def end(self, part: int) -> None:
        """Let a trial end."""
        (self.folder / f"end-{part}").touch()

    @property
    def wish(self) -> str:
        """What its workers are told."""
        return read_control(self.sweep.folder).wish.value

    @property
    def taken_wall_s(self) -> float:
        """When the last request was taken."""
        taken = read_taken(self.sweep.folder)
        assert taken is not None
        return taken.wall_s


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture
def cluster(tmp_path: Path, sshd: Sshd, server: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder, sshd, server)
    try:
        yield made
    finally:
        (folder / "end").touch()
        made.wait_for_workers_to_leave()


def read_page(dashboard: Command, sweep_id: str) -> tuple[str, str]:
    """Return how the sweep stands by its page, and what the page says of requests, as text."""
    status, page = dashboard.get(f"/p/digits/sweeps/{sweep_id}")
    assert status == 200
    (state,) = re.findall(r'data-state="(\w+)"', page)
    return state, re.sub(r"<[^>]+>", "", page)


def press(dashboard: Command, sweep_id: str, word: str, *, seen: str) -> None:
    """Ask as the button does, and find that the page says so."""
    path = f"/api/v1/projects/digits/sweeps/{sweep_id}/requests"
    status, told = dashboard.post(path, {"ask": word, "seen": seen})
    assert status == 200, told
    assert told["is_elsewhere"]
    assert told["taken"] is None
    said = read_page(dashboard, sweep_id)[1]
    assert re.search(rf"{word.capitalize()} was asked for[^.]* at ", said)
    assert "The next hpctrack sync from where the sweep runs takes it along" in said


def test_a_sweep_is_paused_resumed_and_stopped_from_a_dashboard_that_cannot_reach_it(
    cluster: Cluster, server: Path
) -> None:
    sweep_id = cluster.sweep_id
    cluster.wait_for_states("running")
    cluster.push()
    with serving(server, "--port", "0") as dashboard:
        assert read_page(dashboard, sweep_id)[0] == "running"
        press(dashboard, sweep_id, "pause", seen="run")
        assert cluster.wish == "run", "nobody but the cluster itself brings it there"
        cluster.push()
        assert cluster.wish == "pause"
        state, said = read_page(dashboard, sweep_id)
        assert state == "pausing"
        assert re.search(r"Pause was asked for[^.]*, picked up on \S+ at ", said)
        cluster.end(1)
        cluster.wait_for_states("finished")
        cluster.push()
        assert read_page(dashboard, sweep_id)[0] == "paused"

        press(dashboard, sweep_id, "resume", seen="pause")
        cluster.push()
        cluster.wait_for_states("finished", "running")
        # It was given out after somebody resumed, not while the sweep was paused.
        result = cluster.trials()[1].result
        assert result is not None
        assert result.started_wall_s >= cluster.taken_wall_s
        cluster.push()
        assert read_page(dashboard, sweep_id)[0] == "running"

        press(dashboard, sweep_id, "stop", seen="run")
        cluster.push()
        assert cluster.wish == "stop"
        assert read_page(dashboard, sweep_id)[0] == "stopping"
        cluster.end(2)
        cluster.wait_for_states("finished", "finished")
        wait_for(lambda: not cluster.type("sweep", "stop", sweep_id)["running"])
        cluster.push()
        state, said = read_page(dashboard, sweep_id)
        assert state == "stopped"
        assert re.search(r"Stop was asked for[^.]*, picked up on \S+ at ", said)
        assert "2 of 4 ended" in " ".join(said.split())
        cluster.wait_for_states("finished", "finished")
