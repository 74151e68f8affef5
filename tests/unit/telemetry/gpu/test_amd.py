"""AMD GPUs, on a double of AMD's package with its interface."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpctrack.telemetry.amd import AmdSource
from hpctrack.telemetry.gpu_source import DriverAbsentError
from hpctrack.telemetry.reading import WatchedRank
from tests.programs import start_python
from tests.stubs.nvml.driver import StartTelemetry, Telemetry, codes, let_in, values

STUB = Path(__file__).resolve().parents[3] / "stubs/amd"

MIB = 1024**2


def mi300x(index: int) -> dict[str, Any]:
    return {
        "uuid": f"{index}8ff74a1-0000-1000-80a5-aad6e57e33f5",
        "bdf": f"0000:{0x05 + index:02X}:00.0",
        "asic": {
            "market_name": "AMD Instinct MI300X",
            "asic_serial": f"0x{index}8D501CAFE",
            "target_graphics_version": "gfx942",
        },
        "driver": {"driver_name": "amdgpu", "driver_version": "6.12.12", "driver_date": "N/A"},
        "enumeration": {"hip_id": index, "hip_uuid": f"GPU-{index}8d501cafe"},
        "activity": {"gfx_activity": 93, "umc_activity": 12, "mm_activity": "N/A"},
        "vram": {"vram_total": 196592, "vram_used": 1024},
        "power": {"current_socket_power": 612, "average_socket_power": "N/A", "power_limit": 750},
        "cap": {"power_cap": 750_000_000},
        "energy": {"energy_accumulator": 1_000_000, "counter_resolution": 15.25, "timestamp": 7},
        "temp HOTSPOT": {"degrees": 74},
        "temp VRAM": {"degrees": 66_000},
        "clock 0": {"clk": 2104, "min_clk": 132, "max_clk": 2100},
        "clock 4": {"clk": 900, "min_clk": 900, "max_clk": 1300},
        "pcie": {
            "pcie_static": {"max_pcie_width": 16},
            "pcie_metric": {"pcie_width": 16, "pcie_speed": 32000, "pcie_replay_count": 3},
        },
        "ecc": {"correctable_count": 1, "uncorrectable_count": 0, "deferred_count": 0},
        "processes": [
            {"name": "python", "pid": 4242, "mem": 0, "memory_usage": {"vram_mem": 512 * MIB}}
        ],
    }


StartAmd = Callable[[dict[str, Any]], tuple[Telemetry, Callable[[dict[str, Any]], None]]]


@pytest.fixture
def start_amd(
    start_telemetry: StartTelemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StartAmd:
    """Return a function that starts telemetry where only AMD's package is."""

    def change(script: dict[str, Any]) -> None:
        draft = tmp_path / "amd.draft"
        draft.write_text(json.dumps(script))
        draft.replace(tmp_path / "amd.json")

    def start(script: dict[str, Any]) -> tuple[Telemetry, Callable[[dict[str, Any]], None]]:
        monkeypatch.setenv("AMD_STUB_SCRIPT", str(tmp_path / "amd.json"))
        change(script)
        telemetry, _ = start_telemetry({}, library=tmp_path / "nothing", python_path=STUB)
        return telemetry, change

    return start


def test_an_instinct_says_all_that_it_can(start_amd: StartAmd) -> None:
    telemetry, _ = start_amd({"gpus": [mi300x(0)]})
    read = telemetry.read(0.0)
    assert read.happenings == []  # that there is no NVIDIA library is no news here
    (device,) = read.devices
    assert (device.kind, device.name) == ("gpu", "AMD Instinct MI300X")
    assert device.facts == {
        "driver_version": "6.12.12",
        "memory_total_bytes": 196592 * MIB,
        "target": "gfx942",
    }
    assert values(read, device.key) == {
        "util_frac": 0.93,
        "memory_util_frac": 0.12,
        "memory_used_bytes": 1024 * MIB,
        "memory_total_bytes": 196592 * MIB,
        "power_w": 612,
        "power_limit_w": pytest.approx(750),
        "hotspot_temp_c": 74,
        "memory_temp_c": 66,
        "sm_clock_mhz": 2104,
        "sm_clock_max_mhz": 2100,
        "memory_clock_mhz": 900,
        "memory_clock_max_mhz": 1300,
        "pcie_link_width": 16,
        "pcie_link_generation": 5,
        "pcie_replay_total": 3,
        "ecc_corrected_volatile_total": 1,
        "ecc_uncorrected_volatile_total": 0,
        "energy_j_total": 0,
    }
    assert values(read, device.key, 4242) == {"process_memory_bytes": 512 * MIB}
    absences = telemetry.list_absences(device.key)
    assert set(absences) == {"temp_c", "fan_frac"}


