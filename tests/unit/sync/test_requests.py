"""Runs that a job has asked to be pushed at once."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.cli.main import run
from hpctrack.cli.sync.triggered import PATIENCE_S, serve_requests
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import SyncError
from hpctrack.store.sync_requests import SyncRequest, claim_requests, request_sync
from tests.programs import wait_for

Capture = pytest.CaptureFixture[str]
LATER = Clock(wall_s=lambda: SYSTEM_CLOCK.wall_s() + PATIENCE_S + 60, mono_s=SYSTEM_CLOCK.mono_s)


def ask(store: Path, name: str = "") -> Path:
    request = SyncRequest(*name.split("/")) if name else SyncRequest()
    return request_sync(store, request, wall_s=1.0, who="me")


def serve(
    store: Path, *, fails: bool = False, waiting: tuple[str, ...] = (), clock: Clock = SYSTEM_CLOCK
) -> list[list[str]]:
    pushed: list[list[str]] = []

    def push(names: list[str]) -> tuple[str, ...]:
        pushed.append(names)
        if fails:
            raise SyncError("cut")
        return waiting

    serve_requests(store, push, clock=clock)
    return pushed


def list_waiting(store: Path) -> list[str]:
    return sorted(path.name for path in (store / ".sync-requests").iterdir())


def test_what_was_asked_for_is_pushed_once(source: Path) -> None:
    for _ in range(3):
        ask(source, "digits/one")
    ask(source, "other/one")
    assert list_waiting(source) == ["digits@one.json", "other@one.json"]
    assert serve(source) == [["digits/one", "other/one"]]
    assert serve(source) == []
    assert list_waiting(source) == []


def test_everything_is_asked_for_by_no_name(source: Path) -> None:
    ask(source)
    ask(source, "digits/one")
    assert serve(source) == [[]]
    assert list_waiting(source) == []


def test_a_push_that_fails_is_asked_for_still(source: Path) -> None:
    ask(source, "digits/one")
    with pytest.raises(SyncError):
        serve(source, fails=True)
    assert serve(source) == [["digits/one"]]


def test_who_asks_while_a_push_is_going_on_is_served_again(source: Path) -> None:
    ask(source, "digits/one")
    pushed = []

    def push(names: list[str]) -> list[str]:
        pushed.append(names)
        ask(source, "digits/one")
        return []

    serve_requests(source, push, clock=SYSTEM_CLOCK)
    assert list_waiting(source) == ["digits@one.json"]
    assert serve(source) == [["digits/one"]]


def test_a_run_that_is_not_here_yet_is_waited_for_and_then_forgotten(source: Path) -> None:
    ask(source, "digits/absent")
    assert serve(source) == []
    assert list_waiting(source) == ["digits@absent.claimed"]
    assert serve(source, clock=LATER) == []
    assert list_waiting(source) == []


def test_a_run_that_is_being_sealed_is_asked_for_still(source: Path) -> None:
    ask(source, "digits/one")
    ask(source, "other/one")
    assert serve(source, waiting=("digits/one",)) == [["digits/one", "other/one"]]
    assert serve(source) == [["digits/one"]]


LOG = """
import sys, hpctrack
run = hpctrack.init(project="digits", id="asks", dir=sys.argv[1])
run.log({"loss": 1.0})
for _ in range(100):
    hpctrack.request_sync()
run.flush()
print("asked", flush=True)
sys.stdin.readline()
run.request_sync()
run.finish()
run.request_sync()
print("finished", flush=True)
sys.stdin.readline()
"""


def test_a_program_asks_and_is_not_held_up(tmp_path: Path) -> None:
    store = tmp_path / "store"
    program = subprocess.Popen(
        [sys.executable, "-c", LOG, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline() == b"asked\n"
        wait_for((store / ".sync-requests/digits@asks.json").exists)
        with closing(Store(store).run("digits/asks")) as run_:
            assert run_.history()["loss"].tolist() == [1.0]
        assert serve(store) == [["digits/asks"]]
        program.stdin.write(b"\n")
        program.stdin.flush()
        # The agent has left the wish when finish() returns.
        assert program.stdout.readline() == b"finished\n"
        assert list_waiting(store) == ["digits@asks.json"]
    finally:
        _out, err = program.communicate(b"\n", timeout=60)
    assert program.returncode == 0
    assert b"request_sync" in err  # the one after the end is told, and does not raise


def test_the_runs_of_other_projects_are_left_alone(source: Path) -> None:
    ask(source, "digits/one")
    ask(source, "other/one")
    pushed: list[str] = []

    def push(names: list[str]) -> tuple[str, ...]:
        pushed.extend(names)
        return ()

    serve_requests(source, push, project="other", clock=LATER)
    assert pushed == ["other/one"]
    assert list_waiting(source) == ["digits@one.json"]


def test_other_files_in_the_folder_are_passed_over(source: Path) -> None:
    path = ask(source, "digits/one")
    for name in ("x.txt", "..@...json", "a@b@c.json", "@.json", "digits@.json", ".x.tmp"):
        (path.parent / name).write_text("{}")
    assert claim_requests(source, lambda _one: True) == [SyncRequest("digits", "one")]


def test_the_command_asks_and_another_one_pushes(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    target = tmp_path / "target"
    assert run(["sync", "--trigger", "digits/one", "two", "--store", str(source)]) == 0
    assert "digits/one: asked for" in capsys.readouterr().out
    body = json.loads((source / ".sync-requests/digits@one.json").read_text())
    assert set(body) == {"asked_wall_s", "host", "who"}
    words = ["sync", str(target), "--store", str(source), "--triggered", "--json"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["id"]: one["status"] for one in told["runs"]} == {"one": "sent", "two": "sent"}
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []
    assert run(words[:-1]) == 0
    assert capsys.readouterr().out == ""
    assert run(["sync", "--trigger", "absent", "--store", str(source)]) == 3
