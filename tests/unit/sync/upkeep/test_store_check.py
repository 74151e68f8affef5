"""`hpctrack server verify`: bytes that have changed since they were received."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpctrack.errors import NotFoundError
from hpctrack.store.verify import Report, Severity
from hpctrack.sync.upkeep.reindexing import reindex
from hpctrack.sync.upkeep.store_check import CheckOptions, check_store
from tests.unit.sync.upkeep.conftest import BLOB, put_blob


def check(store: Path, **more: object) -> dict[str, Report]:
    return {f"{one.project}/{one.run}": one for one in check_store(store, **more)}  # type: ignore[arg-type]


def errors(found: dict[str, Report]) -> list[str]:
    return [
        f"{name}: {one.file}: {one.what}"
        for name, report in found.items()
        for one in report.errors()
    ]


def flip(path: Path, at: int = -100) -> None:
    """Change one bit on the disk, as a disk does it: nothing else tells of it."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_an_intact_store_is_said_to_be(store: Path) -> None:
    found = check(store)
    assert errors(found) == []
    assert set(found) == {
        "digits/one", "digits/two", "other/live", "digits/.blobs", "digits/.sweeps",
        "digits/.annotations", "/.server",
    }  # fmt: skip
    assert set(check(store, project="other")) == {"other/live"}
    with pytest.raises(NotFoundError):
        check(store, project="none")


def test_bit_rot_is_found_though_size_and_time_are_the_same(store: Path) -> None:
    path = store / "digits" / "one" / "run.h5"
    # Between the objects of an HDF5 file there are bytes that no checksum covers.
    sealed = path.read_bytes()
    flip(path, sealed.rfind(b"\0" * 16) + 8)
    (error,) = [one for one in errors(check(store)) if "SHA-256" in one]
    assert error.startswith("digits/one: run.h5: its bytes are not those that were hashed")
    (store / ".hashes.json").unlink()
    (error,) = [one for one in errors(check(store)) if "SHA-256" in one]
    assert "not those that were received" in error


def test_processes_together_find_the_same(store: Path) -> None:
    flip(store / "digits" / "two" / "run.h5")
    alone, together = check(store), check(store, jobs=2)
    assert errors(alone) == errors(together) != []


def test_a_file_that_was_written_here_since_is_no_damage(store: Path) -> None:
    one, two = (store / "digits" / run / "run.h5" for run in ("one", "two"))
    scratch = one.with_name("again")
    scratch.write_bytes(one.read_bytes() + b"\0")
    later = one.stat().st_mtime + 3600
    os.utime(scratch, (later, later))
    scratch.replace(one)
    found = check(store)
    assert errors(found) == []
    (finding,) = [item for item in found["digits/one"].findings if item.file == "run.h5"]
    assert finding.severity == Severity.WARNING
    two.unlink()
    found = check(store)
    assert "digits/two" not in found
    (finding,) = found["/.server"].findings
    assert finding.severity == Severity.WARNING
    assert finding.what == "received once, and not there any more: digits/two"


def test_what_lies_beside_the_runs_is_read(store: Path) -> None:
    blob = put_blob(store, BLOB)
    blob.chmod(0o644)
    flip(blob)
    (store / "digits" / "one" / "accounting.json").write_text("{")
    (store / "digits" / ".annotations" / "one.json").write_text("[")
    (store / "digits" / ".sweeps" / "k3x9a0bq" / "sweep.json").write_text("[]")
    (store / "digits" / ".blobs" / "x").write_text("")
    (store / ".server" / "quotas.json").write_text("none")
    found = errors(check(store))
    assert sorted(one.rpartition(": ")[0].split(":")[0] for one in found) == [
        "/.server", "digits/.annotations", "digits/.blobs", "digits/.blobs", "digits/.sweeps",
        "digits/one",
    ]  # fmt: skip


def test_an_accounting_of_another_run_is_found(store: Path) -> None:
    path = store / "digits" / "one" / "accounting.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "run": "two"}))
    assert errors(check(store)) == ["digits/one: accounting.json: it is of digits/two"]


def test_a_quick_look_opens_files_and_hashes_none(store: Path) -> None:
    quick = CheckOptions(quick=True)
    flip(put_blob(store, BLOB))
    assert errors(check(store, options=quick)) == []
    (store / "digits" / "two" / "run.h5").write_bytes(b"x")
    (node,) = (store / "other" / "live").glob("node-*")
    os.truncate(node, 100)
    found = errors(check(store, options=quick))
    assert [one.partition(":")[0] for one in found] == ["digits/two", "other/live"]


def test_reindex_makes_every_cache_anew(store: Path) -> None:
    (store / ".hashes.json").write_text("none")
    found = reindex(store)
    assert (found.files, found.runs, found.broken) == (6, 3, 0)
    assert set(found.usage) == {"digits", "other"}
    hashes = json.loads((store / ".hashes.json").read_text())
    assert "digits/one/run.h5" in hashes
    assert "digits/.sweeps/k3x9a0bq/sweep.json" in hashes
    assert json.loads((store / ".server" / "usage.json").read_text())["projects"]["digits"]
