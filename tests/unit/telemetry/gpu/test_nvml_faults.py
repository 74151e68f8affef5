"""A driver that is not there, goes away, comes back, loses a GPU or hangs."""

from __future__ import annotations

import select
import threading
import time
from pathlib import Path

import pytest

from hpctrack.telemetry.reading import WatchedRank
from tests.programs import start_python
from tests.stubs.nvml.devices import h100, make_uuid
from tests.stubs.nvml.driver import Script, StartTelemetry, codes, let_in, values

TWO = {**h100(0), **h100(1)}
RANKS = [WatchedRank(10, 0, "0"), WatchedRank(11, 1, "1")]


def test_a_machine_without_nvidias_library_says_so_once(
    start_telemetry: StartTelemetry, tmp_path: Path
) -> None:
    telemetry, _ = start_telemetry({}, library=tmp_path / "nothing")
    first = telemetry.read(0.0)
    assert [(one.level, one.code) for one in first.happenings] == [("info", "gpu-no-library")]
    for moment in range(1, 2000, 50):
        read = telemetry.read(float(moment))
        assert (read.devices, read.samples, read.happenings) == ([], [], [])


def test_a_machine_without_the_package_says_what_to_install(
    start_telemetry: StartTelemetry, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/pynvml.py").write_text("raise ImportError('not installed')\n")
    telemetry, _ = start_telemetry(h100(0), python_path=tmp_path / "hidden")
    (told,) = telemetry.read(0.0).happenings
    assert (told.level, told.code) == ("info", "gpu-no-package")
    assert "hpctrack[gpu]" in told.text
    assert telemetry.read(100_000.0).happenings == []


@pytest.mark.parametrize(
    ("code", "level", "name"),
    [
        (4, "warning", "gpu-no-permission"),
        (9, "info", "gpu-no-driver"),
        (18, "warning", "gpu-driver-mismatch"),
        (999, "warning", "gpu-no-driver"),
    ],
)
def test_a_driver_that_cannot_be_used_says_so_once_and_is_tried_again_later(
    start_telemetry: StartTelemetry, code: int, level: str, name: str
) -> None:
    telemetry, script = start_telemetry({**h100(0), "error.nvmlInitWithFlags": str(code)})
    first = telemetry.read(0.0)
    assert [(one.level, one.code) for one in first.happenings] == [(level, name)]
    script.start_log()
    for moment in range(1, 600):
        assert telemetry.read(float(moment)).happenings == []
    assert 2 <= script.count_calls("nvmlInitWithFlags") <= 5
    script.change({"error.nvmlInitWithFlags": None})
    read = telemetry.read(2_000.0)
    assert values(read, make_uuid(0))["util_frac"] == 0.87
    assert codes(read) == []


def test_a_gpu_that_falls_off_the_bus_is_told_once_and_the_other_goes_on(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(TWO)
    assert {sample.device for sample in telemetry.read(0.0, RANKS).samples} == {
        make_uuid(0),
        make_uuid(1),
    }
    script.change({"gpu.0.error.*": 15})
    lost = telemetry.read(1.0, RANKS)
    (told,) = lost.happenings
    assert (told.level, told.code, told.device) == ("error", "gpu-lost", make_uuid(0))
    assert {sample.device for sample in lost.samples} == {make_uuid(1)}
    script.start_log()
    for moment in range(2, 50):
        read = telemetry.read(float(moment), RANKS)
        assert read.happenings == []
        assert {sample.device for sample in read.samples} == {make_uuid(1)}
    assert script.count_calls("nvmlDeviceGetPowerUsage", "gpu.0") == 0


@pytest.mark.slow
def test_a_lost_gpu_is_looked_for_again_slowly_with_the_library_initialised_anew(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"gpu.0.error.*": 15})
    telemetry.read(1.0, RANKS)
    script.start_log()
    for moment in range(2, 1000):
        assert codes(telemetry.read(float(moment), RANKS)) == []
    again = script.count_calls("nvmlInitWithFlags")
    assert 2 <= again <= 6
    assert script.count_calls("nvmlShutdown") == again
    script.change({"gpu.0.error.*": None})
    back = telemetry.read(2_000.0, RANKS)
    assert [(one.code, one.device) for one in back.happenings] == [("gpu-back", make_uuid(0))]
    assert values(back, make_uuid(0))["util_frac"] == 0.87
    assert back.devices == []


def test_numbers_keep_their_meaning_when_a_gpu_is_lost(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"gpu.0.error.*": 15})
    telemetry.read(1.0, RANKS)
    later = [*RANKS, WatchedRank(12, 2, "1")]
    read = telemetry.read(500.0, later)  # after the library was initialised anew
    assert telemetry.find_keys(later[2]) == [make_uuid(1)]
    assert {sample.device for sample in read.samples} == {make_uuid(1)}


def test_a_gpu_that_only_says_unknown_to_everything_is_lost_too(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"gpu.1.error.*": 999})
    assert codes(telemetry.read(1.0, RANKS)) == ["gpu-lost"]
    assert codes(telemetry.read(2.0, RANKS)) == []


