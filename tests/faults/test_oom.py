"""A rank that the kernel kills for want of memory, in a real control group."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hpctrack.telemetry.cgroups import parse_mounts
from hpctrack.telemetry.job_cgroup import CgroupReader
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.reading import Happening, Reading
from tests.nodes import values, watch

pytestmark = pytest.mark.faults

LIMIT_BYTES = 128 * 2**20


class Job:
    """A cgroup like one of Slurm's, with a limit, and processes in it."""

    def __init__(self) -> None:
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
        v1 = [one for one in mounts if one.kind == "cgroup" and "memory" in one.options]
        mount = (v1 or [one for one in mounts if one.kind == "cgroup2"])[0]
        name = f"slurm_{secrets.token_hex(4)}"
        job = "uid_0/job_7" if v1 else "job_7"
        self._top = Path(mount.point) / (name if v1 else f"{name}_slurmstepd.scope")
        self._leaf = self._top / job / "step_0" / "task_0"
        self._leaf.mkdir(parents=True)
        if not v1:
            (self._top.parent / "cgroup.subtree_control").write_text("+memory")
            (self._top / "cgroup.subtree_control").write_text("+memory")
        limit = "memory.limit_in_bytes" if v1 else "memory.max"
        (self._top / job / limit).write_text(str(LIMIT_BYTES))
        self._children: list[subprocess.Popen[str]] = []

    def start(self, script: str) -> subprocess.Popen[str]:
        """Start a program in the cgroup, which says a line when it is there."""
        moved = f"open({str(self._leaf / 'cgroup.procs')!r}, 'w').write('0')\n"
        command = [sys.executable, "-c", moved + script]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._children.append(child)
        return child

    def close(self) -> None:
        """End everything and remove the cgroup, which may take the kernel a moment."""
        for child in self._children:
            child.kill()
            child.communicate()
        deadline_s = time.monotonic() + 30
        while self._top.exists() and time.monotonic() < deadline_s:
            for folder, _folders, _files in os.walk(self._top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
            time.sleep(0.02)


@pytest.fixture
def job() -> Iterator[Job]:
    one = Job()
    yield one
    one.close()


def test_a_kill_at_the_limit_is_told_with_the_limit(job: Job) -> None:
    rank = job.start("print(1, flush=True)\nimport time\ntime.sleep(600)")
    assert rank.stdout
    assert rank.stdout.readline()
    reader = CgroupReader(KernelFiles())
    first = Reading()
    reader.read(watch(0.0, rank.pid), first)
    assert values(first)["cgroup/memory_limit_bytes"] == LIMIT_BYTES
    assert 0 < values(first)["cgroup/memory_used_frac"] < 1
    assert first.happenings == []

    assert job.start(f"bytearray({4 * LIMIT_BYTES})").wait(timeout=180) == -9
    told: list[Happening] = []
    deadline_s = time.monotonic() + 60
    while not told and time.monotonic() < deadline_s:
        reading = Reading()
        reader.read(watch(time.monotonic(), rank.pid), reading)
        told += reading.happenings
        time.sleep(0.02)
    (event,) = told
    assert (event.level, event.code) == ("error", "oom-kill")
    assert "the limit of 0.125 GiB was reached" in event.text
