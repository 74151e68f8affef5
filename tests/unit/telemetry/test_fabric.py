"""Ports of the fast network."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.telemetry.fabric import Fabric, find_obstacles, parse_link_rate, parse_state
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Reading
from tests.nodes import FREE, Node, codes, values, watch

PORT = "sys/class/infiniband/mlx5_0/ports/1"


def read(fabric: Fabric, mono_s: float) -> Reading:
    reading = Reading()
    fabric.read(watch(mono_s), reading)
    return reading


def test_traffic_is_in_bytes_whatever_the_adapter_counts_in(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    fabric = Fabric(node.files, clock=FREE)
    first = read(fabric, 0.0)
    facts = {one.key: one.facts for one in first.devices}
    assert set(facts) == {"mlx5_0:1", "mlx5_1:1", "hfi1_0:1"}
    assert facts["mlx5_0:1"] == {
        "link_layer": "InfiniBand",
        "link_rate": "200 Gb/sec (4X HDR)",
        "adapter": "MT4123",
        "board": "MT_0000000223",
        "firmware": "20.35.1012",
        "numa_node": 1,
    }
    assert values(first) == {
        "fabric/link_bits_per_s mlx5_0:1": 200e9,
        "fabric/link_bits_per_s hfi1_0:1": 100e9,
        "fabric/errors_total mlx5_0:1": 1,
        "fabric/discards_total mlx5_0:1": 7,
    }
    for adapter in ("mlx5_0", "hfi1_0"):
        name = f"sys/class/infiniband/{adapter}/ports/1/counters/port_xmit_data"
        node.write(name, 1_000_000 + 500)
    second = values(read(fabric, 2.0))
    assert second["fabric/sent_bytes_per_s mlx5_0:1"] == 1000  # words of four bytes
    assert second["fabric/sent_bytes_per_s hfi1_0:1"] == 2000  # flits of eight
    assert second["fabric/received_packets_per_s mlx5_0:1"] == 0


def test_a_counter_that_stopped_at_its_end_is_not_told_as_no_traffic(tmp_path: Path) -> None:
    fabric = Fabric(Node(tmp_path, "storage").files, clock=FREE)
    read(fabric, 0.0)
    assert "fabric/received_bytes_per_s hfi1_0:1" not in values(read(fabric, 1.0))


def test_a_port_that_is_down_tells_nothing_and_one_that_goes_down_is_told(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    fabric = Fabric(node.files, clock=FREE)
    read(fabric, 0.0)
    assert not [name for name in values(read(fabric, 1.0)) if "mlx5_1" in name]
    node.write(f"{PORT}/state", "1: DOWN\n")
    (event,) = read(fabric, 20.0).happenings
    assert (event.level, event.code, event.device) == ("error", "fabric-link-down", "mlx5_0:1")
    later = read(fabric, 40.0)
    assert later.happenings == []
    assert "fabric/sent_bytes_per_s mlx5_0:1" not in values(later)


def test_errors_that_grow_are_told_once(tmp_path: Path) -> None:
    node = Node(tmp_path, "storage")
    fabric = Fabric(node.files, clock=FREE)
    happenings = []
    for turn, errors in enumerate((0, 0, 30, 60)):
        node.write(f"{PORT}/counters/symbol_error", errors)
        happenings += read(fabric, turn * 20.0).happenings
    assert codes(happenings) == ["fabric-errors"]
    assert "symbol_error" in happenings[0].text


@pytest.mark.parametrize(
    ("text", "rate"),
    [("2.5 Gb/sec (1X SDR)", 2.5e9), ("400 Gb/sec (4X NDR)\n", 400e9), ("", None), ("x", None)],
)
def test_link_rate(text: str, rate: float | None) -> None:
    assert parse_link_rate(text) == rate
    assert parse_state("4: ACTIVE\n") == "ACTIVE"
    assert not parse_state("")


def test_obstacles(tmp_path: Path) -> None:
    (unseen,) = find_obstacles(KernelFiles(tmp_path))
    assert unseen.why == "cannot be told: /sys is not here"
    (tmp_path / "sys/class").mkdir(parents=True)
    assert "no InfiniBand" in find_obstacles(KernelFiles(tmp_path))[0].text
    node = Node(tmp_path, "storage")
    assert find_obstacles(node.files) == []
    (node.root / "sys/class/infiniband/mlx5_1/ports/1/counters/port_xmit_data").unlink()
    assert "mlx5_1" in find_obstacles(node.files)[0].why


def test_a_node_without_one(tmp_path: Path) -> None:
    assert read(Fabric(KernelFiles(tmp_path), clock=FREE), 0.0) == Reading()
