"""On a real NVIDIA GPU: what is read is sane, our recordings are true, and CUDA agrees with us.

CUDA is asked through its driver's library, which is wherever there is a GPU to test on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpctrack.telemetry.device_files import has_machine_pids
from hpctrack.telemetry.gpu import GpuTelemetry, make_gpu_telemetry
from hpctrack.telemetry.gpu_source import COUNTERS, VALUES, Gpu
from hpctrack.telemetry.nvml import NvmlSource
from hpctrack.telemetry.reading import Reading, Watch, WatchedRank
from hpctrack.telemetry.visible_gpus import find_visible
from tests.programs import start_python
from tests.stubs.nvml.devices import H100, h100, make_uuid
from tests.stubs.nvml.driver import Script, Telemetry, build_library, values

pytestmark = pytest.mark.gpu

RANK = WatchedRank(os.getpid(), 0, None)

HOPPER = (9, 0)


def read(telemetry: GpuTelemetry) -> Reading:
    now_s = time.monotonic()
    return telemetry.read(Watch(now_s, now_s, (RANK,)))


@pytest.fixture
def gpus() -> list[Gpu]:
    source = NvmlSource()
    source.open()
    found = source.list_gpus()
    source.close()
    assert found, "there is a driver, but no GPU that we may open"
    return found


def read_names(telemetry: GpuTelemetry, key: str) -> set[str]:
    """Return the names of all that a device says in two readings that are a second apart."""
    names = set(values(read(telemetry), key))
    time.sleep(1.1)
    return names | set(values(read(telemetry), key))


def test_every_number_is_possible() -> None:
    telemetry = make_gpu_telemetry(environ={})
    first = read(telemetry)
    assert first.devices
    assert not [one for one in first.happenings if one.level == "error"]
    time.sleep(1.1)
    second = read(telemetry)
    known = {f"gpu/{name}" for name in VALUES} | {f"gpu/{name}_per_s" for name in COUNTERS}
    known |= {"gpu/energy_j_total", "gpu/process_memory_bytes", "gpu/process_sm_util_frac"}
    for sample in (*first.samples, *second.samples):
        assert sample.name.replace("/parent_", "/") in known
        assert sample.value >= 0
        if sample.name.endswith("_frac") and "fan" not in sample.name:
            assert sample.value <= 1
        if sample.name.endswith("temp_c"):
            assert 0 < sample.value < 120
    for device in first.devices:
        found = values(second, device.key)
        if device.kind == "gpu" and not device.facts["is_sliced"]:
            assert 1 < found["power_w"] < 3_000
            assert found["memory_used_bytes"] < float(str(device.facts["memory_total_bytes"]))
    telemetry.close()


def test_energy_is_power_times_time(gpus: list[Gpu]) -> None:
    telemetry = make_gpu_telemetry(environ={})
    before_s, powers = time.monotonic(), []
    last = read(telemetry)
    for _ in range(6):
        time.sleep(0.5)
        last = read(telemetry)
        powers.append(values(last, gpus[0].uuid).get("power_w"))
    energy_j = values(last, gpus[0].uuid).get("energy_j_total")
    if energy_j is None or None in powers:
        pytest.skip("this GPU has no energy counter")
    mean_w = energy_j / (time.monotonic() - before_s)
    assert 0.5 * min(filter(None, powers)) < mean_w < 2.0 * max(filter(None, powers))
    telemetry.close()


def test_the_recording_of_an_h100_is_true(gpus: list[Gpu], tmp_path: Path) -> None:
    real = [gpu for gpu in gpus if gpu.name == H100 and not gpu.is_sliced]
    if not real:
        pytest.skip(f"there is no {H100}, but {gpus[0].name}")
    telemetry = make_gpu_telemetry(environ={})
    said = read_names(telemetry, real[0].uuid)
    telemetry.close()
    root = tmp_path / "root"
    root.mkdir()
    library = build_library(tmp_path / "library")
    stub = Telemetry(library, Script(tmp_path / "nvml.txt", h100(0)), root=root)
    recorded = {name for moment in (0.0, 1.0) for name in values(stub.read(moment), make_uuid(0))}
    stub.close()
    assert said == recorded, "correct h100() in tests/stubs/nvml/devices.py"


def test_a_hopper_has_counters_of_performance(gpus: list[Gpu]) -> None:
    capability = tuple(map(int, str(gpus[0].facts["compute_capability"]).split(".")))
    if capability < HOPPER or gpus[0].is_sliced:
        pytest.skip("older than Hopper, or divided")
    telemetry = make_gpu_telemetry(environ={})
    assert "sm_active_frac" in read_names(telemetry, gpus[0].uuid)
    telemetry.close()


CUDA = """
import ctypes, json, sys
cuda = ctypes.CDLL("libcuda.so.1")
uuids = []
if cuda.cuInit(0) == 0:
    count = ctypes.c_int()
    assert cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
    for index in range(count.value):
        device, uuid = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        assert cuda.cuDeviceGet(ctypes.byref(device), index) == 0
        assert cuda.cuDeviceGetUuid_v2(uuid, device) == 0
        uuids.append(bytes(uuid).hex())
print(json.dumps(uuids))
"""


def ask_cuda(listing: str | None) -> list[str]:
    env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    env |= {} if listing is None else {"CUDA_VISIBLE_DEVICES": listing}
    done = subprocess.run(
        [sys.executable, "-c", CUDA], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    uuids: list[str] = json.loads(done.stdout)
    return uuids


def test_cuda_reads_a_list_of_devices_as_we_do(gpus: list[Gpu]) -> None:
    uuid, last = gpus[0].uuid, len([gpu for gpu in gpus if not gpu.parent]) - 1
    listings = [None, "", " ", "0", " 0", "+0", "-1", "0,-1", "-1,0", "0,0", "99", "0,99", "0,"]
    listings += ["0gpu", "two", "NoDevFiles", f"{last},0", uuid, uuid[:12], f"{uuid},0", "GPU-"]
    listings += [f"{uuid},{uuid}", f"0,{uuid}", uuid.lower(), "GPU-ffffffff", "none", "void"]
    wrong = {}
    for listing in listings:
        ours = find_visible(listing, gpus, device_order=os.environ.get("CUDA_DEVICE_ORDER", ""))
        expected = [gpu.uuid.partition("-")[2].replace("-", "") for gpu in ours.gpus]
        if any(gpu.parent for gpu in ours.gpus):
            expected = expected[:1]  # CUDA takes one slice per process
        found = ask_cuda(listing)
        if found != expected:
            wrong[listing] = (found, expected)
    assert not wrong, "CUDA says, we say"


ALLOCATES = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
assert cuda.cuInit(0) == 0
assert cuda.cuDeviceGet(ctypes.byref(device), 0) == 0
assert cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0
assert cuda.cuCtxSetCurrent(context) == 0
assert cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(512 << 20)) == 0
print("ready", flush=True)
sys.stdin.read()
"""


def test_memory_that_a_program_takes_is_its_own() -> None:
    if not has_machine_pids(Path("/")):
        pytest.skip("a PID namespace of our own")
    telemetry = make_gpu_telemetry(environ={})
    with start_python(ALLOCATES, stdin=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        try:
            assert program.stdout.readline() == "ready\n"
            samples = read(telemetry).samples
            mine = [one for one in samples if one.pid == program.pid]
            taken = {one.name: one.value for one in mine}
            assert taken["gpu/process_memory_bytes"] >= 512 << 20
        finally:
            program.stdin.close()
    telemetry.close()
