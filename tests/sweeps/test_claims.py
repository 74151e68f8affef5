"""Claims: an attempt belongs to one worker, whoever else wants it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hpctrack.errors import StoreError, StoreFormatError
from hpctrack.sweeps.worker.claims import (
    Claim,
    find_last_claim,
    list_claims,
    make_claim,
    read_claim,
)
from tests.programs import run_python
from tests.trials import make_sweep

RACE = """
import os, sys
from hpctrack.sweeps.folder import SweepFolder
from hpctrack.sweeps.worker.claims import Claim, make_claim
from pathlib import Path
folder = SweepFolder(Path(sys.argv[1]))
go_read, go_write = os.pipe()
children = []
for number in range(16):
    child = os.fork()
    if not child:
        os.close(go_write)
        os.read(go_read, 1)  # the end of the pipe starts all at once
        for trial in range(20):
            for attempt in (1, 2):
                if make_claim(folder, Claim(trial=trial, attempt=attempt, worker=f"w{number}")):
                    os.write(1, f"{trial} {attempt} w{number}\\n".encode())
        os._exit(0)
    children.append(child)
os.close(go_write)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_sixteen_processes_that_race_never_have_the_same_attempt(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    end = run_python(RACE, str(sweep.folder.path))
    assert end.returncode == 0, end.stderr
    won = [line.split() for line in end.stdout.splitlines()]
    assert Counter((trial, attempt) for trial, attempt, _ in won) == {
        (str(trial), str(attempt)): 1 for trial in range(20) for attempt in (1, 2)
    }
    for trial, attempt, worker in won:
        claim = read_claim(sweep.folder, int(trial), int(attempt))
        assert claim is not None
        assert claim.worker == worker
    left = [one for one in sweep.folder.iter_claim_names() if one.startswith(".")]
    assert left == []


def test_a_claim_is_read_back_and_its_newest_attempt_found(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path).folder
    assert find_last_claim(folder, 3) is None
    claim = Claim(trial=3, attempt=3, worker="w", host="h", pid=7, stamp="9", failures=1)
    for attempt in (1, 2, 3):
        assert make_claim(folder, replace(claim, attempt=attempt))
    assert find_last_claim(folder, 3) == claim
    assert find_last_claim(folder, 3, known=2) == claim
    assert make_claim(folder, Claim(trial=12345, attempt=1, worker="w"))
    (folder.path / "claims" / "notes.txt").write_text("")
    assert list_claims(folder) == {3: 3, 12345: 1}


def test_interruptions_are_what_did_not_fail() -> None:
    assert Claim(trial=0, attempt=5, worker="w", failures=1).interruptions == 3


def test_a_claim_of_a_newer_version_is_understood_and_garbage_is_an_error(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path).folder
    make_claim(folder, Claim(trial=0, attempt=1, worker="w"))
    path = folder.claim(0, 1)
    path.write_text(json.dumps({"trial": 0, "attempt": 1, "worker": "w", "colour": "red"}))
    assert read_claim(folder, 0, 1) == Claim(trial=0, attempt=1, worker="w")
    for text in ("{", "[]", '{"trial": 0}'):
        path.write_text(text)
        with pytest.raises(StoreFormatError):
            read_claim(folder, 0, 1)


def test_a_claim_that_cannot_be_written_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path).folder
    (folder.path / "claims").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        make_claim(folder, Claim(trial=0, attempt=1, worker="w"))
