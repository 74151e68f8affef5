"""Runs, stores, metrics and attempts that are not there, or cannot be read, are told by all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.core.layout import SEALED_NAME
from hpctrack.errors import UsageError
from hpctrack.store.seal import seal_run
from tests.commands import Capture, call
from tests.stores import write_run


def spoil(folder: Path) -> Path:
    """Leave nothing readable of a run's only file, as of long ago."""
    (path,) = folder.iterdir()
    path.write_bytes(b"nothing of ours" * 100)
    os.utime(path, (time.time() - 1000, time.time() - 1000))
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store: two runs, and one between them whose file cannot be read."""
    path = tmp_path / "store"
    for run in ("a", "b", "c"):
        write_run(path, run=run)
    spoil(path / "p" / "b")
    return path


def test_seal_all_names_what_it_cannot_read_and_seals_the_others(
    store: Path, capsys: Capture
) -> None:
    code, out, err = call(capsys, "seal", "--all")
    assert code == 4
    assert "p/b: not sealed: " in err
    assert [line.partition(":")[0] for line in out.splitlines()] == ["p/a", "p/c"]
    assert all((store / "p" / run / SEALED_NAME).exists() for run in ("a", "c"))
    code, out, _err = call(capsys, "seal", "--all", "--json")
    entries = {one["id"]: one for one in json.loads(out)["runs"]}
    assert (code, entries["b"]["error"], entries["a"]["sealed"]) == (4, "store-format", True)


def test_seal_all_names_a_sealed_file_that_cannot_be_read(tmp_path: Path, capsys: Capture) -> None:
    for run in ("a", "b"):
        seal_run(write_run(tmp_path / "store", run=run))
    spoil(tmp_path / "store" / "p" / "b")
    code, out, err = call(capsys, "seal", "--all")
    assert (code, "p/a: is sealed" in out, "p/b: not sealed: " in err) == (4, True, True)


def test_sacct_says_what_it_could_not_read(store: Path, capsys: Capture) -> None:
    code, out, err = call(capsys, "sacct", "--dry-run")
    assert (code, out) == (0, "no runs of Slurm jobs among those that can be read\n")
    assert "broken: p/b: " in err
    _code, out, _err = call(capsys, "sacct", "--dry-run", "--json")
    assert [one["id"] for one in json.loads(out)["broken"]] == ["b"]


def test_sweeps_of_a_store_that_is_none_are_an_error(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        code, _out, err = call(capsys, "sweep", "ls", "--store", str(tmp_path / name))
        assert (code, f"no store at {tmp_path / name}" in err) == (3, True)


@pytest.mark.parametrize("is_sealed", [False, True])
def test_tail_says_that_there_is_no_such_metric(
    *, is_sealed: bool, tmp_path: Path, capsys: Capture
) -> None:
    folder = write_run(tmp_path / "store")
    if is_sealed:
        seal_run(folder)
    code, out, err = call(capsys, "tail", "r", "-m", "losss", "-m", "loss", "-n", "1")
    assert (code, out.count("loss=")) == (3, 1)
    assert "p/r: finished" in err
    assert "run r has no metric 'losss'" in err
    assert "did you mean loss?" in err
    assert call(capsys, "tail", "r", "-m", "l*", "-n", "0")[0] == 0
    # The metric is there; this rank has not logged it.
    assert call(capsys, "tail", "r", "-m", "loss", "--rank", "7")[0] == 0


def test_a_rerun_of_an_attempt_that_there_was_not(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "store")
    code, _out, err = call(capsys, "rerun", "r", "--attempt", "3")
    assert code == 3
    assert "run r has no attempt 3" in err
    assert "it has only attempt 1" in err


def test_verify_names_all_damaged_runs_in_its_hint(store: Path, capsys: Capture) -> None:
    spoil(store / "p" / "c")
    code, _out, err = call(capsys, "verify")
    assert (code, "hint: hpctrack repair p/b p/c\n" in err) == (4, True)


def test_a_repair_names_the_file_and_not_its_own_copy(store: Path, capsys: Capture) -> None:
    path = next((store / "p" / "b").iterdir())
    code, out, err = call(capsys, "repair", "b")
    assert code == 4
    assert str(path) in out
    assert "mended" not in out + err


@pytest.mark.parametrize("wanted", [{"state": {"$near": 1}}, {"$xor": []}])
def test_an_unknown_operator_is_told_with_all_there_are(
    wanted: dict[str, object], store: Path
) -> None:
    with pytest.raises(UsageError, match="unknown operator") as caught:
        Store(store).runs(wanted)
    assert caught.value.hint is not None
    assert all(one in caught.value.hint for one in ("$eq", "$regex", "$and", "$or", "$nor", "$not"))
