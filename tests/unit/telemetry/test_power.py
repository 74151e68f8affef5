"""Power and energy, from whoever measures them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpctrack.telemetry.cray_power import parse_counter
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.power import Power, find_obstacles
from hpctrack.telemetry.reading import Reading
from hpctrack.telemetry.slurm_power import (
    HOLD_S,
    PERIOD_S,
    NodePower,
    SlurmPower,
    parse_node_power,
    parse_plugin,
)
from tests.nodes import Node, values, watch

RAPL = "sys/class/powercap/intel-rapl"


def read(power: Power, mono_s: float) -> Reading:
    reading = Reading()
    power.read(watch(mono_s), reading)
    return reading


def make(node: Node, environ: Mapping[str, str] | None = None) -> Power:
    return Power(node.files, environ=environ or {})


def test_two_sockets_of_intel_over_a_wrap(tmp_path: Path) -> None:
    node = Node(tmp_path, "power-intel")
    power = make(node)
    first = read(power, 0.0)
    assert [(one.kind, one.key) for one in first.devices] == [
        ("socket", "socket-0"),
        ("socket", "socket-1"),
    ]
    assert values(first) == {
        "energy/cpu_package_j_total socket-0": 0,
        "energy/dram_j_total socket-0": 0,
        "energy/cpu_package_j_total socket-1": 0,
        "power/node_w": 612,
    }
    node.write(f"{RAPL}:0/energy_uj", 196_671_150)  # 3.32885 J up to its end, and on from zero
    node.write(f"{RAPL}:0:0/energy_uj", 41_000_000)
    node.write(f"{RAPL}:1/energy_uj", 305_000_000)
    second = values(read(power, 2.0))
    assert second == {
        "energy/cpu_package_j_total socket-0": pytest.approx(200.0),
        "power/cpu_package_w socket-0": pytest.approx(100.0),
        "energy/dram_j_total socket-0": pytest.approx(40.0),
        "power/dram_w socket-0": pytest.approx(20.0),
        "energy/cpu_package_j_total socket-1": pytest.approx(300.0),
        "power/cpu_package_w socket-1": pytest.approx(150.0),
        "power/node_w": 612,
    }
    assert find_obstacles(node.files) == []


def test_a_counter_that_was_reset_adds_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, "power-intel")
    power = make(node)
    node.write(f"{RAPL}:1/energy_uj", 90_000_000_000)
    read(power, 0.0)
    node.write(f"{RAPL}:1/energy_uj", 10_000_000)  # as a wrap: 172,153 J in a second
    found = values(read(power, 1.0))
    assert found["energy/cpu_package_j_total socket-1"] == 0
    assert "power/cpu_package_w socket-1" not in found
    node.write(f"{RAPL}:1/energy_uj", 110_000_000)
    assert values(read(power, 2.0))["power/cpu_package_w socket-1"] == pytest.approx(100.0)


def test_dies_of_one_socket_are_added_up(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for die in (0, 1):
        node.write(f"{RAPL}:{die}/name", f"package-0-die-{die}\n")
        node.write(f"{RAPL}:{die}/max_energy_range_uj", 10**9)
        node.write(f"{RAPL}:{die}/energy_uj", 0)
    power = make(node)
    read(power, 0.0)
    for die in (0, 1):
        node.write(f"{RAPL}:{die}/energy_uj", 50_000_000)
    assert values(read(power, 1.0)) == {
        "energy/cpu_package_j_total socket-0": pytest.approx(100.0),
        "power/cpu_package_w socket-0": pytest.approx(100.0),
    }


def test_one_core_of_an_amd_processor_is_not_told_as_all_of_them(tmp_path: Path) -> None:
    node = Node(tmp_path, "power-amd")
    power = make(node)
    read(power, 0.0)
    node.write(f"{RAPL}:0/energy_uj", 99_389_013)
    assert values(read(power, 1.0)) == {
        "energy/cpu_package_j_total socket-0": pytest.approx(100.0),
        "power/cpu_package_w socket-0": pytest.approx(100.0),
    }  # the GPU's sensor has a source of its own


def test_counters_that_are_roots_only_are_an_obstacle_and_not_zero(
    tmp_path: Path, as_nobody: None
) -> None:
    node = Node(tmp_path, "power-intel")
    for path in (node.root / "sys/class/powercap").glob("*/energy_uj"):
        path.chmod(0)
    assert values(read(make(node), 0.0)) == {"power/node_w": 612}
    (found,) = find_obstacles(node.files)
    assert found.why == f"/{RAPL}:0/energy_uj: permission denied"
    assert "chmod a+r" in found.remedy
    assert found.text == f"{found.why}; {found.remedy}"


def test_a_cray_tells_the_node_and_its_parts(tmp_path: Path) -> None:
    node = Node(tmp_path, "power-cray")
    power = make(node)
    first = read(power, 0.0)
    assert [one.key for one in first.devices] == ["accel0", "accel1"]
    found = values(first)
    assert found["power/node_w"] == 560
    assert found["power/cpu_w"] == 105
    assert found["power/memory_w"] == 38
    assert found["power/accelerator_w accel0"] == 92
    assert "power/accelerator_w accel1" not in found  # nothing draws nothing
    node.replace("sys/cray/pm_counters/energy", "123456789 J", "123457349 J")
    assert values(read(power, 1.0))["energy/node_j_total"] == 560
    assert find_obstacles(node.files) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("283 W", 283), ("5 J 1667317532109411 us\n", 5), ("12", None), ("", None), ("-1 W", None)],
)
def test_counters_of_a_cray(text: str, value: int | None) -> None:
    assert parse_counter(text) == value


def test_rails_of_a_grace(tmp_path: Path) -> None:
    node = Node(tmp_path, "power-grace")
    assert values(read(make(node), 0.0)) == {
        "power/module_w socket-0": 310,
        "power/cpu_package_w socket-0": 150,
        "power/cpu_core_w socket-0": 125.5,
        "power/cpu_io_w socket-0": 9.5,
    }
    (found,) = find_obstacles(node.files)
    assert "whole node" in found.why


def test_other_sensors_of_power_and_energy(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.write("sys/class/hwmon/hwmon0/name", "amd_energy\n")
    node.write("sys/class/hwmon/hwmon0/energy1_label", "Esocket0\n")
    node.write("sys/class/hwmon/hwmon0/energy1_input", 5_000_000)
    node.write("sys/class/hwmon/hwmon1/name", "ina238\n")
    node.write("sys/class/hwmon/hwmon1/power1_input", 25_000_000)
    node.write("sys/class/hwmon/hwmon1/power1_input_highest", 99_000_000)
    power = make(node)
    first = read(power, 0.0)
    assert [one.key for one in first.devices] == [
        "hwmon:amd_energy/Esocket0",
        "hwmon:ina238/power1",
    ]
    node.write("sys/class/hwmon/hwmon0/energy1_input", 65_000_000)
    assert values(read(power, 2.0)) == {
        "energy/sensor_j_total hwmon:amd_energy/Esocket0": 60,
        "power/sensor_w hwmon:amd_energy/Esocket0": 30,
        "power/sensor_w hwmon:ina238/power1": 25,
    }


def test_a_management_controller_that_only_root_may_ask_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.write("dev/ipmi0", "")
    node.write("sys/class/dmi/id", "")
    found = find_obstacles(node.files)
    assert "no intel-rapl" in found[0].why
    assert "/dev/ipmi0" in found[1].remedy
    assert "acct_gather_energy/ipmi" in found[1].remedy


def test_a_node_without_anything(tmp_path: Path) -> None:
    assert read(make(Node(tmp_path)), 0.0) == Reading()


def test_this_machine() -> None:
    power = Power(KernelFiles(), environ={})
    read(power, 0.0)
    assert all(one.value >= 0 for one in read(power, 1.0).samples)


# -- what Slurm knows ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "power"),
    [
        ("NodeName=n1 CapWatts=n/a CurrentWatts=293 AveWatts=250", NodePower(293)),
        ("CurrentWatts=293 LowestJoules=1 ConsumedJoules=88123", NodePower(293, 88123)),
        ("CapWatts=n/a\n   CurrentWatts=0 LowestJoules=0 ConsumedJoules=0\n", None),
        ("CurrentWatts=n/s AveWatts=n/s", None),
        ("NodeName=n1", None),
    ],
)
def test_power_of_scontrol(text: str, power: NodePower | None) -> None:
    assert parse_node_power(text) == power


@pytest.mark.parametrize(
    ("plugin", "what"),
    [
        ("acct_gather_energy/ipmi", "node"),
        ("acct_gather_energy/xcc", "node"),
        ("acct_gather_energy/rapl", "cpu"),
        ("acct_gather_energy/gpu", ""),
        ("acct_gather_energy/gpu,acct_gather_energy/ipmi", ""),
        ("(null)", ""),
    ],
)
def test_what_a_plugin_of_slurm_measures(plugin: str, what: str) -> None:
    text = f"AccountingStoreFlags = (null)\nAcctGatherEnergyType    = {plugin}\nAuthType = x\n"
    assert parse_plugin(text) == what
    assert not parse_plugin("Configuration data as of 2026-05-01\n")


def install(
    folder: Path, node: str, *, plugin: str = "ipmi", first: str = "true"
) -> dict[str, str]:
    """Put a program called scontrol on a PATH of its own, which runs a line for a node."""
    program = folder / "bin" / "scontrol"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
echo "$@" >> {folder}/calls
{first}
if [ "$2" = config ]; then
    echo "AcctGatherEnergyType    = acct_gather_energy/{plugin}"
    exit
fi
{node}
"""
    )
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.defpath}", "SLURMD_NODENAME": "n1"}


