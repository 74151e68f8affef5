"""``hpctrack sync`` and ``hpctrack remote`` as typed, through a real sshd and without a network."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hpctrack import Store
from tests.programs import ROOT, start_python, wait_for
from tests.services import sshd as private_sshd
from tests.services.sshd import Sshd
from tests.unit.sync.made_stores import hash_files, log_runs

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""

COMMAND = [sys.executable, "-c", "from hpctrack.cli.main import main; main()"]
NO_ROUTE_S = 10.0
"""What a compute node waits for a server that it cannot reach, at most."""

SLACK_S = 20.0
"""For starting a program on a loaded machine."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("source") / "store"
    log_runs(store, "digits/one", "digits/two", "other/one")
    return store


def hpctrack(*words: str, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    return subprocess.run(
        [*COMMAND, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def add_remote(sshd: Sshd, name: str, store: Path, *, port: int | None = None) -> None:
    """Name a store behind the private sshd."""
    known = sshd.known_hosts
    if port is not None:
        known = Path(f"{name}.known").absolute()
        known.write_text(sshd.known_hosts.read_text().replace(f":{sshd.port}", f":{port}"))
    url = f"ssh://{sshd.user}@127.0.0.1:{port or sshd.port}{store}"
    done = hpctrack(
        "remote", "add", name, url, "--remote-command", str(sshd.hpctrack),
        "--identity", str(sshd.identity), "--known-hosts", str(known),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("transport", ["paramiko", "ssh"])
def test_a_named_remote_is_tested_and_pushed_to(
    sshd: Sshd, source: Path, tmp_path: Path, transport: str
) -> None:
    target = tmp_path / "target"
    add_remote(sshd, "team", target)
    tested = hpctrack("remote", "test", "team", "--json", "--transport", transport)
    assert tested.returncode == 0, tested.stderr
    told = json.loads(tested.stdout)
    assert (told["carrier"], told["refusal"]) == (transport, "")
    assert abs(told["skew_s"]) < 5
    assert not target.exists()
    done = hpctrack("sync", "--store", str(source), "--transport", transport)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("sent 3 runs (")
    assert hash_files(target) == hash_files(source)


def test_what_is_wrong_with_a_remote_is_an_exit_code(
    sshd: Sshd, source: Path, tmp_path: Path
) -> None:
    add_remote(sshd, "team", tmp_path / "target")
    stranger = private_sshd.make_key(tmp_path / "stranger")
    empty = tmp_path / "nobody"
    empty.touch()
    codes = [
        hpctrack("remote", "test", "team", *words).returncode
        for words in (
            ("--identity", str(stranger)),
            ("--known-hosts", str(empty)),
            ("--remote-command", "/absent/hpctrack"),
            ("--remote-command", "echo Welcome #"),
        )
    ]
    assert codes == [8, 7, 6, 9]


def test_local_copies_go_when_the_server_has_them(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    store, target = Path(shutil.copytree(source, tmp_path / "store")), tmp_path / "target"
    before = hash_files(store)
    add_remote(sshd, "team", target)
    words = ("sync", "team", "--store", str(store), "--delete-local", "--keep-days", "0")
    done = hpctrack(*words, "--project", "digits")
    assert done.returncode == 0, done.stderr
    assert "deleted 2 local copies" in done.stdout
    assert [f"{run.project}/{run.id}" for run in Store(store).runs()] == ["other/one"]
    assert hpctrack(*words).returncode == 0
    assert Store(store).runs() == []
    assert hash_files(target) == before


class Relay:
    """Passes a port on to another one until it is cut; then nobody answers there."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._pairs: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        assert self._listener is not None
        for one in (self._listener, *self._pairs):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._pairs.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _address = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to_port))
                self._pairs += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)


@contextmanager
def watching(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sync that goes on until Ctrl-C."""
    child = subprocess.Popen(
        [*COMMAND, "sync", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        with child:
            pass


def read_line(child: subprocess.Popen[str]) -> dict[str, object]:
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.stderr.read() if child.stderr else ""
    return dict(json.loads(line))


LOG = """
import sys, hpctrack
run = hpctrack.init(project="digits", id="live", dir=sys.argv[1])
step = 0
for line in sys.stdin:
    for _ in range(int(line)):
        run.log({"loss": 1.0 / (step + 1)}, step=step)
        step += 1
    run.flush(90)
    print("logged", flush=True)
"""


def test_a_watch_follows_a_run_through_a_loss_of_the_connection(sshd: Sshd, tmp_path: Path) -> None:
    store, target = tmp_path / "store", tmp_path / "target"
    relay = Relay(sshd.port)
    add_remote(sshd, "team", target, port=relay.port)
    program = start_python(LOG, str(store), stdin=subprocess.PIPE)
    assert program.stdin is not None
    assert program.stdout is not None

    def log(points: int) -> None:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(f"{points}\n")
        program.stdin.flush()
        assert program.stdout.readline() == "logged\n"

    def count_there() -> int:
        with contextlib.suppress(Exception), closing(Store(target).run("digits/live")) as run:
            return len(run.history()["loss"])
        return 0

    try:
        log(10)
        words = ("team", "--store", str(store), "--watch", "--interval", "0.2", "--until-done")
        with watching(*words, "--json") as child:
            assert read_line(child)["event"] == "push"
            wait_for(lambda: count_there() == 10)
            assert Store(target).run("digits/live").state == "running"
            relay.cut()
            while (event := read_line(child))["event"] == "push":
                pass
            assert event["event"] == "lost"
            log(5)
            relay.open()
            assert read_line(child)["event"] == "back"
            wait_for(lambda: count_there() == 15)
            program.communicate("", timeout=180)
            # It ends by itself, and what is there then is the sealed run.
            child.communicate(timeout=180)
            assert child.returncode == 0
        assert hash_files(target) == hash_files(store)
        assert Store(target).run("digits/live").state == "finished"
    finally:
        program.kill()
        with program:
            pass
        relay.cut()


def test_ctrl_c_ends_a_watch(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    add_remote(sshd, "team", tmp_path / "target")
    with watching("team", "--store", str(source), "--watch", "--interval", "60") as child:
        assert child.stdout is not None
        while not child.stdout.readline().startswith("sent 3 runs"):
            pass
        child.send_signal(signal.SIGINT)
        _out, err = child.communicate(timeout=180)
        assert (child.returncode, err.strip()) == (130, "interrupted")


def test_a_transfer_node_serves_what_jobs_ask_for(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    store, target = Path(shutil.copytree(source, tmp_path / "store")), tmp_path / "target"
    add_remote(sshd, "team", target)
    words = ("team", "--store", str(store), "--watch", "--triggered", "--interval", "0.2")
    with watching(*words):
        assert hpctrack("sync", "--trigger", "digits/two", "--store", str(store)).returncode == 0
        wait_for((target / "digits/two/run.h5").exists)
        wait_for(lambda: not list((store / ".sync-requests").iterdir()))
        assert sorted(path.parent.name for path in target.rglob("run.h5")) == ["two"]


SILENT = """
ip link set lo up
ip link add v0 type veth peer name v1
ip addr add 10.98.7.1/24 dev v0
ip link set v0 up
ip link set v1 up
ip neigh add 10.98.7.2 lladdr 02:00:00:00:00:01 dev v0
"""
"""A network in which nobody ever answers, as behind most firewalls."""


@pytest.mark.parametrize("transport", ["paramiko", "ssh"])
@pytest.mark.parametrize("network", ["", SILENT], ids=["none", "silent"])
def test_a_node_without_a_route_says_so_soon_and_keeps_everything(
    source: Path, network: str, transport: str
) -> None:
    before = hash_files(source)
    words = ["sync", "ssh://10.98.7.2/data/store", "--store", str(source), "--transport", transport]
    began_s = time.monotonic()
    done = subprocess.run(
        ["unshare", "-rn", "/bin/sh", "-c", f'{network}exec "$@"', "sh", *COMMAND, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    took_s = time.monotonic() - began_s
    assert done.returncode == 6, done.stderr
    assert "10.98.7.2:22 cannot be reached" in done.stderr
    assert "nothing is lost: the runs are kept here" in done.stderr
    assert took_s < NO_ROUTE_S + SLACK_S
    assert hash_files(source) == before
