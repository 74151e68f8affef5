"""Provenance through real agents: collected beside the loop, read back live and sealed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hpctrack
from hpctrack import Store, StoredRun
from hpctrack.store.provenance import read_provenance
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.verify import verify_run
from tests.programs import list_agents, rank_environment, run_python, start_python, wait_for
from tests.repositories import GitFolder, make_repository

PROGRAM = """
import sys
import hpctrack
run = hpctrack.init("p", config={"seed": 7, "model": {"init_seed": 8}})
run.log({"loss": 0.5})
print("up", flush=True)
if "wait" in sys.argv:
    sys.stdin.readline()
run.finish()
"""


@pytest.fixture(autouse=True)
def records_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCTRACK_PROVENANCE", "auto")


@pytest.fixture
def code(tmp_path: Path) -> GitFolder:
    made = make_repository(tmp_path / "code", train__py=PROGRAM)
    made.git("remote", "add", "origin", "https://me:planted99@host/a.git")
    return made


def run_script(code: GitFolder, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "train.py", *words], cwd=code.top, env={**os.environ, **environ},
        input="", capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip


def read_when(store: Path, *parts: str) -> dict[str, Any]:
    """Return the provenance of the one run as soon as it has these parts."""

    def look() -> dict[str, Any]:
        found = list(Store(store).runs()) if store.is_dir() else []
        told = found[0].provenance if found else {}
        for one in found:
            one.close()
        return told if set(parts) <= set(told) else {}

    return wait_for(look)


def check(told: dict[str, Any], code: GitFolder, words: list[str]) -> None:
    assert told["program"]["argv"] == [sys.executable, "train.py", *words]
    assert told["program"]["cwd"] == str(code.top)
    assert told["program"]["script"] == str(code.top / "train.py")
    assert told["git"]["commit"] == code.git("rev-parse", "HEAD")
    assert told["git"]["remotes"] == {"origin": "https://***@host/a.git"}
    assert told["python"]["version"] == sys.version.split()[0]
    assert told["python"]["packages"]["numpy"]
    assert told["environment"]["OMP_NUM_THREADS"] == "3"
    assert any("libc.so" in one or "/libc-" in one for one in told["libraries"]["loaded"])
    assert told["machine"]["cpus"] == os.cpu_count()
    assert told["of"] == {"attempt": 1, "node": 0, "host": os.uname().nodename, "rank": 0}
    assert told["seeds"]["config.seed"] == 7
    assert told["seeds"]["config.model.init_seed"] == 8
    assert told["seeds"]["--seed"] == "9"
    assert told["seeds"]["PYTHONHASHSEED"] == "11"
    assert "source" not in told  # git has it


def test_a_run_tells_what_it_was_made_of_live_and_sealed(code: GitFolder, tmp_path: Path) -> None:
    environ = {"OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "11", "HF_TOKEN": "planted99"}
    words = ["wait", "--seed", "9", "--token", "planted99"]
    with subprocess.Popen(
        [sys.executable, "train.py", *words], cwd=code.top, env={**os.environ, **environ},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        masked = [*words[:-1], "***"]
        check(read_when(tmp_path / "store", "git", "python", "libraries"), code, masked)
        child.communicate("\n", timeout=60)
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    check(run.provenance, code, masked)
    assert run.provenance["masked"] >= 3
    assert run.find_provenance(attempt=1, node=0) == run.provenance
    assert run.find_provenance(attempt=2) == {}
    assert run.find_provenance(node=1) == {}
    report = verify_run(run.folder)
    assert report.is_intact


def test_a_program_that_ends_at_once_is_seen_all_the_same(tmp_path: Path) -> None:
    run_python(PROGRAM, "--lr", "1", "--api-key=planted99")
    told = read_when(tmp_path / "store", "program", "python", "libraries")
    assert told["program"]["argv"][-3:] == ["--lr", "1", "--api-key=***"]
    assert told["environment"]["OMP_NUM_THREADS"] == "1"


def test_a_script_that_git_does_not_know_is_recorded_itself(tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    script = tmp_path / "alone" / "a.py"
    script.write_text(PROGRAM + "password = 'planted99'\n")
    subprocess.run([sys.executable, str(script)], input="", text=True, check=True, timeout=60)
    told = read_when(tmp_path / "store", "source")
    assert told["source"]["path"] == str(script)
    assert told["source"]["text"] == PROGRAM + "password = '***'\n"
    assert "git" in told["missing"]


def test_parts_can_be_left_out(code: GitFolder, tmp_path: Path) -> None:
    code.write("train.py", PROGRAM + "# changed\n")
    skip = "environment, diff,machine,program,no-such"
    run_script(code, HPCTRACK_PROVENANCE_SKIP=skip, HPCTRACK_PROVENANCE_ENV="MY_FLAG", MY_FLAG="1")
    told = read_when(tmp_path / "store", "git", "python")
    assert told["git"]["changed"] == ["train.py"]
    assert "diff" not in told["git"]
    assert not {"environment", "machine", "program"} & set(told)
    assert told["missing"]["provenance_skip"] == "there is no part no-such"


def test_all_can_be_left_out(tmp_path: Path) -> None:
    run_python(PROGRAM, env={"HPCTRACK_PROVENANCE": "off"})
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    assert run.provenance == {}
    (start,) = [one for one in run.sources()[0].events if one.kind == EventKind.START]
    assert start.json()["settings"]["provenance"] == "off"


def test_more_variables_can_be_asked_for(code: GitFolder, tmp_path: Path) -> None:
    asked = {
        "HPCTRACK_PROVENANCE_ENV": "MY_*,DATA",
        "MY_A": "1",
        "MY_TOKEN": "planted99",
        "DATA": "/d",
    }
    run_script(code, **asked, UNASKED="1")
    told = read_when(tmp_path / "store", "environment")["environment"]
    assert (told["MY_A"], told["MY_TOKEN"], told["DATA"]) == ("1", "***", "/d")
    assert "UNASKED" not in told


def test_what_the_rank_says_of_its_python_is_not_written_as_it_came(
    code: GitFolder, tmp_path: Path
) -> None:
    run_script(code, "--token", "planted99")
    read_when(tmp_path / "store", "git")
    run = Store(tmp_path / "store").runs()[0]
    starts = [one.json() for one in run.sources()[0].events if one.kind == EventKind.START]
    assert starts
    assert not any("python" in one for one in starts)


def test_each_node_tells_of_itself_and_the_first_of_what_all_have(
    code: GitFolder, tmp_path: Path
) -> None:
    for rank in range(2):
        Path(os.environ["HPCTRACK_RUNTIME_DIR"], str(rank)).mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "train.py"], cwd=code.top, stdin=subprocess.DEVNULL,
            env={
                **os.environ, **rank_environment(rank, 2, node=rank), "LOCAL_WORLD_SIZE": "1",
                "LOCAL_RANK": "0",
                "HPCTRACK_RUNTIME_DIR": f"{os.environ['HPCTRACK_RUNTIME_DIR']}/{rank}",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    assert [one.wait(60) for one in started] == [0, 0]
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    first, second = (run.find_provenance(node=node) for node in range(2))
    assert run.provenance == first
    assert {"git", "python", "environment", "program", "libraries", "machine"} <= set(first)
    assert {"program", "libraries", "machine"} <= set(second)
    assert not {"git", "python", "environment"} & set(second)
    assert (first["of"]["rank"], second["of"]["rank"]) == (0, 1)


def test_many_ranks_of_a_node_are_collected_once_from_the_first(tmp_path: Path) -> None:
    ranks = [
        start_python(
            PROGRAM, "wait", str(rank), env=rank_environment(rank, 3), stdin=subprocess.PIPE
        )
        for rank in (2, 1, 0)
    ]
    told = read_when(tmp_path / "store", "python")
    for one in ranks:
        one.communicate("\n", timeout=60)
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    kinds = [one.kind for one in run.sources()[0].events]
    assert kinds.count(EventKind.START) == 3
    begun = {run.provenance["collected_wall_s"]}
    assert begun == {told["collected_wall_s"]}


def test_what_is_loaded_later_is_found_when_the_run_ends(tmp_path: Path) -> None:
    late = """
