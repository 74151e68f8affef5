"""A node file and disks that fill up, go read-only, or fail: real file systems, real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pytest

from hpctrack.errors import StoreError, StoreFullError
from hpctrack.store.node_file import NodeFile
from hpctrack.store.node_reader import NodeReader
from tests.faults import disks
from tests.programs import ROOT, run_python
from tests.stores import NodeWriter

pytestmark = pytest.mark.faults

WRITER = """
import json, sys
from pathlib import Path
from hpctrack.errors import StoreError, StoreFullError
from hpctrack.store import growing_file
from tests.stores import NodeWriter

writer = NodeWriter(Path(sys.argv[1]))
writer.start(0)
flushed, step, said = 0, 0, ""
for _turn in range(20_000):
    if not sys.stdin.readline():
        break
    try:
        for metric in ("loss", "accuracy"):
            writer.points(metric, 0, range(step, step + 100), [float(step)] * 100)
        writer.event(8, {"text": "x" * 3000})
        writer.flush()
    except StoreError as error:
        said = type(error).__name__
        break
    step += 100
    flushed = 2 * step
    print(flushed, flush=True)
try:
    writer.close()
    closed = True
except StoreError:
    closed = False
writer.file.abandon()
print(json.dumps({"flushed": flushed, "said": said, "closed": closed,
                  "abandoned": growing_file.has_abandoned_files()}), flush=True)
"""


class Writer:
    """A child that writes 200 points and an event at a time, whenever it is told to."""

    def __init__(self, store: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.store = store

    def write(self, turns: int) -> None:
        """Let it write, and wait until that is flushed; it stops at an error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for _turn in range(turns):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            if not self.process.stdout.readline():
                break

    def finish(self) -> dict[str, object]:
        """Let it write until it meets an error, and return what it says at its end."""
        out, err = self.process.communicate("go\n" * 20_000, timeout=180)
        assert self.process.returncode == 0, f"{self.process.returncode}: {err[-2000:]}"
        said: dict[str, object] = json.loads(out.splitlines()[-1])
        return said

    def read(self) -> tuple[int, int]:
        """Return how many points and events can be read."""
        (path,) = (self.store / "p" / "r").glob("node-*.h5")
        with NodeReader(path) as reader:
            points = {name: len(one) for name, one in reader.read_columns().items()}
            assert reader.missing_rows() == {}
            columns = reader.read_columns()
            for one in columns.values():
                assert one.step.tolist() == list(range(len(one)))
                assert (one.value == one.step // 100 * 100).all()
            return sum(points.values()), len(reader.read_events().events)


def the_whole(said: dict[str, object]) -> range:
    """What was flushed, and perhaps what was taken after that, before the disk was full."""
    flushed = said["flushed"]
    assert isinstance(flushed, int)
    return range(flushed, flushed + 201)


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Writer]]:
    """Start writers that are gone when the test is over."""
    writers: list[Writer] = []

    def begin(store: Path) -> Writer:
        writers.append(Writer(store))
        return writers[-1]

    yield begin
    for one in writers:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("kind", ["ext4", "ext2", "tmpfs"])
def test_a_disk_that_fills_up_is_an_error_and_what_was_flushed_is_there(
    kind: str, tmp_path: Path, start: Callable[[Path], Writer]
) -> None:
    with disks.mounted(kind, tmp_path) as disk:
        writer = start(disk / "store")
        writer.write(5)
        disks.fill(disk)
        said = writer.finish()
        assert said["said"] == "StoreFullError"
        assert (said["closed"], said["abandoned"]) == (True, False)
        points, _events = writer.read()
        assert points in the_whole(said)
        assert points >= 1000
        (path,) = (disk / "store" / "p" / "r").iterdir()
        with h5py.File(path, "r") as file:  # no reader's tricks: it was closed properly
            assert file["points"].shape[0] == points
            assert file.id.get_filesize() == path.stat().st_size


@pytest.mark.parametrize("kind", ["ext4", "ext2"])
def test_a_file_alone_fills_its_disk_to_the_last_megabytes(
    kind: str, tmp_path: Path, start: Callable[[Path], Writer]
) -> None:
    with disks.mounted(kind, tmp_path, size_mib=8) as disk:
        writer = start(disk / "store")
        said = writer.finish()
        assert said["said"] == "StoreFullError"
        (path,) = (disk / "store" / "p" / "r").iterdir()
        assert path.stat().st_size > 3 * disks.MIB
        assert writer.read()[0] in the_whole(said)


