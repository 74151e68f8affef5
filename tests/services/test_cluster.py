"""The test cluster itself: what the tests of hpctrack on Slurm rely on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.programs import wait_for

from .cluster import Cluster, ClusterError, Options, config, list_missing

if TYPE_CHECKING:
    from .cluster import Place

pytestmark = pytest.mark.slurm

PYTHON = sys.executable


def read_when_there(path: Path) -> str:
    """Wait until a job has written to a file, and return the text."""
    wait_for(lambda: path.exists() and path.stat().st_size)
    return path.read_text()


class Traces:
    """What a cluster leaves on the host while it is up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        marks = (folder / "run").glob("*.pid")
        self.namespaces = {mark.read_text().split()[1] for mark in marks}
        assert len(self.namespaces) == 6
        assert len(self.list_processes()) > 20

    def list_processes(self) -> list[str]:
        """List processes inside the machines, and those outside that name the folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                inside = str((process / "ns/pid").readlink()) in self.namespaces
            except OSError:
                continue
            if inside or str(self.folder).encode() in words:
                found.append(f"{process.name} {words!r}")
        return found

    def wait_until_gone(self) -> None:
        """Wait until there is neither a process nor the folder."""
        wait_for(lambda: not self.list_processes() and not self.folder.exists())


def test_srun_spreads_tasks_over_three_nodes(cluster: Cluster) -> None:
    done = cluster.run("ctl", "srun", "-N3", "-n6", "hostname", user="alice")
    names = Counter(done.stdout.split())
    assert set(names) == {"n1", "n2", "n3"}
    assert names.total() == 6


def test_array_of_eight_runs_eight_tasks(cluster: Cluster, cluster_scratch: Place) -> None:
    job = cluster.submit(
        "--array=0-7",
        f"--output={cluster_scratch.inside}/%a",
        "--wrap=echo $SLURM_ARRAY_TASK_ID $SLURM_ARRAY_JOB_ID",
    )
    assert cluster.wait_job(job) == ["COMPLETED"] * 8
    written = {path.name: path.read_text().split() for path in cluster_scratch.host.iterdir()}
    assert written == {str(task): [str(task), str(job)] for task in range(8)}


def test_requeued_job_counts_its_restart(cluster: Cluster, cluster_scratch: Place) -> None:
    job = cluster.submit(
        "--open-mode=append",
        f"--output={cluster_scratch.inside}/out",
        '--wrap=echo restart=$SLURM_RESTART_COUNT; [ -n "$SLURM_RESTART_COUNT" ] || sleep 300',
    )
    assert read_when_there(cluster_scratch.host / "out") == "restart=\n"
    cluster.run("login", "scontrol", "requeue", str(job), user="alice")
    cluster.wait_job(job)
    lines = (cluster_scratch.host / "out").read_text().splitlines()
    # between the two stands slurmstepd's line that the job was cancelled
    assert [line for line in lines if "=" in line] == ["restart=", "restart=1"]


@pytest.mark.mpi
def test_mpi_ranks_on_three_nodes_add_up(cluster: Cluster, cluster_scratch: Place) -> None:
    program = """
        import socket
        from mpi4py import MPI
        world = MPI.COMM_WORLD
        total = world.allreduce(world.rank)
        hosts = world.gather(socket.gethostname())
        if world.rank == 0:
            print(world.size, total, len(set(hosts)))
    """
    (cluster_scratch.host / "add.py").write_text(textwrap.dedent(program))
    job = cluster.submit(
        *("-N3", "--ntasks-per-node=2", f"--output={cluster_scratch.inside}/out"),
        f"--wrap=srun --mpi=pmi2 {shlex.quote(PYTHON)} {cluster_scratch.inside}/add.py",
    )
    cluster.wait_job(job)
    assert (cluster_scratch.host / "out").read_text().split() == ["6", "15", "3"]


def test_compute_nodes_are_air_gapped(cluster: Cluster) -> None:
    program = """
        import json, socket, subprocess
        def dial(*address):
            try:
                socket.create_connection(address, timeout=10).close()
            except OSError as error:
                return error.strerror or str(error)
            return "open"
        places = [("10.78.0.2", 22), ("10.78.0.9", 22), ("192.0.2.1", 80), ("ctl", 6817)]
        routes = subprocess.check_output(["ip", "route"], text=True).splitlines()
        print(json.dumps([[dial(*place) for place in places], len(routes), routes[0].split()[0]]))
    """
    done = cluster.run("n1", PYTHON, "-c", textwrap.dedent(program), user="alice")
    unreachable = "Network is unreachable"
    assert json.loads(done.stdout) == [[*[unreachable] * 3, "open"], 1, "10.77.0.0/24"]


def test_ssh_from_lab_to_login_knows_the_host(cluster: Cluster) -> None:
    strict = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes")
    done = cluster.run("lab", "ssh", *strict, "login", "hostname; whoami", user="alice")
    assert done.stdout.split() == ["login", "alice"]
    unknown = ("-o", "UserKnownHostsFile=/dev/null")
    refused = cluster.run(
        "lab", "ssh", *strict, *unknown, "login", "true", user="alice", check=False
    )
    assert refused.returncode == 255
    assert "Host key verification failed" in refused.stderr


def test_lab_shares_no_files_with_the_cluster(cluster: Cluster, cluster_scratch: Place) -> None:
    assert cluster.run("n1", "ls", cluster_scratch.inside).returncode == 0
    assert cluster.run("lab", "ls", cluster_scratch.inside, check=False).returncode != 0


def test_machines_cannot_write_to_the_host(cluster: Cluster) -> None:
    for place in ("/opt/x", "/usr/x", "/var/lib/x"):
        refused = cluster.run("n1", "touch", place, check=False)
        assert "Read-only file system" in refused.stderr
    cluster.run("n1", "touch", "/tmp/only-here", "/root/only-here", "/var/tmp/only-here")
    assert cluster.run("n2", "ls", "/tmp/only-here", check=False).returncode != 0
    assert not Path("/tmp/only-here").exists()


def test_fake_gpus_are_handed_out(cluster: Cluster) -> None:
    show = ("srun", "-n1", "--gres=gpu:2", "printenv", "CUDA_VISIBLE_DEVICES")
    assert cluster.run("ctl", *show, user="alice").stdout == "0,1\n"


def test_submitit_maps_an_array(cluster: Cluster, cluster_scratch: Place) -> None:
    program = """
        import sys, time
        import submitit

        def square(number):
            return number * number

        executor = submitit.AutoExecutor(folder=sys.argv[1])
        assert executor.cluster == "slurm", executor.cluster
        # not shorter: Slurm sends submitit's warning signal up to 60 s early, and one that comes
        # while Python still starts kills the task
        executor.update_parameters(timeout_min=10)
        jobs = executor.map_array(square, [1, 2, 3])
        deadline = time.monotonic() + 180
        while not all(job.paths.result_pickle.exists() for job in jobs):
            assert time.monotonic() < deadline, "time is up"
            time.sleep(0.1)
        print([job.result() for job in jobs])
    """
    (cluster_scratch.host / "square.py").write_text(textwrap.dedent(program))
    script, logs = f"{cluster_scratch.inside}/square.py", f"{cluster_scratch.inside}/logs"
    done = cluster.run("login", PYTHON, script, logs, user="alice")
    assert done.stdout.strip() == "[1, 4, 9]"


def test_power_cut_requeues_the_job(cluster: Cluster, cluster_scratch: Place) -> None:
    output = f"--output={cluster_scratch.inside}/out"
    job = cluster.submit(output, "--wrap=hostname; sleep 300")
    node = read_when_there(cluster_scratch.host / "out").strip()
    cluster.kill_node(node)
    try:
        assert not cluster.is_up(node)
        cluster.wait_job(job, "PENDING")
        account = cluster.run("login", "scontrol", "show", "job", str(job), user="alice")
        assert "Restarts=1" in account.stdout
    finally:
        cluster.run("login", "scancel", str(job), user="alice")
        cluster.boot(node)
    assert cluster.run("ctl", "srun", "-N1", "-w", node, "hostname").stdout.strip() == node


def test_isolated_node_works_on_without_network(cluster: Cluster) -> None:
    # not shorter: on a host with more to do than it can, connecting takes a second now and then
    ping = ("timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/ctl/6817")
    cluster.run("n3", *ping)
    cluster.isolate("n3")
    try:
        assert cluster.run("n3", *ping, check=False).returncode != 0
    finally:
        cluster.rejoin("n3")
    wait_for(lambda: cluster.run("n3", *ping, check=False).returncode == 0)


def test_failed_job_is_reported_at_once(cluster: Cluster) -> None:
    job = cluster.submit("--output=/dev/null", "--wrap=exit 3")
    with pytest.raises(ClusterError, match="ExitCode=3:0"):
        cluster.wait_job(job, timeout_s=180)


def test_command_that_hangs_is_killed_with_its_children(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="not done after"):
        cluster.run("n1", "sh", "-c", "sleep 54321 & wait", timeout_s=0.5)
    assert cluster.run("n1", "pgrep", "-f", "sleep 54321", check=False).stdout == ""


def test_cluster_of_a_killed_session_vanishes() -> None:
    program = """
        import signal
        from cluster import Cluster
        cluster = Cluster()
        cluster.up()
        print(cluster.layout.folder, flush=True)
        signal.pause()
    """
    owner = subprocess.Popen(
        [PYTHON, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with owner:
        assert owner.stdout is not None
        traces = Traces(Path(owner.stdout.readline().strip()))
        os.killpg(owner.pid, signal.SIGKILL)
    traces.wait_until_gone()


def test_dead_cluster_is_taken_down_by_a_stranger() -> None:
    cluster = Cluster(options=Options(cgroups=not list_missing(cgroups=True)))
    cluster.up(outlive_owner=True)
    traces = Traces(cluster.layout.folder)
    # what would not end by itself, started in every way there is
    cluster.submit("--wrap=setsid sleep 300 & sleep 300")
    cluster.run("n1", "sh", "-c", "setsid sleep 300 >/dev/null 2>&1 &")
    cluster.kill_node("n2")
    Cluster.attach(cluster.layout.folder).down()
    traces.wait_until_gone()
    assert not list(Path("/sys/fs/cgroup").rglob(f"{cluster.layout.folder.name}-*"))
    cluster.down()


def test_kept_folders_are_readable_wherever_they_lie(tmp_path: Path) -> None:
    # a clone in a folder of `mktemp -d`, with a private folder in it
    kept = tmp_path / "closed" / "clone"
    inner = kept / "private" / "inner"
    inner.mkdir(parents=True)
    (kept / "file").write_text("1")
    (inner / "file").write_text("2")
    (tmp_path / "closed" / "secret").write_text("3")
    (tmp_path / "link").symlink_to("closed/clone")
    for folder in (tmp_path / "closed", kept, kept / "private"):
        folder.chmod(0o700)
    with Cluster(options=Options(keep=(str(tmp_path / "link"), str(inner)))) as cluster:
        traces = Traces(cluster.layout.folder)
        paths = (tmp_path / "link/file", kept / "file", inner / "file")
        assert cluster.run("n2", "cat", *map(str, paths), user="bob").stdout == "112"
        refused = cluster.run("n2", "touch", str(inner / "file"), check=False)
        assert "Read-only file system" in refused.stderr
        assert cluster.run("n2", "ls", str(tmp_path / "closed")).stdout == "clone\n"
    traces.wait_until_gone()


def test_cluster_that_cannot_start_shows_its_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "make_slurm_conf", lambda *_: "ClusterName=headless\n")
    cluster = Cluster()
    with pytest.raises(ClusterError, match=r"(?s)ctl died.*machine\.ctl\.log.*SlurmctldHost"):
        cluster.up()
    assert not cluster.layout.folder.exists()


@pytest.mark.parametrize("folder", ["/tmp/c", "/srv/c", "/home/c", "/root/c"])
def test_folder_that_machines_would_not_see_is_refused(folder: str) -> None:
    with pytest.raises(ClusterError, match="of its own"):
        Cluster(Path(folder))
