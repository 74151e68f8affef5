"""The node's NUMA nodes, cores and devices: what lies next to what."""

from __future__ import annotations

from dataclasses import dataclass, field

from hpctrack.telemetry.kernel_files import KernelFiles, format_cpu_list, parse_cpu_list

NODES = "sys/devices/system/node"
CPUS = "sys/devices/system/cpu"


@dataclass(frozen=True, slots=True)
class Topology:
    """Where cores are.

    Parameters
    ----------
    nodes : dict
        The cores of each NUMA node; empty where the kernel does not tell.
    siblings : dict
        For each core (a hardware thread, what the kernel numbers) those of the same physical
        core, itself too.
    """

    nodes: dict[int, frozenset[int]] = field(default_factory=dict)
    siblings: dict[int, frozenset[int]] = field(default_factory=dict)

    def nodes_of(self, cores: frozenset[int]) -> frozenset[int]:
        """Return the NUMA nodes that have some of these cores."""
        return frozenset(node for node, own in self.nodes.items() if own & cores)

    def physical(self, cores: frozenset[int]) -> int:
        """Return how many physical cores these are, or are a part of."""
        return len({self.siblings.get(core, frozenset((core,))) for core in cores})


def read_topology(files: KernelFiles) -> Topology:
    """Return where the cores of this node are."""
    nodes = {}
    for name in files.names(NODES):
        if name.startswith("node") and name[4:].isdecimal():
            nodes[int(name[4:])] = parse_cpu_list(files.peek(f"{NODES}/{name}/cpulist") or "")
    siblings = {}
    for core in parse_cpu_list(files.peek(f"{CPUS}/online") or ""):
        folder = f"{CPUS}/cpu{core}/topology"
        text = files.peek(f"{folder}/core_cpus_list") or files.peek(
            f"{folder}/thread_siblings_list"
        )
        siblings[core] = parse_cpu_list(text or "") or frozenset((core,))
    return Topology(nodes, siblings)


def read_pci_node(files: KernelFiles, address: str) -> int | None:
    """Return the NUMA node that a PCI device is attached to, or None if it is not told.

    Parameters
    ----------
    address : str
        ``0000:17:00.0``; NVML's form with eight digits of domain, ``00000000:17:00.0``, too.
    """
    domain, colon, rest = address.lower().partition(":")
    domain = domain[-4:] if len(domain) > 4 and not domain[:-4].strip("0") else domain  # noqa: PLR2004
    number = files.number(f"sys/bus/pci/devices/{domain}{colon}{rest}/numa_node")
    return number if number is not None and number >= 0 else None  # -1: not told


def describe_cores(cores: frozenset[int]) -> str:
    """Return ``core 3`` or ``cores 0-15,32`` for people."""
    return f"core{'s' * (len(cores) != 1)} {format_cpu_list(cores)}"
