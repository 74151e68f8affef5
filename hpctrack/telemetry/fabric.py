"""Ports of the fast network: InfiniBand, Omni-Path, RoCE."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hpctrack.core.clock import Clock
from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle, find_missing_sys
from hpctrack.telemetry.reading import Device, Happening, Reading, Sample, Watch
from hpctrack.telemetry.rota import Rota

ROOT = "sys/class/infiniband"

DETAILS_PERIOD_S = 10.0
DETAILS_SHARE = 0.001
"""Of a core, for all ports: adapters are asked for each counter by a message to their firmware."""

DATA_UNIT_BYTES = 4
"""``port_xmit_data`` and ``port_rcv_data`` count words of four bytes (InfiniBand specification)."""

FLIT_BYTES = 8
"""The driver hfi1 (Omni-Path) puts its flits there as they are, of eight bytes each."""

TRAFFIC = (
    ("port_xmit_data", "sent_bytes"),
    ("port_rcv_data", "received_bytes"),
    ("port_xmit_packets", "sent_packets"),
    ("port_rcv_packets", "received_packets"),
)

ERRORS = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
    "VL15_dropped",
)
"""Signs of a bad cable or port. Discarded packets (``port_xmit_discards``) are told apart: they
come from congestion too."""

NARROW = (2**16 - 1, 2**32 - 1)
"""Where counters of old adapters stop: then they say nothing any more."""

RATE = re.compile(r"([\d.]+) Gb/sec")


@dataclass(slots=True)
class Port:
    """What is remembered of one port.

    Parameters
    ----------
    folder : str
    key : str
        ``mlx5_0:1``.
    unit_bytes : int
        What its data counters count in.
    state : str
        ``ACTIVE`` and the like, when last looked at.
    errors : int or None
        Their sum, when last looked at.
    told : set of str
        Happenings that were told.
    """

    folder: str
    key: str
    unit_bytes: int
    state: str = ""
    errors: int | None = None
    told: set[str] = field(default_factory=set)


def parse_state(text: str) -> str:
    """Return the state of a port, of ``4: ACTIVE``."""
    return text.partition(":")[2].strip()


def parse_link_rate(text: str) -> float | None:
    """Return the bits per second of a link, of ``200 Gb/sec (4X HDR)``."""
    match = RATE.search(text)
    return float(match[1]) * 1e9 if match else None


class Fabric:
    """Reads the ports of the fast network; all jobs' use of them.

    Parameters
    ----------
    files : KernelFiles
    clock : Clock
        Measures what dear readings cost.
    """

    subject = "fabric"

    def __init__(self, files: KernelFiles, *, clock: Clock) -> None:
        self._files = files
        self._rates = Rates()
        self._rota = Rota(DETAILS_PERIOD_S, share=DETAILS_SHARE, clock=clock)
        self._ports: dict[str, Port] = {}

    def read(self, watch: Watch, into: Reading) -> None:
        """Add the use of the ports to a reading."""
        self._find_ports()
        for key in self._rota.turns(self._ports, watch.mono_s):
            self._read_details(self._ports[key], into)
        for port in self._ports.values():
            if port.state == "ACTIVE":
                self._read_traffic(port, watch.mono_s, into.samples)

    def _find_ports(self) -> None:
        for adapter in self._files.names(ROOT):
            for number in self._files.names(f"{ROOT}/{adapter}/ports"):
                key = f"{adapter}:{number}"
                if key not in self._ports:
                    unit = FLIT_BYTES if adapter.startswith("hfi1") else DATA_UNIT_BYTES
                    folder = f"{ROOT}/{adapter}/ports/{number}"
                    self._ports[key] = Port(folder, key, unit)

    def _read_traffic(self, port: Port, mono_s: float, samples: list[Sample]) -> None:
        for name, what in TRAFFIC:
            count = self._files.number(f"{port.folder}/counters/{name}")
            if count is None or count in NARROW:
                continue
            amount = count * port.unit_bytes if what.endswith("bytes") else count
            rate = self._rates.rate((port.key, name), amount, mono_s)
            if rate is not None:
                samples.append(Sample(f"fabric/{what}_per_s", rate, port.key))

    def _read_details(self, port: Port, into: Reading) -> None:
        state = parse_state(self._files.peek(f"{port.folder}/state") or "")
        before, port.state = port.state, state
        if not before:
            into.devices.append(self._describe(port))
        link = parse_link_rate(self._files.peek(f"{port.folder}/rate") or "")
        if state == "ACTIVE" and link is not None:
            into.samples.append(Sample("fabric/link_bits_per_s", link, port.key))
        if before == "ACTIVE" and state not in {"ACTIVE", ""}:
            text = f"the network port {port.key} went from ACTIVE to {state}"
            into.happenings.append(Happening("error", "fabric-link-down", text, port.key))
        self._read_errors(port, into)

    def _read_errors(self, port: Port, into: Reading) -> None:
        counts = {
            name: count
            for name in ERRORS
            if (count := self._files.number(f"{port.folder}/counters/{name}")) is not None
        }
        if not counts:
            return
        total = sum(counts.values())
        into.samples.append(Sample("fabric/errors_total", total, port.key))
        discards = self._files.number(f"{port.folder}/counters/port_xmit_discards")
        if discards is not None:
            into.samples.append(Sample("fabric/discards_total", discards, port.key))
        before, port.errors = port.errors, total
        if before is not None and total > before and "errors" not in port.told:
            port.told.add("errors")
            worst = max(counts, key=lambda name: counts[name])
            text = (
                f"the network port {port.key} counts errors (mostly {worst}): "
                "a cable or port may be bad; tell the cluster's administrators"
            )
            into.happenings.append(Happening("warning", "fabric-errors", text, port.key))

    def _describe(self, port: Port) -> Device:
        adapter = port.key.partition(":")[0]
        facts: dict[str, object] = {}
        for fact, name in (
            ("link_layer", f"{port.folder}/link_layer"),
            ("link_rate", f"{port.folder}/rate"),
            ("adapter", f"{ROOT}/{adapter}/hca_type"),
            ("board", f"{ROOT}/{adapter}/board_id"),
            ("firmware", f"{ROOT}/{adapter}/fw_ver"),
        ):
            text = (self._files.peek(name) or "").strip()
            if text:
                facts[fact] = text
        node = self._files.number(f"{ROOT}/{adapter}/device/numa_node")
        if node is not None and node >= 0:
            facts["numa_node"] = node
        name = f"{adapter} port {port.key.partition(':')[2]}"
        return Device(kind="fabric", key=port.key, name=name, facts=facts)


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the fast network cannot be read."""
    missing = find_missing_sys(files, "fabric")
    if missing:
        return [missing]
    why = files.why(ROOT)
    if why == "not there":
        return [Obstacle("fabric", "no InfiniBand or Omni-Path adapter here")]
    if why:
        return [Obstacle("fabric", f"/{ROOT}: {why}", "in a container, mount /sys")]
    return [
        Obstacle(
            "fabric",
            f"the adapter {adapter} tells no traffic (no counters/port_xmit_data)",
            "in a container, mount the host's /sys; a virtual function may have none",
        )
        for adapter in files.names(ROOT)
        for number in files.names(f"{ROOT}/{adapter}/ports")
        if files.number(f"{ROOT}/{adapter}/ports/{number}/counters/port_xmit_data") is None
    ]
