"""``hpctrack verify`` and ``hpctrack repair`` as users type them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.commands import Capture, call
from tests.stores import NodeWriter, write_run


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The default store: a sealed run, an open one, and one that was cut."""
    path = tmp_path / "store"
    seal_run(write_run(path, run="sealed", project="digits"))
    write_run(path, run="open", project="digits")
    (file,) = write_run(path, run="cut", project="other", steps=9000).iterdir()
    os.truncate(file, file.stat().st_size - 200_000)
    os.utime(file, (time.time() - 1000, time.time() - 1000))
    return path


def test_verify_reads_everything_and_names_what_is_damaged(store: Path, capsys: Capture) -> None:
    code, out, err = call(capsys, "verify")
    assert code == 4
    assert "digits/sealed: intact (1 file, 10 points)" in out
    assert "other/cut: damaged" in out
    assert "error: node-0000.a1-" in out
    assert "1 of 3 runs are damaged" in err
    assert "hpctrack repair other/cut" in err
    code, out, _err = call(capsys, "verify", "--quiet")
    assert (code, "sealed" in out) == (4, False)


def test_verify_can_be_asked_about_some_runs(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "verify", "open", "digits/sealed")
    assert code == 0
    assert "2 runs are intact" in out
    assert call(capsys, "verify", "--project", "digits")[0] == 0
    assert call(capsys, "verify", "--project", "nowhere")[0] == 3
    assert call(capsys, "verify", "nothing")[0] == 3


def test_repair_salvages_and_verify_is_content(store: Path, capsys: Capture) -> None:
    code, out, _err = call(capsys, "repair", "cut", "open")
    assert code == 0
    assert "other/cut: node-0000.a1-" in out
    assert "points and " in out
    assert "digits/open: nothing is wrong" in out
    assert call(capsys, "verify")[0] == 0
    assert call(capsys, "seal", "cut")[0] == 0


def test_both_speak_json(store: Path, capsys: Capture) -> None:
    def ask(*arguments: str) -> Any:
        return json.loads(call(capsys, *arguments, "--json")[1])["runs"]

    found = {run["id"]: run for run in ask("verify")}
    assert [found[name]["intact"] for name in ("sealed", "open", "cut")] == [True, True, False]
    assert found["cut"]["findings"][0]["severity"] == "error"
    (done,) = ask("repair", "cut")
    assert done["intact"] is True
    assert done["actions"][0]["deed"] == "salvaged"
    assert done["actions"][0]["lost_points"] > 0


def test_repair_leaves_a_damaged_sealed_file_alone_and_says_so(
    store: Path, capsys: Capture
) -> None:
    path = store / "digits" / "sealed" / "run.h5"
    content = path.read_bytes()[:-100]
    path.write_bytes(content)
    code, out, err = call(capsys, "repair", "digits/sealed")
    assert code == 4
    assert "--force" in out
    assert "still damaged" in err
    assert path.read_bytes() == content


def test_a_sealed_file_that_is_one_byte_short_is_salvaged_whole(
    store: Path, capsys: Capture
) -> None:
    path = store / "digits" / "sealed" / "run.h5"
    os.truncate(path, path.stat().st_size - 1)
    code, out, _err = call(capsys, "repair", "digits/sealed", "--force")
    assert code == 0
    assert "10 points and" in out
    assert "lost" not in out
    assert call(capsys, "seal", "digits/sealed")[0] == 0
    run = StoredRun(path.parent)
    assert len(run.metric("loss")) == 10
    assert run.record.ledger == {}
    run.close()


def test_what_is_left_of_a_sealed_file_that_was_cut_is_salvaged_and_the_loss_stays_on_record(
    store: Path, capsys: Capture
) -> None:
    generator = np.random.default_rng(0)
    writer = NodeWriter(store, project="digits", run="long")
    session = writer.start(0)
    values = {f"m{number}": generator.random(3000).tolist() for number in range(12)}
    for name, of_metric in values.items():
        writer.points(name, 0, range(3000), of_metric)
    writer.end(0, session)
    folder = writer.close().parent
    path = seal_run(folder).path
    os.truncate(path, path.stat().st_size // 2)
    code, out, _err = call(capsys, "repair", "digits/long", "--force")
    assert code == 0
    assert "lost: " in out
    assert call(capsys, "seal", "digits/long", "--force")[0] == 0
    assert call(capsys, "verify", "digits/long")[0] == 0
    run = StoredRun(folder)
    found = {name: run.metric(name).values.tolist() for name in run.metrics()}
    assert 2 <= len(found) < 12
    assert all(values[name] == of_metric for name, of_metric in found.items())
    assert run.record.ledger["unsalvaged_points"] >= 3000
    run.close()
    assert "unsalvaged_points" in call(capsys, "show", "digits/long")[1]


def test_a_file_of_which_nothing_can_be_salvaged_is_an_error_and_is_named(
    store: Path, capsys: Capture
) -> None:
    path = store / "digits" / "sealed" / "run.h5"
    path.write_bytes(b"nothing of ours")
    code, out, err = call(capsys, "repair", "digits/sealed", "--force")
    assert code == 4
    assert "it is run.h5.damaged now" in out
    assert "digits/sealed/run.h5" in err
    assert path.with_name("run.h5.damaged").read_bytes() == b"nothing of ours"


def test_repair_names_the_users_file(store: Path, capsys: Capture) -> None:
    (path,) = (store / "other" / "cut").iterdir()
    path.write_bytes(os.urandom(9000))
    os.utime(path, (time.time() - 1000, time.time() - 1000))
    _code, out, _err = call(capsys, "repair", "cut")
    assert str(path) in out
    assert "mended" not in out
    assert ".repair-" not in out


def test_what_repair_could_not_save_stays_on_record(store: Path, capsys: Capture) -> None:
    (path,) = (store / "other" / "cut").iterdir()
    lost = json.loads(call(capsys, "repair", "cut", "--json")[1])["runs"][0]["actions"][0]
    assert call(capsys, "seal", "cut")[0] == 0
    assert call(capsys, "verify", "cut")[0] == 0
    ledger = json.loads(call(capsys, "show", "cut", "--json")[1])["ledger"]
    assert ledger == {"unsalvaged_points": lost["lost_points"]}
    assert not path.exists()
