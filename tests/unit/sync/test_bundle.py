"""Bundles: what goes into one comes out of it, and what was cut off or damaged is told."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.cli.main import run
from hpctrack.core.layout import ACCOUNTING_NAME
from hpctrack.errors import StoreError, StoreFormatError, UsageError
from hpctrack.sync.bundles.creation import create_bundle, opened_for_bundle
from hpctrack.sync.bundles.inspection import count_good, inspect_bundle
from hpctrack.sync.bundles.layout import MAGIC, read_index
from hpctrack.sync.bundles.taking import Imported, import_bundle
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import Status
from hpctrack.sync.wire.messages import Hello, ItemKind
from hpctrack.sync.wire.packing import Compress
from hpctrack.sync.wire.protocol import SMALL_BYTES, encode
from tests.programs import ROOT, start_python, wait_for
from tests.unit.sync.made_stores import has_only_sealed, hash_files

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def make(store: Path, **options: object) -> bytes:
    file = io.BytesIO()
    result = create_bundle(store, file, name="test", **options)  # type: ignore[arg-type]
    assert result.refused == 0
    return file.getvalue()


def take(data: bytes, store: Path, **options: object) -> Imported:
    return import_bundle(io.BytesIO(data), store, name="test", **options)  # type: ignore[arg-type]


class Pipe(io.RawIOBase):
    """Reads a little at a time and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 1000))


@pytest.fixture
def rich(source: Path) -> Path:
    """The three runs, with a sweep, an accounting and a large blob."""
    (source / "digits/.sweeps/abc").mkdir(parents=True)
    (source / "digits/.sweeps/abc/sweep.json").write_text('{"id": "abc"}')
    blob = os.urandom(SMALL_BYTES * 2 + 17)
    digest = hashlib.sha256(blob).hexdigest()
    (source / f"digits/.blobs/{digest[:2]}").mkdir(parents=True)
    (source / f"digits/.blobs/{digest[:2]}/{digest}").write_bytes(blob)
    return source


@pytest.mark.parametrize("compress", list(Compress))
def test_what_goes_in_comes_out(rich: Path, target: Path, compress: Compress) -> None:
    data = make(rich, compress=compress)
    assert data.startswith(MAGIC)
    imported = take(data, target)
    assert imported.problem == ""
    assert (imported.result.sent, imported.result.refused) == (3, 0)
    assert hash_files(target) == hash_files(rich)
    again = take(data, target)
    assert {one.status for one in again.result.items} == {Status.PRESENT}
    assert again.result.size_bytes == 0


def test_a_bundle_and_a_push_make_equal_stores(rich: Path, target: Path, tmp_path: Path) -> None:
    push(rich, str(tmp_path / "pushed"))
    take(make(rich), target)
    assert hash_files(target) == hash_files(tmp_path / "pushed")


def test_only_what_is_not_there_is_taken(rich: Path, target: Path) -> None:
    push(rich, str(target), runs=["digits/one"])
    imported = take(make(rich), target).result
    assert (imported.sent, imported.present) == (2, 1)
    assert hash_files(target) == hash_files(rich)


def test_only_what_was_chosen_goes_in(rich: Path, target: Path) -> None:
    take(make(rich, runs=["two"]), target)
    assert [run.id for run in Store(target).runs()] == ["two"]
    take(make(rich, project="other"), target)
    assert {run.project for run in Store(target).runs()} == {"digits", "other"}


LOG = """
import sys, hpctrack
run = hpctrack.init(project="digits", id="live", dir=sys.argv[1])
for line in sys.stdin:
    for _ in range(int(line)):
        run.log({"loss": 1.0})
    run.flush()
    print("logged", flush=True)
"""


def test_a_run_that_goes_on_is_carried_as_it_is_and_goes_on_there(
    tmp_path: Path, target: Path
) -> None:
    store = tmp_path / "store"
    program = start_python(LOG, str(store), stdin=subprocess.PIPE)
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        bundles = []
        for points in (10, 5, 0):
            program.stdin.write(f"{points}\n")
            program.stdin.flush()
            assert program.stdout.readline() == "logged\n"
            bundles.append(make(store))
        for data, points in ((bundles[0], 10), (bundles[1], 15), (bundles[0], 15)):
            imported = take(data, target)
            assert imported.result.refused == 0
            with closing(Store(target).run("digits/live")) as run_:
                assert (run_.state, len(run_.history()["loss"])) == ("running", points)
        program.stdin.close()
        assert program.wait(60) == 0
    wait_for(lambda: has_only_sealed(store / "digits/live"))
    take(make(store), target)
    assert hash_files(target) == hash_files(store)
    # An old bundle does not bring back what is older.
    assert take(bundles[1], target).result.refused == 0
    assert hash_files(target) == hash_files(store)


def test_a_pipe_will_do(rich: Path, target: Path) -> None:
    for _ in range(2):
        imported = import_bundle(Pipe(make(rich)), target, name="-")  # type: ignore[arg-type]
        assert imported.problem == ""
    assert hash_files(target) == hash_files(rich)


def test_the_index_names_everything(rich: Path) -> None:
    items = read_index(io.BytesIO(make(rich)), "test")
    assert sorted(str(one.key) for one in items if one.key.kind == ItemKind.RUN) == [
        "digits/one",
        "digits/two",
        "other/one",
    ]
    hashes = set(hash_files(rich).values())
    assert {one.sha256 for one in items} <= hashes
    sizes = {one.key.kind: one.size_bytes for one in items}
    assert sizes[ItemKind.BLOB] == SMALL_BYTES * 2 + 17
    assert sizes[ItemKind.SWEEP] == 13


