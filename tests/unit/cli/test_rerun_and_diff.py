"""``hpctrack rerun`` and ``hpctrack diff`` on real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store, StoredRun
from hpctrack.cli import main as cli
from hpctrack.store.repair import repair_run
from hpctrack.store.seal import seal_run
from hpctrack.store.verify import verify_run
from tests.programs import list_agents, wait_for
from tests.repositories import GitFolder, make_repository
from tests.stores import write_run

PROGRAM = """
import os
import random
import sys
import hpctrack
import helper
seed = int(sys.argv[sys.argv.index("--seed") + 1])
with hpctrack.init("digits", config={"seed": seed, "lr": helper.LR}) as run:
    generator = random.Random(seed)
    value = 1.0
    for step in range(20):
        value -= helper.LR * generator.random() * int(os.environ["OMP_NUM_THREADS"])
        run.log({"loss": value}, step=step)
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def records_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCTRACK_PROVENANCE", "auto")


@pytest.fixture
def code(tmp_path: Path) -> GitFolder:
    made = make_repository(tmp_path / "code", helper__py="LR = 0.1\n")
    made.write("src/train.py", PROGRAM)
    made.write("src/helper.py", "LR = 0.1\n")
    made.commit()
    return made


def train(code: GitFolder, store: Path, *words: str, **environ: str) -> StoredRun:
    """Run the program; return what was recorded."""
    before = {one.id for one in Store(store).runs()} if store.is_dir() else set()
    subprocess.run(
        [sys.executable, "src/train.py", *words], cwd=code.top, check=True, timeout=60,
        env={**os.environ, "HPCTRACK_DIR": str(store), **environ},
    )  # fmt: skip
    return only_new(store, before)


def only_new(store: Path, before: set[str]) -> StoredRun:
    def look() -> StoredRun | None:
        new = [one for one in Store(store).runs() if one.id not in before and one.is_sealed]
        return new[0] if new else None

    return wait_for(look)


def loss_of(run: StoredRun) -> list[float]:
    values: list[float] = run.metric("loss").values.tolist()
    return values