def ask(slurm: SlurmPower, mono_s: float) -> dict[str, float]:
    """Let it ask, and wait for the answer."""
    reading = Reading()
    slurm.read(mono_s, reading)
    deadline_s = time.monotonic() + 60
    while slurm.is_waiting and time.monotonic() < deadline_s:
        slurm.read(mono_s, reading)
        time.sleep(0.01)
    return values(reading)


def test_slurm_is_asked_rarely_and_its_answer_counts_until_the_next(tmp_path: Path) -> None:
    environ = install(tmp_path, "echo NodeName=n1 CurrentWatts=293 AveWatts=250")
    slurm = SlurmPower(environ)
    told = [ask(slurm, mono_s).get("power/node_w") for mono_s in range(0, 1000, 10)]
    first, *others = (tmp_path / "calls").read_text().splitlines()
    assert first == "show config"
    assert others == ["--oneliner show node n1"] * len(others)
    assert 3 <= len(others) <= 4
    begin = told.index(293)
    assert begin <= PERIOD_S / 10 + 2
    assert told[begin:] == [293] * (100 - begin)


def test_an_answer_does_not_count_for_ever(tmp_path: Path) -> None:
    environ = install(tmp_path, f"test -e {tmp_path}/away && exit 1; echo CurrentWatts=293")
    slurm = SlurmPower(environ)
    told = [ask(slurm, mono_s) for mono_s in range(0, 700, 10)]
    assert told[-1] == {"power/node_w": 293}
    (tmp_path / "away").touch()
    assert ask(slurm, 700 + HOLD_S) == {}