def test_energy_is_counted_in_the_steps_of_the_hardware(start_amd: StartAmd) -> None:
    gpu = mi300x(0)
    telemetry, change = start_amd({"gpus": [gpu]})
    telemetry.read(0.0)
    gpu["energy"]["energy_accumulator"] += 40_000_000
    change({"gpus": [gpu]})
    read = values(telemetry.read(1.0), gpu["uuid"])
    assert read["energy_j_total"] == pytest.approx(40e6 * 15.25e-6)


def test_marks_of_what_is_not_there_are_not_taken_for_numbers(start_amd: StartAmd) -> None:
    gpu = mi300x(0) | {
        "activity": {"gfx_activity": 0xFFFF, "umc_activity": "N/A", "mm_activity": "N/A"},
        "power": {"current_socket_power": 0, "average_socket_power": 0xFFFF},
        "clock 0": {"clk": 0xFFFFFFFF, "max_clk": "N/A"},
        "energy": {"energy_accumulator": "N/A", "counter_resolution": "N/A"},
    }
    telemetry, _ = start_amd({"gpus": [gpu]})
    read = values(telemetry.read(0.0), gpu["uuid"])
    absent = {"util_frac", "memory_util_frac", "power_w", "sm_clock_mhz", "energy_j_total"}
    assert not absent & read.keys()


def test_devices_are_numbered_as_rocm_numbers_them(start_amd: StartAmd) -> None:
    gpus = [mi300x(place) for place in range(4)]
    for place, gpu in enumerate(gpus):
        gpu["enumeration"]["hip_id"] = 3 - place
    telemetry, _ = start_amd({"gpus": gpus})
    ranks = [WatchedRank(10, 0, "0,3"), WatchedRank(11, 1, "GPU-28d5")]
    telemetry.read(0.0, ranks)
    assert telemetry.find_keys(ranks[0]) == [gpus[3]["uuid"], gpus[0]["uuid"]]
    assert telemetry.find_keys(ranks[1]) == [gpus[2]["uuid"]]


VISIBLE: list[tuple[str | None, str | None, str | None, list[int]]] = [
    (None, None, None, [0, 1, 2, 3, 4, 5]),
    (None, "0,1,2,3", "3", [3]),
    (None, "4,5", "1,0", [5, 4]),
    ("", "2", None, []),
    ("0", "4", None, [4]),
    ("1", None, None, [1]),
    (None, None, "5", [5]),
    (None, "2", None, [2]),
    # HIP's own list wins over CUDA's, unless it is empty
    ("0", "2,3", "1", [3]),
    ("1", "2,3", "", [3]),
    (None, None, "", []),
    (None, "", "0", []),
    # no such place in what is left
    (None, "2,3", "2", []),
    (None, "1,GPU-38d5", "0,1", [1, 3]),
    (None, "1,3", "GPU-38d5", [3]),
    (None, "1,3", "GPU-28d5", []),
    (None, "1,3", "0,0", [1]),
]
"""CUDA's, ROCr's and HIP's list of GPUs, and the places of those that are seen."""


# One process reads them all: to start one took longer than to ask all.
def test_hip_counts_within_what_rocr_leaves(start_amd: StartAmd, subtests: pytest.Subtests) -> None:
    gpus = [mi300x(place) for place in range(6)]
    telemetry, _ = start_amd({"gpus": gpus})
    for cuda, rocr, hip, places in VISIBLE:
        with subtests.test(cuda=cuda, rocr=rocr, hip=hip):
            rank = WatchedRank(10, 0, cuda, rocr, hip)
            read = telemetry.read(0.0, [rank])
            assert telemetry.find_keys(rank) == [gpus[place]["uuid"] for place in places]
            assert {one.key for one in read.devices} == {gpus[place]["uuid"] for place in places}
        telemetry.restart()


def test_devices_of_an_older_library_are_numbered_by_their_place_on_the_bus(
    start_amd: StartAmd,
) -> None:
    gpus = [mi300x(place) for place in (1, 0)]
    for gpu in gpus:
        del gpu["enumeration"]
    telemetry, _ = start_amd({"gpus": gpus})
    rank = WatchedRank(10, 0, "0")
    telemetry.read(0.0, [rank])
    assert telemetry.find_keys(rank) == [gpus[1]["uuid"]]