@pytest.mark.slow
@pytest.mark.parametrize("has_folder", [True, False])
def test_a_rerun_in_an_empty_folder_computes_the_same(
    code: GitFolder, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], has_folder: bool
) -> None:
    # What is run is not what is committed.
    code.write("src/helper.py", "LR = 0.25  # é\n")
    first = train(code, tmp_path / "store", "--seed", "5", OMP_NUM_THREADS="3")
    assert first.provenance["git"]["dirty"]
    # Time passes: the working tree is cleaned, and goes on.
    code.git("checkout", "-q", ".")
    code.write("src/helper.py", "LR = 1000.0\n")
    code.commit()
    words = ["rerun", first.id, "--store", str(tmp_path / "store")]
    empty = tmp_path / "empty"
    empty.mkdir()
    capfdbinary.readouterr()
    if has_folder:
        assert cli.run([*words, "-o", str(empty / "again")]) == 0
        script = empty / "again" / "rerun.sh"
        assert json.loads((empty / "again" / "config.json").read_text()) == {"lr": 0.25, "seed": 5}
        assert b"+LR = 0.25" in (empty / "again" / "changes.patch").read_bytes()
    else:
        assert cli.run(words) == 0
        script = empty / "rerun.sh"
        script.write_bytes(capfdbinary.readouterr().out)
    done = subprocess.run(
        ["bash", str(script)], cwd=empty, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "HPCTRACK_DIR": str(tmp_path / "store2"), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    second = only_new(tmp_path / "store2", set())
    assert loss_of(second) == loss_of(first)
    assert second.config == first.config
    assert second.project == "digits"


def test_what_is_not_rebuilt_is_said_on_stderr(
    code: GitFolder, tmp_path: Path, capsys: Capture
) -> None:
    code.write("notes.txt", "x")
    run = train(code, tmp_path / "store", "--seed", "5", "--token", "planted")
    capsys.readouterr()
    assert cli.run(["rerun", run.id, "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr()
    assert "not rebuilt:" in said.err
    assert "untracked files: notes.txt" in said.err
    assert "--token had a value that is not recorded: set RERUN_TOKEN" in said.err
    assert "planted" not in said.out + said.err


def test_a_run_without_provenance_says_why_it_cannot_be_rerun(
    tmp_path: Path, capsys: Capture
) -> None:
    write_run(tmp_path / "store")
    assert cli.run(["rerun", "r", "--store", str(tmp_path / "store")]) == 3
    assert "was not recorded" in capsys.readouterr().err


def test_two_runs_and_what_differs(code: GitFolder, tmp_path: Path, capsys: Capture) -> None:
    store = tmp_path / "store"
    first = train(code, store, "--seed", "5", OMP_NUM_THREADS="3")
    code.write("src/helper.py", "LR = 0.55\n")
    second = train(code, store, "--seed", "6", OMP_NUM_THREADS="4")
    capsys.readouterr()
    words = ["diff", first.id, second.id, "--store", str(store)]
    assert cli.run(words) == 1
    out = capsys.readouterr().out
    for line in (
        "config", "  lr", "    - 0.1", "    + 0.55", "git", "  +-LR = 0.1", "  ++LR = 0.55",
        "environment", "  OMP_NUM_THREADS", "    - 3", "    + 4",
    ):  # fmt: skip
        assert line in out.splitlines(), out
    assert "packages" not in out.splitlines()
    assert cli.run([*words, "--only", "packages,hardware"]) == 0
    assert "no difference" in capsys.readouterr().out
    assert cli.run([*words, "--json", "--only", "config,git"]) == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["is_same"] is False
    assert list(told["differences"]) == ["config", "git"]
    assert told["differences"]["config"] == [
        {"key": "lr", "left": 0.1, "right": 0.55},
        {"key": "seed", "left": 5, "right": 6},
    ]
    assert cli.run(["diff", first.id, first.id, "--store", str(store)]) == 0


def test_a_section_that_there_is_not_and_a_run_that_there_is_not(
    tmp_path: Path, capsys: Capture
) -> None:
    write_run(tmp_path / "store")
    words = ["diff", "r", "r", "--store", str(tmp_path / "store")]
    assert cli.run([*words, "--only", "colour"]) == 2
    assert "config, summary" in capsys.readouterr().err
    assert cli.run(["diff", "r", "q", "--store", str(tmp_path / "store")]) == 3


def test_runs_without_provenance_are_compared_in_what_they_have(
    tmp_path: Path, capsys: Capture
) -> None:
    write_run(tmp_path / "store", run="a")
    write_run(tmp_path / "store", run="b", ranks=3)
    assert cli.run(["diff", "a", "b", "--store", str(tmp_path / "store")]) == 1
    out = capsys.readouterr().out
    assert "what p/a was made of was not recorded" in out
    assert "  ranks" in out.splitlines()


def test_recorded_text_does_not_command_the_terminal(
    code: GitFolder, tmp_path: Path, capsys: Capture
) -> None:
    store = tmp_path / "store"
    first = train(code, store, "--seed", "5", OMP_PLACES="a")
    code.write("src/helper.py", "LR = 0.5  # \x1b[2J\n")
    second = train(code, store, "--seed", "5", OMP_PLACES="\x1b]0;x\x07")
    capsys.readouterr()
    cli.run(["diff", first.id, second.id, "--store", str(store)])
    assert "\x1b" not in capsys.readouterr().out


def test_it_goes_along_when_a_run_is_synced(code: GitFolder, tmp_path: Path) -> None:
    store, target = tmp_path / "store", tmp_path / "target"
    run = train(code, store, "--seed", "5")
    assert cli.run(["sync", str(target), "--store", str(store)]) == 0
    (there,) = Store(target).runs()
    assert there.provenance == run.provenance
    assert there.provenance["git"]["commit"]


def test_it_goes_along_when_a_run_is_repaired_and_sealed(code: GitFolder, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "src/train.py", "--seed", "5"], cwd=code.top, check=True, timeout=60,
        env={**os.environ, "HPCTRACK_SEAL": "manual"},
    )  # fmt: skip
    wait_for(lambda: not list_agents())
    (run,) = Store(tmp_path / "store").runs()
    told = run.provenance
    assert told["git"]["commit"]
    run.close()
    (path,) = run.folder.glob("node-*.h5")
    # Cut off the last bytes, as a full disk does.
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1000)
    repair_run(run.folder, force=True)
    (repaired,) = Store(tmp_path / "store").runs()
    assert repaired.provenance == told
    repaired.close()
    assert verify_run(run.folder).is_intact
    seal_run(run.folder, force=True)
    (sealed,) = Store(tmp_path / "store").runs()
    assert sealed.is_sealed
    assert sealed.provenance == told
