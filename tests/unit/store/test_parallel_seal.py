"""Several processes of an MPI job seal one run, or many runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from hpctrack.errors import StoreError, UsageError
from hpctrack.store.parallel_seal import divide, seal_together
from hpctrack.store.placement import SourceGroups, make_plan
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.world import World, join_world
from tests.stores import NodeWriter, write_run

HPCTRACK = "from hpctrack.cli.main import main; main()"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def mpirun(program: Callable[[str], str], tmp_path: Path) -> Run:
    """Return a function that runs a program on three ranks."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("mpiexec"), "-n", "3", sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
        )

    return run


def write_job(store: Path, *, run: str = "r", nodes: int = 3) -> Path:
    """Write a job with metrics that share steps, one that does not, and bytes."""
    folder = Path()
    for node in range(nodes):
        writer = NodeWriter(store, run=run, node=node)
        for rank in range(2 * node, 2 * node + 2):
            session = writer.start(rank, size=2 * nodes)
            for step in range(20):
                for metric in ("acc", "loss", "lr"):
                    writer.points(metric, rank, [step], [rank + step / 100 + len(metric)])
            writer.points(f"own/{rank}", rank, [5, 3, 4], [1, 2, 3])
            writer.end(rank, session)
        folder = writer.close().parent
    return folder


def facts(folder: Path) -> dict[str, object]:
    run = StoredRun(folder)
    columns = {
        name: [getattr(one, key).tolist() for key in one.__slots__]
        for name, one in run.columns().items()
    }
    found = {"columns": columns, "record": run.record}
    run.close()
    return found


@pytest.mark.mpi
def test_three_processes_seal_a_run_as_one_does(tmp_path: Path, mpirun: Run) -> None:
    one, three = write_job(tmp_path / "one"), write_job(tmp_path / "three")
    before = facts(three)
    seal_run(one)
    done = mpirun(HPCTRACK, "seal", "r", "--store", str(tmp_path / "three"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "p/r: sealed 378 points from 3 node files\n"
    assert [path.name for path in three.iterdir()] == ["run.h5"]
    assert facts(three) == before
    with h5py.File(one / "run.h5") as mine, h5py.File(three / "run.h5") as theirs:
        assert list(mine) == list(theirs)
        assert json.loads(mine["index"][0]) == json.loads(theirs["index"][0])


@pytest.mark.mpi
def test_three_processes_share_many_runs(tmp_path: Path, mpirun: Run) -> None:
    for number in range(5):
        write_run(tmp_path, run=f"run-{number}")
    done = mpirun(HPCTRACK, "seal", "--all", "--store", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        f"p/run-{number}: sealed 10 points from 1 node files" for number in range(5)
    ]


@pytest.mark.mpi
def test_an_error_of_one_process_ends_all(tmp_path: Path, mpirun: Run) -> None:
    folder = write_job(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    (folder / "node-0009.a1-0123abcd.h5").write_bytes(b"not HDF5")
    done = mpirun(HPCTRACK, "seal", "r", "--store", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.count("cannot be read") == 1
    (folder / "node-0009.a1-0123abcd.h5").unlink()
    assert sorted(path.name for path in folder.iterdir()) == names


FAIL_ON_ONE = """
import sys
from pathlib import Path
from mpi4py import MPI
from hpctrack.errors import StoreError
from hpctrack.store.parallel_seal import seal_together
from hpctrack.store.world import World

def fail(done, total):
    if MPI.COMM_WORLD.Get_rank() == 1:
        raise ValueError("rank 1 is unwell")

try:
    seal_together(Path(sys.argv[1]), World(MPI.COMM_WORLD), on_progress=fail)
except StoreError as error:
    sys.stdout.write(f"{error.message}\\n")  # at once: three processes share the pipe
"""


@pytest.mark.mpi
def test_a_failure_in_the_middle_is_heard_by_all_and_leaves_nothing(
    tmp_path: Path, mpirun: Run
) -> None:
    folder = write_job(tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    done = mpirun(FAIL_ON_ONE, str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["rank 1: ValueError: rank 1 is unwell"] * 3
    assert sorted(path.name for path in folder.iterdir()) == names


def test_one_process_alone_is_a_world_too(tmp_path: Path) -> None:
    folder = write_job(tmp_path)
    before = facts(folder)
    assert seal_together(folder, World()).points == 378
    assert facts(folder) == before
    assert seal_together(folder, World()).node_files == 0


def test_only_a_launchers_own_child_joins_a_world() -> None:
    ranks = {"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"}
    assert join_world({}).comm is None
    # This process has a rank's environment, but not a launcher for a parent.
    assert join_world(ranks) == World()
    assert join_world(ranks, use_mpi=False) == World()


def test_a_steps_error_is_the_callers() -> None:
    def fail() -> int:
        raise UsageError("no")

    with pytest.raises(UsageError):
        World().share(fail)

    class Lonely:
        """A communicator of one."""

        def Get_rank(self) -> int:  # noqa: N802 - MPI's name
            return 0

        def Ibarrier(self) -> Lonely:  # noqa: N802
            return self

        def Test(self) -> bool:  # noqa: N802
            return True

        def allgather(self, value: object) -> list[object]:
            return [value]

    with pytest.raises(StoreError, match="rank 0: ZeroDivisionError"):
        World(Lonely()).gather(lambda: 1 // 0)
    with pytest.raises(UsageError):
        World(Lonely()).gather(fail)


def test_metrics_are_divided_by_their_points() -> None:
    import numpy as np

    count = np.array([5, 90, 10, 40, 50])
    zeros = np.zeros(5, np.int64)
    names = ["a", "b", "c", "d", "e"]
    groups = SourceGroups(names, np.arange(5), zeros, zeros + 1, count, np.zeros(0, np.uint64))
    shares = divide(make_plan([groups]), 2)
    assert sorted(metric for share in shares for metric in share) == [0, 1, 2, 3, 4]
    assert sorted(int(count[share].sum()) for share in shares) == [95, 100]