def test_a_device_file_that_is_not_there_refuses_nobody(
    start_amd: StartAmd, machine_root: Path
) -> None:
    (machine_root / "sys/bus/pci/devices/0000:05:00.0/drm/renderD128").mkdir(parents=True)
    telemetry, _ = start_amd({"gpus": [mi300x(0)]})
    assert len(telemetry.read(0.0).devices) == 1


REFUSED = """
import os, sys
from pathlib import Path
from hpctrack.telemetry.amd import AmdSource

source = AmdSource(Path(sys.argv[1]))
source.open()
if os.getuid() == 0:
    os.seteuid(65534)
print([gpu.pci_bus_id for gpu in source.list_gpus()])
"""


def test_a_gpu_whose_device_file_refuses_us_is_not_ours(machine_root: Path, tmp_path: Path) -> None:
    script = tmp_path / "amd.json"
    script.write_text(json.dumps({"gpus": [mi300x(0), mi300x(1)]}))
    (machine_root / "dev/dri").mkdir(parents=True)
    for bus, name, mode in (("05", "renderD128", 0o000), ("06", "renderD129", 0o666)):
        (machine_root / f"sys/bus/pci/devices/0000:{bus}:00.0/drm/{name}").mkdir(parents=True)
        (machine_root / "dev/dri" / name).touch()
        (machine_root / "dev/dri" / name).chmod(mode)
    let_in(machine_root)
    path = ":".join(filter(None, [str(STUB), os.environ.get("PYTHONPATH")]))
    env = {"AMD_STUB_SCRIPT": str(script), "PYTHONPATH": path}
    with start_python(REFUSED, str(machine_root), env=env) as program:
        out, err = program.communicate(timeout=60)
    assert out.strip() == "['0000:06:00.0']", err


def test_a_driver_that_is_not_loaded_is_told_once(start_amd: StartAmd) -> None:
    telemetry, _ = start_amd({"init": 34, "gpus": []})
    assert codes(telemetry.read(0.0)) == ["gpu-no-library", "gpu-no-driver"]
    assert codes(telemetry.read(1.0)) == []


def test_a_package_without_its_library_is_told(
    start_telemetry: StartTelemetry, tmp_path: Path
) -> None:
    # What the real package does: a word to the terminal, then a missing key.
    (tmp_path / "amdsmi.py").write_text("print('Unable to find it')\n{}['libamd_smi.so']\n")
    telemetry, _ = start_telemetry({}, library=tmp_path / "nothing", python_path=tmp_path)
    assert codes(telemetry.read(0.0)) == ["gpu-no-library", "gpu-no-library"]


def test_failures_of_the_list_of_processes_that_pass_are_never_too_many(
    start_amd: StartAmd,
) -> None:
    gpu = mi300x(0)
    telemetry, change = start_amd({"gpus": [gpu]})
    for moment in range(0, 24, 2):
        change({"gpus": [gpu | {"processes": 999}]})
        assert not values(telemetry.read(float(moment)), gpu["uuid"], 4242)
        change({"gpus": [gpu]})
        assert values(telemetry.read(moment + 1.0), gpu["uuid"], 4242)


def test_a_gpu_that_answers_nothing_is_lost_and_a_driver_that_goes_is_gone(
    start_amd: StartAmd,
) -> None:
    gpus = [mi300x(0), mi300x(1)]
    telemetry, change = start_amd({"gpus": gpus})
    telemetry.read(0.0)
    change({"gpus": [gpus[0] | {"error": 12}, gpus[1]]})
    lost = telemetry.read(1.0)
    assert codes(lost) == ["gpu-lost"]
    assert {sample.device for sample in lost.samples} == {gpus[1]["uuid"]}
    change({"gpus": gpus, "error": 32, "init": 34})
    assert codes(telemetry.read(2.0)) == ["gpu-driver-gone"]
    assert codes(telemetry.read(3.0)) == []
    change({"gpus": gpus})
    back = telemetry.read(1_000.0)
    assert codes(back) == ["gpu-driver-back", "gpu-back"]
    assert len({sample.device for sample in back.samples}) == 2


def test_cards_without_the_package_are_told_and_no_card_is_not(tmp_path: Path) -> None:
    for place, name in enumerate(("dev/kfd", "sys/class/drm/card0/device/vendor")):
        root = tmp_path / str(place)
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("0x1002\n")
        with pytest.raises(DriverAbsentError, match="amdsmi is not installed") as told:
            AmdSource(root).open()
        assert (told.value.code, told.value.level) == ("gpu-no-package", "info")
    other = tmp_path / "1"  # another make
    (other / "sys/class/drm/card0/device/vendor").write_text("0x10de\n")
    with pytest.raises(DriverAbsentError) as none:
        AmdSource(other).open()
    assert none.value.level is None
