"""Writes the frozen store of the present format: once per version, never again.

    unshare --uts sh -c 'hostname n1; python -m tests.assets.format.make'

What is expected is computed here from what is logged, never from what is read back. A store that
was published must stay readable for ever, so the archive of a version is not made anew when the
code changes: a new version gets a new folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hpctrack.store.schema import FORMAT_VERSION
from hpctrack.store.seal import seal_run
from tests.programs import list_agents, rank_environment, wait_for
from tests.stores import NodeWriter

HERE = Path(__file__).parent
STEPS = 40
LONG = 70_000
PIXELS = [[[0, 64, 128], [255, 32, 16]], [[1, 2, 3], [4, 5, 6]]]

RANK = f"""
import math, os, sys, hpctrack, numpy as np
run = hpctrack.init("p", name="old-times-1", config={{"lr": 0.25, "net": {{"layers": [3, 4]}}}},
    tags=["a", "b"], notes="frozen", group="g", job_type="train", dir=sys.argv[1],
    settings={{"seal": "manual"}})
rank = run.rank
run.define_metric("val/*", step_metric="epoch", summary="max", goal="maximize")
print(f"hello from rank {{rank}}", flush=True)
for step in range({STEPS}):
    run.log({{"loss": rank + step / 64}}, step=step)
    if step % 10 == rank:
        run.log({{"val": {{"acc": step / 128}}, "epoch": step // 10}}, step=step)
run.log({{"odd": math.nan}}, step=3)
run.log({{"odd": math.inf}}, step=5)
run.log({{"odd": -0.5}}, step=4)
if rank == 0:
    run.log({{"picture": hpctrack.Image(np.array({PIXELS}, np.uint8), caption="four")}}, step=7)
    run.log({{"table": hpctrack.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]])}}, step=8)
    run.log({{"text": hpctrack.Text("gr\\u00fc\\u00dfe")}}, step=9)
    run.summary["best"] = 7
if len(sys.argv) > 2:
    assert run.flush(60)
    print("ready", flush=True)
    sys.stdin.readline()
run.finish(rank)
"""


def expect(ranks: range) -> dict[str, Any]:
    """Return what a reader must find of what `RANK` logs."""
    acc = {rank: list(range(rank, STEPS, 10)) for rank in ranks}
    return {
        "name": "old-times-1",
        "config": {"lr": 0.25, "net": {"layers": [3, 4]}},
        "tags": ["a", "b"],
        "notes": "frozen",
        "metrics": {
            "loss": {
                str(rank): [[step, rank + step / 64] for step in range(STEPS)] for rank in ranks
            },
            "val/acc": {str(rank): [[step, step / 128] for step in acc[rank]] for rank in ranks},
            "epoch": {str(rank): [[step, step // 10] for step in acc[rank]] for rank in ranks},
            "odd": {str(rank): [[3, "nan"], [5, "inf"], [4, -0.5]] for rank in ranks},
        },
        "best": 7,
        "console": {str(rank): f"hello from rank {rank}" for rank in ranks},
        "pixels": PIXELS,
        "table": {"columns": ["a", "b"], "data": [[1, "x"], [2.5, None]]},
        "text": "gr\u00fc\u00dfe",
    }


def write_job(store: Path, run: str) -> None:
    """Record a run of two ranks on each of two nodes."""
    for node in range(2):
        ranks = []
        for local in range(2):
            facts = rank_environment(2 * node + local, 4, run=run, node=node)
            facts |= {"LOCAL_RANK": str(local), "LOCAL_WORLD_SIZE": "2", "HPCTRACK_RUN_ID": run}
            ranks.append(start(store, facts))
        for number, rank in enumerate(ranks, start=2 * node):
            _out, errors = rank.communicate(timeout=120)
            assert rank.returncode == 0, (number, errors)
        wait_for(lambda: not list_agents(), timeout_s=60)


def write_interrupted(store: Path, run: str) -> None:
    """Record a run whose rank and agent are killed."""
    child = start(store, {"HPCTRACK_RUN_ID": run}, "stay")
    assert child.stdout
    while child.stdout.readline() not in {b"ready\n", b""}:
        pass
    os.kill(child.pid, signal.SIGSTOP)  # it would start another agent
    agents = list_agents()
    assert agents
    for pid in (*agents, child.pid):
        os.kill(pid, signal.SIGKILL)
    child.communicate()


def start(store: Path, facts: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    """Start a rank."""
    environment = {**os.environ, "USER": "alice", "LOGNAME": "alice", **facts}
    return subprocess.Popen(
        [sys.executable, "-c", RANK, str(store), *more],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def write_requeued(store: Path, run: str) -> None:
    """Record two attempts, of which the second computes steps 6 to 9 again."""
    for attempt, steps in ((1, range(10)), (2, range(6, 16))):
        writer = NodeWriter(store, run=run, attempt=attempt)
        writer.wall_s += 100 * attempt
        session = writer.start(0)
        writer.points("loss", 0, steps, [100 * attempt + step for step in steps])
        writer.end(0, session, 0 if attempt == 2 else None)
        writer.close()


def write_long(store: Path, run: str) -> None:
    """Record a series that is long enough for a pyramid, on two ranks."""
    writer = NodeWriter(store, run=run)
    sessions = [writer.start(rank, size=2, local_size=2) for rank in range(2)]
    steps = np.arange(LONG)
    values = np.stack([steps % 97 / 8, -(steps % 89) / 4])
    values[0, 12_345], values[1, 60_001] = 1000.0, np.nan
    writer.table("long", [0, 1], values, 1_000_000.0 + steps / 4)
    for rank, session in enumerate(sessions):
        writer.end(rank, session)
    writer.close()


def main() -> None:
    """Write the archive and what is expected of it."""
    folder = HERE / str(FORMAT_VERSION)
    if any(folder.glob("*.tar.gz")):
        raise SystemExit(f"{folder} is frozen; a new format needs a new version")
    with tempfile.TemporaryDirectory() as place:
        os.environ["HPCTRACK_RUNTIME_DIR"] = place
        store = Path(place) / "store"
        write_job(store, "closed")
        write_job(store, "sealed")
        write_interrupted(store, "killed")
        write_requeued(store, "again")
        write_long(store, "long")
        for run in ("sealed", "again", "long"):
            seal_run(store / "p" / run)
        time.sleep(1)
        archive = folder / "store.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=9) as tar:
            tar.add(store / "p", "p", filter=_nobody)
        expected = {
            "closed": expect(range(4)),
            "sealed": expect(range(4)),
            "killed": expect(range(1)),
        }
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        shutil.rmtree(store)


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry if entry.isdir() or entry.name.endswith(".h5") else None


if __name__ == "__main__":
    main()
