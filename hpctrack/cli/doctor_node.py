"""What of this node telemetry can read, and what stands in the way; a part of ``doctor``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from hpctrack.scheduler.commands import ask_scontrol, read_job_facts
from hpctrack.telemetry.amd import AmdSource
from hpctrack.telemetry.gpu_scope import find_scope
from hpctrack.telemetry.gpu_source import DriverAbsentError, GpuSource
from hpctrack.telemetry.host import HostSource, describe_obstacles
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.nvml import NvmlSource
from hpctrack.telemetry.reading import Watch, WatchedRank
from hpctrack.telemetry.visible_gpus import pick_lists


class NodeFinding(NamedTuple):
    """One line.

    Parameters
    ----------
    level : str
        ok, note or bad, as in ``doctor``.
    what, text : str
    """

    level: str
    what: str
    text: str


def check_gpus(environ: Mapping[str, str]) -> Iterator[NodeFinding]:
    """Tell which GPUs can be read and would be recorded, or why none."""
    for source, vendor in ((NvmlSource(), "NVIDIA"), (AmdSource(), "AMD")):
        yield from _check_driver(source, vendor, environ)


def _check_driver(
    source: GpuSource, vendor: str, environ: Mapping[str, str]
) -> Iterator[NodeFinding]:
    try:
        source.open()
        gpus = source.list_gpus()
    except DriverAbsentError as error:
        if error.level is not None:
            yield NodeFinding("bad" if error.level == "error" else "note", "gpu", error.text)
        return
    finally:
        source.close()
    if not gpus:
        yield NodeFinding("note", "gpu", f"{vendor}: the driver is here, but no GPU for us")
    me = WatchedRank(os.getpid(), 0, *pick_lists(environ))
    scope = find_scope(
        [me], gpus, environ=environ, files=KernelFiles(Path("/")), vendor=source.vendor
    )
    kinds = ("CUDA", "ROCR", "HIP") if source.vendor == "amd" else ("CUDA",)
    names = [f"{kind}_VISIBLE_DEVICES" for kind in kinds]
    lists = ", ".join(f"{name}={environ[name]}" for name in names if name in environ)
    for gpu in gpus:
        told = f"{gpu.name} ({gpu.uuid})"
        if gpu in scope.gpus:
            yield NodeFinding("ok", "gpu", f"{told}: would be recorded here")
        else:
            why = f": {lists}" if lists else ""
            yield NodeFinding("note", "gpu", f"{told}: would not be recorded here{why}")
    for happening in scope.happenings:
        yield NodeFinding("note", "gpu", happening.text)


def check_host() -> Iterator[NodeFinding]:
    """Read the node once, and say what could be read and what not."""
    source = HostSource()
    me = (WatchedRank(os.getpid(), 0),)
    try:
        reading = source.read(Watch(0.0, 0.0, me))
        later = source.read(Watch(1.0, 1.0, me))
    finally:
        source.close()
    subjects: dict[str, int] = {}
    for sample in {(one.name, one.device) for one in reading.samples + later.samples}:
        subject = sample[0].partition("/")[0]
        subjects[subject] = subjects.get(subject, 0) + 1
    told = ", ".join(f"{name} {count}" for name, count in sorted(subjects.items()))
    yield NodeFinding("ok" if told else "bad", "telemetry", f"can be read: {told or 'nothing'}")
    for happening in reading.happenings:
        yield NodeFinding("note", "telemetry", happening.text)
    for obstacle in describe_obstacles():
        level = "note" if obstacle.remedy else "ok"
        yield NodeFinding(level, obstacle.subject, obstacle.text)


def check_scheduler(environ: Mapping[str, str]) -> Iterator[NodeFinding]:
    """Tell what is known of the job, if this is one."""
    facts = read_job_facts(environ)
    if facts is None:
        yield NodeFinding("ok", "job", "this is no job of a scheduler that we know")
        return
    told = ", ".join(f"{key} {one}" for key, one in islice(facts.to_json().items(), 8))
    yield NodeFinding("ok", "job", told)
    if facts.scheduler == "slurm" and facts.job_id.isdigit():
        yield from _check_scontrol(facts.job_id, environ)


def _check_scontrol(job_id: str, environ: Mapping[str, str]) -> Iterator[NodeFinding]:
    """Tell whether Slurm answers from here, and what is not known if it does not."""
    lacking = "time limit, comment and TRES are known only as far as variables tell"
    if shutil.which("scontrol", path=environ.get("PATH", "")) is None:
        text = f"there is no scontrol here: {lacking}; put Slurm's commands on the PATH"
        yield NodeFinding("note", "scontrol", text)
    elif ask_scontrol(job_id, environ) is None:
        text = f"does not answer for job {job_id}: {lacking}; try `scontrol show job {job_id}`"
        yield NodeFinding("note", "scontrol", text)