def test_a_bundle_that_was_cut_off_anywhere_is_refused(rich: Path, target: Path) -> None:
    data = make(rich, compress=Compress.OFF)
    whole = len(read_index(io.BytesIO(data), "test"))
    good = []
    for end in [*range(8, len(data), len(data) // 15), len(data) - 17]:
        found = inspect_bundle(io.BytesIO(data[:end]), "test")
        assert found.problem
        assert not found.items
        with pytest.raises(StoreFormatError, match="is not whole") as caught:
            take(data[:end], target)
        assert "--partial" in str(caught.value.hint)
        good.append(count_good(io.BytesIO(data[:end]), "test").whole)
        if end < len(data) - 100:
            with pytest.raises(StoreFormatError):
                read_index(io.BytesIO(data[:end]), "test")
    assert not target.exists()
    assert good == sorted(good)
    assert (good[0], good[-1]) == (0, whole)


def test_a_bit_that_has_flipped_anywhere_is_found(rich: Path, target: Path) -> None:
    data = make(rich)
    for at in range(8, len(data) - 16, len(data) // 30):
        broken = bytearray(data)
        broken[at] ^= 0x10
        assert inspect_bundle(io.BytesIO(broken), "test").problem, at


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("compress", [Compress.ON, Compress.OFF])
def test_what_is_whole_of_a_torn_bundle_can_be_taken(
    rich: Path, target: Path, share: float, compress: Compress
) -> None:
    data = make(rich, compress=compress)
    torn = data[: int(len(data) * share)]
    imported = take(torn, target, is_partial=True)
    assert imported.problem
    there = hash_files(target) if target.exists() else {}
    assert there.items() <= hash_files(rich).items()
    assert len(there) == count_good(io.BytesIO(torn), "test").whole
    # The whole bundle then brings the rest.
    take(data, target)
    assert hash_files(target) == hash_files(rich)


def test_a_damaged_bundle_gives_what_is_whole(rich: Path, target: Path) -> None:
    data = bytearray(make(rich, compress=Compress.OFF))
    data[len(data) // 2] ^= 1  # in the blob
    imported = take(bytes(data), target, is_partial=True)
    assert imported.result.refused + sum(
        one.status == Status.REFUSED for one in imported.result.items
    )
    assert len(Store(target).runs()) == 3


def test_what_is_no_bundle_is_told(tmp_path: Path, target: Path) -> None:
    for data in (b"", b"PK\x03\x04", b"\x89HPT\r\n\x1a\n" + encode(Hello())):
        with pytest.raises(StoreFormatError, match="is no bundle"):
            take(data, target)


def test_a_bundle_of_a_newer_hpctrack_is_told(target: Path) -> None:
    with pytest.raises(StoreFormatError, match=r"made by hpctrack 9\.0: this side speaks"):
        take(MAGIC + encode(Hello(8, 9, "hpctrack 9.0")), target, is_partial=True)


def test_a_bundle_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "runs.hpb"
    with contextlib.suppress(RuntimeError), opened_for_bundle(path) as file:
        file.write(b"half")
        assert not path.exists()
        raise RuntimeError
    assert list(tmp_path.glob("*hpb*")) == []
    with opened_for_bundle(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    with pytest.raises(UsageError, match="already"), opened_for_bundle(path):
        pass
    with pytest.raises(StoreError, match="No such"), opened_for_bundle(tmp_path / "no/x.hpb"):
        pass


class FullDisk(io.BytesIO):
    """Has room for so many bytes."""

    def __init__(self, room_bytes: int) -> None:
        super().__init__()
        self.room_bytes = room_bytes

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.room_bytes -= len(data)
        if self.room_bytes < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)


@pytest.mark.parametrize("room_bytes", [0, 100, 50_000, 2_100_000])
def test_a_full_disk_is_told_as_what_it_is(rich: Path, room_bytes: int) -> None:
    with pytest.raises(StoreError, match="No space left") as caught:
        create_bundle(rich, FullDisk(room_bytes), name="/media/usb/x.hpb")
    assert caught.value.code == "store-full"
    assert "/media/usb/x.hpb" in caught.value.message


def test_the_commands_carry_a_store(rich: Path, target: Path, capsys: Capture) -> None:
    assert run(["bundle", "create", "runs.hpb", "--store", str(rich)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("wrote 3 runs, 1 sweep and 1 blob (")
    assert run(["bundle", "list", "runs.hpb"]) == 0
    listed = capsys.readouterr().out
    assert "digits/one" in listed
    assert listed.splitlines()[-1].startswith("3 runs, 1 sweep, 1 blob; ")
    assert run(["bundle", "list", "runs.hpb", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["parts"] for one in told["runs"]] == [["run"]] * 3
    assert run(["bundle", "import", "runs.hpb", "--store", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == 3
    assert hash_files(target) == hash_files(rich)
    assert run(["bundle", "import", "runs.hpb", "--store", str(target)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing new; 3 runs already there"
    assert run(["bundle", "import", "absent.hpb"]) == 3
    Path("torn.hpb").write_bytes(Path("runs.hpb").read_bytes()[:-500])
    assert run(["bundle", "import", "torn.hpb", "--store", str(target)]) == 4
    assert run(["bundle", "list", "torn.hpb"]) == 4
    assert run(["bundle", "create", "runs.hpb", "--store", str(rich)]) == 2


def test_two_commands_make_a_pipe(rich: Path, target: Path) -> None:
    words = f"{sys.executable} -m hpctrack bundle"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{words} create - --store {rich} | {words} import - --store {target}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote 3 runs" in done.stderr
    assert "took 3 runs" in done.stdout
    assert hash_files(target) == hash_files(rich)
    assert ACCOUNTING_NAME not in str(hash_files(target))