def test_a_gpu_that_needs_a_reset_is_lost(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"gpu.1.error.nvmlDeviceGetPowerUsage": 16})
    assert codes(telemetry.read(1.0, RANKS)) == ["gpu-lost"]


@pytest.mark.parametrize("code", [1, 9, 18])
def test_a_driver_that_goes_away_is_told_once_and_so_is_its_return(
    start_telemetry: StartTelemetry, code: int
) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"error.*": code, "error.nvmlInitWithFlags": 9})
    gone = telemetry.read(1.0, RANKS)
    assert [(one.level, one.code) for one in gone.happenings] == [("error", "gpu-driver-gone")]
    assert gone.samples == []
    for moment in range(2, 300):
        read = telemetry.read(float(moment), RANKS)
        assert (read.samples, read.happenings) == ([], [])
    script.change({"error.*": None, "error.nvmlInitWithFlags": None, "gpu.0.field.83": 500})
    back = telemetry.read(2_000.0, RANKS)
    assert codes(back) == ["gpu-driver-back"]
    assert values(back, make_uuid(0))["energy_j_total"] == 0.5  # used since it was loaded anew
    assert back.devices == []


def test_events_of_a_lost_gpu_do_not_disturb(start_telemetry: StartTelemetry) -> None:
    telemetry, script = start_telemetry(TWO)
    telemetry.read(0.0, RANKS)
    script.change({"error.nvmlEventSetWait_v2": 15})
    for moment in range(1, 5):
        read = telemetry.read(float(moment), RANKS)
        assert read.happenings == []
        assert len({sample.device for sample in read.samples}) == 2


REFUSED = """
import os, sys
from pathlib import Path
from hpctrack.telemetry.nvml import NvmlSource

source = NvmlSource(Path(sys.argv[1]))
source.open()
if os.getuid() == 0:
    os.seteuid(65534)
print([gpu.uuid for gpu in source.list_gpus()])
"""


def test_a_device_file_that_refuses_us_is_believed_more_than_the_driver(
    nvml_library: Path, tmp_path: Path
) -> None:
    script = Script(tmp_path / "nvml.txt", TWO)
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "dev/nvidia0").touch(mode=0o000)
    (root / "dev/nvidia1").touch()
    (root / "dev/nvidia1").chmod(0o666)
    let_in(root)
    env = {"LD_LIBRARY_PATH": str(nvml_library), "NVML_STUB_SCRIPT": str(script.path)}
    with start_python(REFUSED, str(root), env=env) as program:
        out, err = program.communicate(timeout=60)
    assert out.strip() == str([make_uuid(1)]), err


HANGING = """
import os, sys, threading, time
from pathlib import Path
from hpctrack.telemetry.gpu import make_gpu_telemetry
from hpctrack.telemetry.reading import Watch, WatchedRank

telemetry = make_gpu_telemetry(environ={}, root=Path(sys.argv[1]))
watch = Watch(0.0, 0.0, (WatchedRank(1, 0, None),))
thread = threading.Thread(target=telemetry.read, args=(watch,), daemon=True)
thread.start()
while not Path(sys.argv[2]).exists() or "PowerUsage" not in Path(sys.argv[2]).read_text():
    time.sleep(0.01)
worked = sum(number % 7 for number in range(300_000))
print("working", worked, thread.is_alive(), flush=True)
telemetry.close()
print("closed", thread.is_alive(), flush=True)
"""


def test_a_driver_that_hangs_blocks_its_own_thread_and_nothing_else(
    nvml_library: Path, machine_root: Path, tmp_path: Path
) -> None:
    script = Script(tmp_path / "nvml.txt", {**h100(0), "hang.nvmlDeviceGetPowerUsage": "1"})
    script.start_log()
    env = {"LD_LIBRARY_PATH": str(nvml_library), "NVML_STUB_SCRIPT": str(script.path)}
    with start_python(HANGING, str(machine_root), str(script.log), env=env) as program:
        assert program.stdout is not None
        readable, _, _ = select.select([program.stdout], [], [], 120)
        assert readable, "the whole program hangs"
        out, err = program.communicate(timeout=120)
    assert out.splitlines() == [f"working {sum(n % 7 for n in range(300_000))} True", "closed True"]
    assert program.returncode == 0, err


def test_a_driver_that_hangs_for_a_while_is_read_again(
    start_telemetry: StartTelemetry,
) -> None:
    telemetry, script = start_telemetry(h100(0))
    telemetry.read(0.0)
    script.change({"hang.nvmlDeviceGetPowerUsage": "1"})
    script.start_log()

    def let_go() -> None:
        while not script.count_calls("nvmlDeviceGetPowerUsage", "gpu.0"):
            time.sleep(0.01)
        script.change({"hang.nvmlDeviceGetPowerUsage": None})

    helper = threading.Thread(target=let_go, daemon=True)
    helper.start()
    read = values(telemetry.read(300.0), make_uuid(0))
    helper.join(180)
    assert read["power_w"] == pytest.approx(512.345)