import sys
import hpctrack
run = hpctrack.init("p")
sys.stdin.readline()
import _sqlite3
run.finish()
"""
    with start_python(late, stdin=subprocess.PIPE) as child:
        told = read_when(tmp_path / "store", "libraries", "missing")
        assert not any("sqlite" in one for one in told["libraries"]["loaded"])
        child.communicate("\n", timeout=60)
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    assert any("libsqlite" in one for one in run.provenance["libraries"]["loaded"])


def test_git_is_a_child_of_the_agent(code: GitFolder, tmp_path: Path) -> None:
    commit = code.git("rev-parse", "HEAD")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho $PPID "$GIT_DIR" >> {tmp_path}/parents\nexit 1\n')
    fake.chmod(0o755)
    environ = {
        **os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}", "GIT_DIR": "/elsewhere",
    }  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "train.py", "wait"], cwd=code.top, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=environ,
    ) as child:  # fmt: skip
        told = read_when(tmp_path / "store", "git")
        assert told["git"]["commit"] == commit
        lines = (tmp_path / "parents").read_text().split("\n")
        assert set(filter(None, lines)) == {f"{one} " for one in list_agents()}
        child.communicate("\n", timeout=60)


def hang_git(tmp_path: Path) -> dict[str, str]:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/git-pid; exec sleep 1000\n")
    fake.chmod(0o755)
    return {"PATH": f"{fake.parent}:{os.environ['PATH']}"}


@pytest.mark.slow
def test_a_git_that_hangs_costs_git_and_nothing_else(code: GitFolder, tmp_path: Path) -> None:
    run_script(code, **hang_git(tmp_path))
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    assert run.state == "finished"
    assert run.metric("loss").values.tolist() == [0.5]
    told = run.provenance
    assert {"program", "python", "libraries"} <= set(told)
    assert "changed" not in told["git"]
    assert "did not answer" in told["missing"]["git"]
    wait_for(lambda: not list_agents())
    pid = (tmp_path / "git-pid").read_text().strip()
    wait_for(lambda: not Path("/proc", pid).exists())


def test_numbers_go_on_while_git_hangs(code: GitFolder, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "train.py", "wait"], cwd=code.top, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, **hang_git(tmp_path)},
    ) as child:  # fmt: skip
        read_when(tmp_path / "store", "python")

        def has_points() -> bool:
            with_points = Store(tmp_path / "store").runs()[0]
            try:
                return "loss" in with_points.metrics()
            finally:
                with_points.close()

        wait_for(has_points)
        child.communicate("\n", timeout=60)
    assert child.returncode == 0


@pytest.mark.slow
def test_the_successor_of_a_killed_agent_does_not_rewrite_history(
    code: GitFolder, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "train.py", "wait"], cwd=code.top, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        before = read_when(tmp_path / "store", "git")
        (agent,) = list_agents()
        os.kill(agent, signal.SIGKILL)
        # Somebody edits the code while the run goes on.
        code.write("train.py", PROGRAM + "# edited meanwhile\n")
        child.communicate("\n", timeout=60)
    run = Store(tmp_path / "store").runs()[0]
    found = run.provenance
    assert found["git"] == before["git"]
    assert found["collected_wall_s"] == before["collected_wall_s"]
    wait_for(lambda: not list_agents())
    seal_run(run.folder, force=True)
    assert Store(tmp_path / "store").runs()[0].provenance == found


def test_a_file_that_is_rolled_over_keeps_it_once(code: GitFolder, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "train.py", "wait"], cwd=code.top, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env={**os.environ, "HPCTRACK_ROLL_OVER_S": "0.3",
                                                "HPCTRACK_HEARTBEAT_S": "0.1"},
    ) as child:  # fmt: skip
        before = read_when(tmp_path / "store", "git", "python")
        folder = Store(tmp_path / "store").runs()[0].folder
        wait_for(lambda: len(list(folder.glob("node-*.h5"))) > 2)
        assert read_when(tmp_path / "store", "git", "python") == before
        child.communicate("\n", timeout=60)
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    assert run.provenance["git"] == before["git"]


def test_a_recorder_in_the_rank_starts_no_program(
    code: GitFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = code.git("rev-parse", "HEAD")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("hpctrack.client.spawn.SOCKET_PATH_MAX_BYTES", 1)
    monkeypatch.chdir(code.top)
    with hpctrack.init("p") as run:
        run.log({"a": 1})
        assert list_agents() == []
    told = read_when(tmp_path / "store", "git", "python")
    assert told["git"]["commit"] == commit
    assert told["missing"]["git"] == "git is not started from within a rank"
    assert not (tmp_path / "started").exists()


def test_hpctrack_run_records_the_command_without_its_secrets(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpctrack", "run", "-p", "p", "--", "true", "--password", "planted"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    told = read_when(tmp_path / "store", "program", "python")
    assert told["program"]["argv"][-4:] == ["--", "true", "--password", "***"]
    assert Store(tmp_path / "store").runs()[0].config["command"] == ["true", "--password", "***"]


def test_reading_tolerates_what_is_damaged(tmp_path: Path) -> None:
    run_python(PROGRAM)
    run = wait_for(
        lambda: next((one for one in Store(tmp_path / "store").runs() if one.is_sealed), None)
    )
    assert isinstance(run, StoredRun)
    sources = run._byte_sources()

    class Other:
        def __init__(self, body: bytes) -> None:
            self.body = body

        def read_bytes(self, *_arguments: object) -> bytes:
            return self.body

    def read(body: bytes) -> dict[str, Any]:
        return read_provenance([(events, Other(body)) for events, _reader in sources])

    for body in (b"[1, 2", b"[1]", b"\xff", b"", b"null"):
        assert read(body) == {}
    strange = read(
        b'{"git": [], "program": {"argv": ["a"]}, "masked": "x", "collected_wall_s": null}'
    )
    assert strange["program"] == {"argv": ["a"]}
    assert "git" not in strange
    assert strange["masked"] == 0


def test_one_short_run_after_another_is_collected_once(code: GitFolder, tmp_path: Path) -> None:
    (code.top / "train.py").write_text(
        "import hpctrack\n"
        "for number in range(3):\n"
        "    run = hpctrack.init('p', id=f'r{number}')\n"
        "    run.log({'a': 1})\n"
        "    run.finish()\n"
    )
    run_script(code)
    store = Store(tmp_path / "store")
    wait_for(lambda: all(store.run(f"r{number}").is_sealed for number in range(3)))
    found = [store.run(f"r{number}").provenance for number in range(3)]
    assert [one["git"]["commit"] for one in found] == [found[0]["git"]["commit"]] * 3
    # The first run may end before its answer is kept; from then on nobody is asked again.
    assert found[2]["collected_wall_s"] == found[1]["collected_wall_s"]


def test_what_the_scheduler_says_is_searched_for_secrets_too(
    code: GitFolder, tmp_path: Path
) -> None:
    fake = tmp_path / "bin" / "scontrol"
    fake.parent.mkdir()
    said = (
        "JobId=42 JobName=train UserId=a(1) JobState=RUNNING Partition=gpu "
        "Comment=password=planted99 Command=/x/job.sh --token=planted99"
    )
    fake.write_text(f"#!/bin/sh\ncase \"$*\" in *show*) echo '{said}';; *) exit 1;; esac\n")
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    run_script(code, PATH=path, SLURM_JOB_ID="42", SLURM_JOB_NAME="train")
    told = read_when(tmp_path / "store", "scheduler")
    assert told["scheduler"]["partition"] == "gpu"
    assert "***" in json.dumps(told["scheduler"])
    assert "planted99" not in json.dumps(told)