def test_what_slurm_counts_of_processors_is_not_called_the_node(tmp_path: Path) -> None:
    script = f"""
    echo x >> {tmp_path}/joules
    echo CurrentWatts=100 ConsumedJoules=$((1000 + 30000 * $(wc -l < {tmp_path}/joules)))"""
    slurm = SlurmPower(install(tmp_path, script, plugin="rapl"))
    told = [ask(slurm, mono_s) for mono_s in range(0, 1300, 10)]
    assert {name for one in told for name in one} == {"power/cpu_w", "energy/cpu_j_total"}
    totals = [one["energy/cpu_j_total"] for one in told if "energy/cpu_j_total" in one]
    assert sorted(set(totals))[:3] == [0, 30_000, 60_000]


@pytest.mark.parametrize("plugin", ["none", "gpu"])
def test_slurm_that_does_not_measure_the_node_is_asked_once(tmp_path: Path, plugin: str) -> None:
    slurm = SlurmPower(install(tmp_path, "echo CurrentWatts=5", plugin=plugin))
    assert [ask(slurm, mono_s) for mono_s in range(0, 3000, 50)] == [{}] * 60
    assert (tmp_path / "calls").read_text() == "show config\n"


def test_a_node_that_slurm_does_not_measure_is_asked_for_once(tmp_path: Path) -> None:
    slurm = SlurmPower(install(tmp_path, "echo CurrentWatts=n/s"))
    assert [ask(slurm, mono_s) for mono_s in range(0, 3000, 50)] == [{}] * 60
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_a_program_that_hangs_is_ended_and_delays_nobody(tmp_path: Path) -> None:
    slurm = SlurmPower(install(tmp_path, "", first="exec sleep 600"))
    reading = Reading()
    waiting = []
    for mono_s in (0.0, PERIOD_S, PERIOD_S + 100, 3 * PERIOD_S):
        slurm.read(mono_s, reading)
        waiting.append(slurm.is_waiting)
    slurm.close()
    waiting.append(slurm.is_waiting)
    assert waiting == [False, True, False, True, False]
    assert reading == Reading()


def test_slurm_is_asked_only_where_nobody_else_tells_the_node(tmp_path: Path) -> None:
    environ = install(tmp_path, "echo CurrentWatts=1")
    for name in ("power-cray", "power-intel"):
        power = make(Node(tmp_path / name, name), environ)
        for mono_s in (0.0, PERIOD_S, 2 * PERIOD_S):
            read(power, mono_s)
        power.close()
    assert not (tmp_path / "calls").exists()
    assert ask(SlurmPower({}), PERIOD_S) == {}


def test_without_sys_nothing_is_said_of_the_processors(tmp_path: Path) -> None:
    (found,) = find_obstacles(KernelFiles(tmp_path))
    assert found.text == "cannot be told: /sys is not here; in a container, mount /sys"
