"""A rank whose GPU hangs on another NUMA node than its cores is told so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.telemetry.gpu_places import GpuPlaces
from hpctrack.telemetry.kernel_files import format_cpu_list
from tests.nodes import Node
from tests.programs import ROOT, only_run, run_python
from tests.stubs.nvml.devices import GIB, h100, make_uuid
from tests.stubs.nvml.driver import Script, StartTelemetry

AGENT = """
import socket, sys, threading, time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hpctrack import StoredRun
from hpctrack.agents.server import Server
from hpctrack.agents.telemetry import Telemetry
from hpctrack.core import wire
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.wire import Kind
from hpctrack.errors import NotFoundError
from hpctrack.telemetry.sources import make_sources
from tests.nodes import Node
from tests.programs import wait_for
from tests.stores import hello

root, store = map(Path, sys.argv[1:])
# Twenty times as quick: what has to last for half a minute is over in two seconds.
clock = Clock(time.time, lambda: 20 * time.monotonic())
telemetry = Telemetry(lambda: make_sources({}, root=root), clock=clock)
server = Server(None, clock=SYSTEM_CLOCK, linger_s=0.1, telemetry=telemetry)
ours, theirs = socket.socketpair()
server.add_peer(ours)
settings = {"telemetry": "auto", "telemetry_interval_s": 1.0, "seal": "auto"}
said = hello(3, store=str(store), project="p", run="r", settings=settings, visible_gpus="1")
theirs.sendall(wire.pack_json(Kind.HELLO, said))
thread = threading.Thread(target=server.run, daemon=True)
thread.start()

def is_told():
    with suppress(NotFoundError), closing(StoredRun(store / "p" / "r")) as run:
        return any(one["code"] == "gpu-far" for one in run.record.warnings)

try:
    wait_for(is_told)
finally:
    theirs.sendall(wire.pack_json(Kind.FINISH, {"exit_code": 0}))
    theirs.close()
    thread.join(180)
"""


def write_machine(root: Path) -> None:
    """This machine's processes, its cores on NUMA node 0, and a GPU on each of two nodes."""
    root.mkdir()
    (root / "proc").symlink_to("/proc")
    node = Node(root)
    cores = format_cpu_list(frozenset(os.sched_getaffinity(0)))
    for place, text in enumerate((cores, "4000-4003")):
        node.write(f"sys/devices/system/node/node{place}/cpulist", f"{text}\n")
        node.write(f"sys/bus/pci/devices/0000:{0x18 + place:02x}:00.0/numa_node", place)


@pytest.mark.slow
def test_a_run_is_warned_of_a_rank_whose_gpu_is_far(tmp_path: Path, nvml_library: Path) -> None:
    write_machine(tmp_path / "machine")
    script = Script(tmp_path / "nvml.txt", {"count": "2", **h100(0), **h100(1)})
    environ = {
        "LD_LIBRARY_PATH": str(nvml_library),
        "NVML_STUB_SCRIPT": str(script.path),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = run_python(AGENT, str(tmp_path / "machine"), str(tmp_path / "store"), env=environ)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    (told,) = [one for one in run.record.warnings if one["code"] == "gpu-far"]
    assert told["device"] == make_uuid(1)
    assert told["text"].startswith(
        "rank 3: the GPU is attached to NUMA node 1, the rank's cores are on node 0"
    )
    assert "--gpu-bind=closest" in told["text"]


def test_the_driver_tells_where_gpus_are_and_who_uses_them(
    start_telemetry: StartTelemetry, machine_root: Path
) -> None:
    Node(machine_root).write("sys/bus/pci/devices/0000:18:00.0/numa_node", 1)
    telemetry, _ = start_telemetry({**h100(0), **h100(1), "gpu.0.compute": f"4242:{GIB}"})
    telemetry.read(0.0)
    assert telemetry.find_places() == GpuPlaces(
        nodes={make_uuid(0): 1, make_uuid(1): None},
        allowed={4242: (make_uuid(0), make_uuid(1))},
        used={4242: (make_uuid(0),)},
    )


NODES = {"a": 0, "b": 1, "c": 1, "d": None}
MEMBERS = {10: [10, 11], 20: [20]}


def test_ranks_have_the_gpus_that_they_may_use_until_one_is_seen_on_some() -> None:
    allowed = {10: ("a", "b"), 20: ("b",)}
    places = GpuPlaces(NODES, allowed, {})
    assert places.find_nodes(MEMBERS) == {10: {"a": 0, "b": 1}, 20: {"b": 1}}
    strangers = GpuPlaces(NODES, allowed, {99: ("c",)})
    assert strangers.find_nodes(MEMBERS) == places.find_nodes(MEMBERS)
    seen = GpuPlaces(NODES, allowed, {11: ("b",), 99: ("c",)})
    assert seen.find_nodes(MEMBERS) == {10: {"b": 1}}


def test_a_gpu_whose_place_is_not_told_may_be_near() -> None:
    assert GpuPlaces(NODES, {10: ("b", "d"), 20: ("d",)}, {}).find_nodes(MEMBERS) == {}
    assert GpuPlaces({}, {10: ("b",)}, {}).find_nodes(MEMBERS) == {}
    assert GpuPlaces().find_nodes(MEMBERS) == {}