def test_a_file_system_without_fallocate_serves_a_reader_while_it_is_written(
    tmp_path: Path,
) -> None:
    with disks.mounted("ext2", tmp_path) as disk:
        writer = NodeWriter(disk)
        writer.start(0)
        writer.points("loss", 0, range(10), [1.0] * 10)
        writer.flush()
        (path,) = (disk / "p" / "r").iterdir()
        size = path.stat().st_size
        assert size > disks.MIB, "zeros lie behind the end"
        code = (
            "import sys; from pathlib import Path;"
            "from hpctrack.store.node_reader import NodeReader;"
            "print(len(NodeReader(Path(sys.argv[1])).read_columns()['loss']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=True,
        )
        assert done.stdout.strip() == "10"
        assert writer.close().stat().st_size < size


def test_a_disk_that_goes_read_only_in_mid_run_is_an_error(
    tmp_path: Path, start: Callable[[Path], Writer]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        writer = start(disk / "store")
        writer.write(5)
        disks.make_read_only(disk)
        said = writer.finish()
        assert said["said"] == "StoreError"
        assert (said["closed"], said["abandoned"]) == (False, True)
        assert writer.read()[0] >= 1000


def test_a_disk_that_answers_with_errors_kills_nobody_not_even_at_exit(
    tmp_path: Path, start: Callable[[Path], Writer]
) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        writer = start(disk / "store")
        writer.write(5)
        disks.shut_down(disk)
        said = writer.finish()
        assert said["said"] == "StoreError"
        assert (said["closed"], said["abandoned"]) == (False, True)
        disks.mount_again(tmp_path)
        assert writer.read()[0] >= 1000


def test_a_full_disk_refuses_a_new_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with disks.mounted("ext4", tmp_path) as disk:
        (disk / "store").mkdir()
        disks.fill(disk)
        with pytest.raises(StoreFullError, match="No space left"):
            NodeWriter(disk / "store")
        assert not [path for path in (disk / "store").rglob("*") if path.is_file()]


def test_a_suspect_folder_is_tried_before_it_is_trusted(tmp_path: Path) -> None:
    facts = {"run": "r", "project": "p", "node": 0, "attempt": 1, "host": "n1"}
    with disks.mounted("ext4", tmp_path) as disk:
        NodeFile(disk / "run", facts, wall_s=1.0, is_suspect=True).close(wall_s=2.0)
        disks.shut_down(disk)
        with pytest.raises(StoreError, match="cannot be written"):
            NodeFile(disk / "run", facts, wall_s=1.0, is_suspect=True)


SEAL = """
    import sys
    from pathlib import Path
    import numpy as np
    from hpctrack.errors import StoreError
    from hpctrack.store import seal
    from hpctrack.store.schema import POINT
    from tests.faults import disks
    from tests.stores import NodeWriter

    disk = Path(sys.argv[1])
    writer = NodeWriter(disk)
    session = writer.start(0)
    rng = np.random.default_rng(0)
    rows = np.zeros(200_000, POINT)
    rows["step"], rows["wall_s"] = rng.integers(0, 2**62, 200_000), rng.random(200_000)
    rows["value"], rows["metric"] = rng.random(200_000), writer.number("loss")
    writer.file.add_points(rows.tobytes())
    writer.end(0, session)
    folder = writer.close().parent
    disks.fill(disk, leave_bytes=int(sys.argv[2]))
    seal.check_space = lambda *_args: None
    try:
        seal.seal_run(folder)
    except StoreError as error:
        print(type(error).__name__, len(list(folder.iterdir())), "\\n" in error.message)
    """


@pytest.mark.parametrize("leave_bytes", [100_000, 3_000_000, 6_000_000])
def test_a_disk_that_fills_up_under_a_sealer_kills_nobody_not_even_at_exit(
    tmp_path: Path, leave_bytes: int
) -> None:
    # The room was there when it began; HDF5 dies of a file that it cannot close.
    with disks.mounted("tmpfs", tmp_path, size_mib=40) as disk:
        done = run_python(SEAL, str(disk), str(leave_bytes), env={"PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["StoreFullError", "1", "False"]
