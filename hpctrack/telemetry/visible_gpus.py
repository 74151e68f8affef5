"""Which GPUs a process may use, from its ``CUDA_VISIBLE_DEVICES`` and AMD's likes. Pure.

What CUDA does with the variable, and what follows for us:

* Not set: all GPUs that the process can open. Empty, or ``NoDevFiles`` (older Slurm, for a job
  without GPUs): none.
* A list of numbers, or of UUIDs, or of slices' UUIDs; the first entry decides which. A UUID may be
  cut short as long as it is the beginning of one GPU's only. The list ends before the first entry
  that names nothing (``-1`` by habit), and where one is named twice nothing is visible at all.
* A number counts the GPUs *that the process can open*. A device cgroup (Slurm with
  ``ConstrainDevices``, LSF, containers) hides the others, from CUDA and from NVML alike: NVML
  either does not list them or refuses the handle. Slurm knows, and numbers from 0 inside the
  cgroup, and by place on the node where there is none. So the number must be looked up among the
  GPUs that we can open ourselves, in PCI order, and what we cannot open is not ours to report.
  This holds only for processes in *our* cgroup: see `hpctrack.telemetry.gpu_scope`.
* ``CUDA_DEVICE_ORDER`` says how CUDA counts: ``PCI_BUS_ID``, or ``FASTEST_FIRST``, the default, in
  which the fastest is 0 and nothing is said of the rest. If all GPUs are of one model that is PCI
  order too. If they differ, a number names we do not know which, unless all are named.
* A GPU that is divided (MIG) computes only through its slices. Named by number or UUID it stands
  for the first slice that can be opened: CUDA takes one slice per process. Slices are named
  ``MIG-<uuid>``, or by drivers before R470 ``MIG-GPU-<uuid>/<gpu instance>/<compute instance>``.
  Where a list names several slices CUDA will use one; all of them are the job's, and are reported.

What ROCm does with its three variables is another thing, see `find_visible_amd`.

References
----------
AMD, ROCm documentation, "GPU isolation techniques"; HIP documentation, "Environment variables".
NVIDIA, CUDA programming guide, "CUDA environment variables"; MIG user guide, "Device names".
NVIDIA, NVML API reference, nvmlDeviceGetHandleByIndex_v2. SchedMD, Slurm, "Generic resource
(GRES) scheduling".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hpctrack.telemetry.gpu_source import Gpu

_NUMBER = re.compile(r"[+-]?\d+")
_OLD_SLICE = re.compile(r"MIG-(GPU-[0-9A-Fa-f-]+)/(\d+)/(\d+)$")


@dataclass(frozen=True, slots=True)
class Visible:
    """What a list of visible devices comes to.

    Parameters
    ----------
    gpus : tuple of Gpu
        In the order in which CUDA numbers them.
    cut_at : str
        The entry that names nothing, at which the list ends; empty if all do.
    is_order_known : bool
        False if the GPUs differ and CUDA's numbering of them is not known: then ``gpus`` is in PCI
        order if all are visible, and else empty.
    """

    gpus: tuple[Gpu, ...] = ()
    cut_at: str = ""
    is_order_known: bool = True


def find_visible(listing: str | None, gpus: Sequence[Gpu], *, device_order: str = "") -> Visible:
    """Find the GPUs that a list of visible devices names.

    Parameters
    ----------
    listing : str or None
        ``CUDA_VISIBLE_DEVICES``; None if it is not set.
    gpus : sequence of Gpu
        All that can be opened, in PCI order, each followed by its slices.
    device_order : str
        ``CUDA_DEVICE_ORDER``.

    Returns
    -------
    Visible
    """
    whole = [gpu for gpu in gpus if not gpu.parent]
    is_known = device_order == "PCI_BUS_ID" or len({gpu.model for gpu in whole}) <= 1
    if listing is None:
        usable = tuple(gpu for gpu in gpus if not gpu.is_sliced)
        return Visible(usable, is_order_known=is_known)
    entries = [entry.strip() for entry in listing.split(",")]
    if _NUMBER.match(entries[0]):
        found = _look_up(entries, _NUMBER.match, lambda entry: _by_number(entry, whole, gpus))
        if is_known or not found.gpus or len(found.gpus) == len(whole):
            in_pci_order = tuple(gpu for gpu in gpus if gpu in found.gpus)
            return Visible(found.gpus if is_known else in_pci_order, found.cut_at, is_known)
        return Visible((), found.cut_at, is_order_known=False)
    if entries[0].startswith("MIG-"):
        return _look_up(entries, _starts("MIG-"), lambda entry: _by_slice(entry, gpus))
    return _look_up(entries, _starts("GPU-"), lambda entry: _by_uuid(entry, whole, gpus))


def pick_lists(told: Mapping[str, object]) -> tuple[str | None, str | None, str | None]:
    """Return the lists of CUDA, ROCr and HIP among variables, None for what is not set."""
    cuda, rocr, hip = (
        None if told.get(f"{one}_VISIBLE_DEVICES") is None else str(told[f"{one}_VISIBLE_DEVICES"])
        for one in ("CUDA", "ROCR", "HIP")
    )
    return cuda, rocr, hip


def combine_hip(hip: str | None, cuda: str | None) -> str | None:
    """Return the list that HIP goes by: its own, else CUDA's, which it takes for the same.

    Parameters
    ----------
    hip, cuda : str or None
        ``HIP_VISIBLE_DEVICES`` and ``CUDA_VISIBLE_DEVICES``; None if not set.
    """
    return hip if hip or cuda is None else cuda


def find_visible_amd(rocr: str | None, hip: str | None, gpus: Sequence[Gpu]) -> Visible:
    """Find the AMD GPUs that a process may use.

    Parameters
    ----------
    rocr : str or None
        ``ROCR_VISIBLE_DEVICES``: what the runtime below HIP shows at all.
    hip : str or None
        Of `combine_hip`: counts in *that* list, not on the node.
    gpus : sequence of Gpu
        All that can be opened, as ROCm counts them.

    Returns
    -------
    Visible

    Notes
    -----
    Numbers and UUIDs may stand side by side. Empty is none, for PyTorch and for whoever wrote it;
    HIP itself takes an empty list of its own for none given.
    """
    below = Visible(tuple(gpus)) if rocr is None else _look_up_amd(rocr, gpus)
    if hip is None:
        return below
    found = _look_up_amd(hip, below.gpus)
    return Visible(found.gpus, below.cut_at or found.cut_at)


def _look_up_amd(listing: str, gpus: Sequence[Gpu]) -> Visible:
    def find(entry: str) -> Gpu | None:
        return _by_uuid(entry, gpus, gpus) if entry[:4] == "GPU-" else _by_number(entry, gpus, gpus)

    # What is named twice counts once.
    return _look_up(list(dict.fromkeys(one.strip() for one in listing.split(","))), bool, find)


def _starts(prefix: str) -> Callable[[str], bool]:
    return lambda entry: entry.startswith(prefix)


def _look_up(
    entries: Sequence[str], is_kind: Callable[[str], object], find: Callable[[str], Gpu | None]
) -> Visible:
    found: list[Gpu] = []
    for entry in entries:
        gpu = find(entry) if is_kind(entry) else None
        if gpu is None:
            return Visible(tuple(found), entry)
        if gpu in found:
            return Visible((), entry)
        found.append(gpu)
    return Visible(tuple(found))


def _by_number(entry: str, whole: Sequence[Gpu], gpus: Sequence[Gpu]) -> Gpu | None:
    # CUDA reads the digits that an entry begins with and nothing behind them.
    matched = _NUMBER.match(entry)
    number = int(matched[0]) if matched else -1
    return _find_usable(whole[number], gpus) if 0 <= number < len(whole) else None


def _by_uuid(entry: str, whole: Sequence[Gpu], gpus: Sequence[Gpu]) -> Gpu | None:
    named = [gpu for gpu in whole if _is_named(gpu, entry)]
    return _find_usable(named[0], gpus) if len(named) == 1 else None


def _by_slice(entry: str, gpus: Sequence[Gpu]) -> Gpu | None:
    slices = [gpu for gpu in gpus if gpu.parent]
    old = _OLD_SLICE.match(entry)
    if old:
        numbers = (int(old[2]), int(old[3]))
        slices = [gpu for gpu in slices if (gpu.instance, gpu.compute_instance) == numbers]
        named = [gpu for gpu in slices if gpu.parent.startswith(old[1])]
    else:
        named = [gpu for gpu in slices if _is_named(gpu, entry)]
    return named[0] if len(named) == 1 else None


def _is_named(gpu: Gpu, entry: str) -> bool:
    return any(name.startswith(entry) for name in (gpu.uuid, *gpu.aliases))


def _find_usable(gpu: Gpu, gpus: Sequence[Gpu]) -> Gpu | None:
    if not gpu.is_sliced:
        return gpu
    return next((one for one in gpus if one.parent == gpu.uuid), None)
