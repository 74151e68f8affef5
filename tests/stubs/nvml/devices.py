"""What the stub's devices answer, in the stub's own words: see ``stub.c``."""

from __future__ import annotations

from collections.abc import Mapping

H100 = "NVIDIA H100 80GB HBM3"
A100 = "NVIDIA A100-SXM4-80GB"
V100 = "Tesla V100-SXM2-32GB"

GIB = 1024**3


def make_uuid(index: int) -> str:
    """Return the UUID of a device; each begins otherwise."""
    return f"GPU-{index:x}a8f932f-d72c-4106-c12f-20bd9faed9f6"


def make_slice_uuid(index: int, place: int) -> str:
    return f"MIG-{index:x}{place:x}e0b7c1-5175-50ef-8452-d6abb13cb1d2"


def prefixed(prefix: str, answers: Mapping[str, object]) -> dict[str, str]:
    return {f"{prefix}.{key}": str(value) for key, value in answers.items()}


def describe(index: int, name: str, capability: str) -> dict[str, object]:
    return {
        "uuid": make_uuid(index),
        "name": name,
        "bus": f"00000000:{0x18 + index:02X}:00.0",
        "minor": index,
        "capability": capability,
        "pcie_generation": 5,
        "pcie_width": 16,
        "power_limit_mw": 700_000,
    }


def h100(index: int) -> dict[str, str]:
    """A board as an HGX node has eight of: no fan, counters of performance, links."""
    answers: dict[str, object] = {
        **describe(index, H100, "9.0"),
        "util": "87 41",
        "encoder": 0,
        "decoder": 0,
        "memory": f"{40 * GIB} {600 * 1024**2} {80 * GIB}",
        "power_mw": 512_345,
        "temp": 61,
        "clock.1": 1755,
        "clock.2": 2619,
        "clock_max.1": 1980,
        "clock_max.2": 2619,
        "reasons": 0x4,
        "pcie_replays": 0,
        "events": 0x1F,
        "compute": "",
        "graphics": "",
        "mps": "",
        "shares": "",
        "field.82": "ui:70",
        "field.83": 1_000_000,
        "field.185": "ui:512345",
        "field.186": "ui:603210",
        "field.138": 1000,
        "field.139": 1000,
        **{f"field.{number}": 0 for number in (3, 4, 5, 6, 142, 143, 144, 145)},
        "gpm": 1,
        "gpm.1": 87.5,
        "gpm.2": 71.25,
        "gpm.3": 33.0,
        "gpm.5": 52.0,
        "gpm.10": 64.0,
        "gpm.11": 0.0,
        "gpm.12": 8.0,
        "gpm.13": 2.0,
        "gpm.20": 100.0,
        "gpm.21": 200.0,
        "gpm.60": 300.0,
        "gpm.61": 400.0,
    }
    return prefixed(f"gpu.{index}", answers)


def v100(index: int) -> dict[str, str]:
    """An older board: pages are retired, nothing says how busy its tensor cores are."""
    answers: dict[str, object] = {
        **describe(index, V100, "7.0"),
        "util": "55 20",
        "encoder": 3,
        "decoder": 4,
        "memory": f"{10 * GIB} {300 * 1024**2} {32 * GIB}",
        "power_mw": 250_000,
        "temp": 55,
        "clock.1": 1380,
        "clock.2": 877,
        "clock_max.1": 1530,
        "clock_max.2": 877,
        "reasons": 0,
        "pcie_replays": 7,
        "pcie_kb.0": 1000,
        "pcie_kb.1": 2000,
        "compute": "",
        "graphics": "",
        "shares": "",
        "events": 0,
        "fan": 35,
        "field.83": 5_000_000,
        "field.186": "ui:260000",
        "field.29": 2,
        "field.30": 1,
        "field.31": 0,
        **{f"field.{number}": 0 for number in (3, 4, 5, 6)},
    }
    return prefixed(f"gpu.{index}", answers)


def sliced(index: int, names: tuple[str, ...], *, has_gpm: bool = True) -> dict[str, str]:
    """A board that is divided (MIG): each slice is an instance of its own."""
    found = h100(index) if has_gpm else v100(index)
    # In this mode a driver refuses what it cannot tell of the whole.
    for key in ("util", "encoder", "decoder", "shares"):
        found.pop(f"gpu.{index}.{key}", None)
    found |= prefixed(f"gpu.{index}", {"mig_mode": 1, "compute": "!4", "memory": "!4"})
    for place, name in enumerate(names):
        compute, _, gigabytes = name.rpartition("g.")[0], "", name.rpartition(".")[2]
        found |= prefixed(
            f"gpu.{index}.mig.{place}",
            {
                "uuid": make_slice_uuid(index, place),
                "name": f"{H100} MIG {name}",
                "instance": place + 7,
                "compute_instance": 0,
                "attributes": f"16 {compute[-1]} {compute[0]} {int(gigabytes[:-2]) * 1024}",
                "memory": f"{3 * GIB} {20 * 1024**2} {10 * GIB}",
                "compute": "",
                "graphics": "",
                "mps": "",
            },
        )
        found |= prefixed(
            f"gpu.{index}.gi.{place + 7}", {"gpm.1": 40.0, "gpm.2": 20.0 + place, "gpm.10": 10.0}
        )
    return found
