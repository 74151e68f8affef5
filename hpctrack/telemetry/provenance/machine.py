"""The node: processors, memory, kernel, operating system, GPUs and their driver."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hpctrack.telemetry.provenance.files import first_text, list_names, read_text

_ARM_MAKERS = {
    "0x41": "ARM", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon",
    "0x4e": "NVIDIA", "0x51": "Qualcomm", "0x61": "Apple", "0xc0": "Ampere",
}  # fmt: skip
_ARM_PARTS = {
    ("0x41", "0xd0c"): "Neoverse-N1", ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2", ("0x41", "0xd4f"): "Neoverse-V2 (Grace)",
    ("0x46", "0x001"): "A64FX", ("0x43", "0x0af"): "ThunderX2", ("0x48", "0xd01"): "Kunpeng-920",
}  # fmt: skip


def read_machine(root: Path = Path("/"), files: Path | None = None) -> dict[str, Any]:
    """Return what a node is made of; what cannot be read is left out.

    Parameters
    ----------
    root : Path, optional
        Where /proc and /sys are.
    files : Path, optional
        Where the program's files are, as the operating system that it sees; default ``root``.
    """
    facts = {
        "host": (read_text(root / "proc/sys/kernel/hostname") or "").strip(),
        "architecture": os.uname().machine,
        "kernel": (read_text(root / "proc/sys/kernel/osrelease") or "").strip(),
        "os": _os_name(files or root),
        **parse_cpuinfo(read_text(root / "proc/cpuinfo") or ""),
        "memory_bytes": _memory_bytes(read_text(root / "proc/meminfo") or ""),
        **_read_gpus(root),
    }
    return {key: value for key, value in facts.items() if value}


def parse_cpuinfo(text: str) -> dict[str, Any]:
    """Return model and numbers of processors from ``/proc/cpuinfo``, of x86, ARM and POWER."""
    fields: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _colon, value = line.partition(":")
        fields.setdefault(key.strip(), []).append(value.strip())
    sockets = set(fields.get("physical id", ()))
    cores = set(zip(fields.get("physical id", ()), fields.get("core id", ()), strict=False))
    return {
        "cpu_model": _cpu_model(fields),
        "cpus": len(fields.get("processor", ())),
        "cores": len(cores),
        "sockets": len(sockets),
    }


def _cpu_model(fields: dict[str, list[str]]) -> str:
    for key in ("model name", "cpu"):
        if key in fields:
            return re.sub(r"\s+", " ", fields[key][0])
    maker = fields.get("CPU implementer", [""])[0]
    part = fields.get("CPU part", [""])[0]
    if not maker:
        return ""
    return " ".join(
        filter(None, [_ARM_MAKERS.get(maker, maker), _ARM_PARTS.get((maker, part), part)])
    )


def _memory_bytes(text: str) -> int:
    found = re.search(r"(?m)^MemTotal:\s*(\d+) kB", text)
    return int(found[1]) * 1024 if found else 0


def _os_name(files: Path) -> str:
    text = first_text([files / "etc/os-release", files / "usr/lib/os-release"])
    found = re.search(r"(?m)^PRETTY_NAME=[\"']?(.*?)[\"']?$", text)
    return found[1] if found else ""


def _read_gpus(root: Path) -> dict[str, Any]:
    """Return models and driver as the kernel's modules tell them: no library is asked."""
    driver = re.search(
        r"NVRM version:.*?Kernel Module(?: for \S+)?\s+(\d[\d.]+)",
        read_text(root / "proc/driver/nvidia/version") or "",
    )
    folder = root / "proc/driver/nvidia/gpus"
    texts = [read_text(folder / one / "information") or "" for one in list_names(folder)]
    models = [
        found[1] for found in (re.search(r"(?m)^Model:\s*(.*?)\s*$", one) for one in texts) if found
    ]
    amd = (read_text(root / "sys/module/amdgpu/version") or "").strip()
    return {
        "gpus": models,
        "nvidia_driver": driver[1] if driver else "",
        "amdgpu_driver": amd,
    }
