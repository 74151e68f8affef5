"""Which run a requeued launch goes on with, on real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.resume import Chooser
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from tests.stores import START_S, FakeClock, NodeWriter, hello

JOB, PROGRAM, OTHER = "4711", "0a" * 8, "0b" * 8


@pytest.fixture
def chooser() -> Chooser:
    return Chooser(FakeClock(START_S + 90).clock())


def told(life: int, program: str = PROGRAM) -> dict[str, Any]:
    return {"relaunch": {"job": JOB, "program": program, "life": life}}


def begin(
    store: Path, run: str, launch: str, *, second: int, attempt: int = 1, **more: Any
) -> Path:
    """Write the node file of a launch that began so many seconds after the job."""
    writer = NodeWriter(store, run=run, attempt=attempt, wall_s=START_S + second)
    writer.start(0, launch=launch, wall_s=START_S + second, **{**told(attempt), **more})
    writer.points("loss", 0, range(3), [0.0, 1.0, 2.0])
    return writer.close().parent


def ask(chooser: Chooser, store: Path, launch: str, life: int, **more: Any) -> tuple[str, int]:
    """Return run and attempt of a launch whose own id is made from its name."""
    said = {"store": str(store), "project": "p", "run": f"{JOB}-{launch}", "launch": launch}
    made = chooser.choose(hello(0, **{**said, "attempt": life, **told(life), **more}))
    return made.run, made.attempt


def test_the_first_launch_of_a_command_is_the_first_one_again(
    tmp_path: Path, chooser: Chooser
) -> None:
    begin(tmp_path, f"{JOB}-bb", "bb", second=1)
    sealed = begin(tmp_path, f"{JOB}-aa", "aa", second=2)
    seal_run(sealed, force=True)
    begin(tmp_path, f"{JOB}-cc", "cc", second=0, **told(1, OTHER))
    begin(tmp_path, "47110-dd", "dd", second=0)
    assert ask(chooser, tmp_path, "e1", 1) == (f"{JOB}-e1", 1), "another launch of the same life"
    assert ask(chooser, tmp_path, "f1", 2) == (f"{JOB}-bb", 2)
    for _node in range(2):
        again = Chooser(chooser.clock)
        assert ask(again, tmp_path, "f2", 2) == (f"{JOB}-aa", 2)
        assert ask(again, tmp_path, "f1", 2) == (f"{JOB}-bb", 2)
    assert ask(chooser, tmp_path, "f3", 2) == (f"{JOB}-f3", 2), "no third one has begun before"
    assert ask(chooser, tmp_path, "f4", 2, **told(2, OTHER)) == (f"{JOB}-cc", 2)


def test_a_third_life_finds_what_the_second_has_begun(tmp_path: Path, chooser: Chooser) -> None:
    begin(tmp_path, f"{JOB}-aa", "aa", second=1)
    begin(tmp_path, f"{JOB}-aa", "bb", second=60, attempt=2)
    begin(tmp_path, f"{JOB}-cc", "cc", second=70, attempt=2)
    assert ask(chooser, tmp_path, "d1", 3) == (f"{JOB}-aa", 3)
    assert ask(chooser, tmp_path, "d2", 3) == (f"{JOB}-cc", 3)
    assert ask(chooser, tmp_path, "d3", 3) == (f"{JOB}-d3", 3)


def test_a_launch_whose_id_was_used_before_keeps_it(tmp_path: Path, chooser: Chooser) -> None:
    begin(tmp_path, f"{JOB}-aa", "aa", second=1)
    begin(tmp_path, f"{JOB}-same", "old", second=2)
    said = {"run": f"{JOB}-same"}
    assert ask(chooser, tmp_path, "new", 2, **said) == (f"{JOB}-same", 2)


@pytest.mark.parametrize(
    "more",
    [
        {"relaunch": "what"},
        {"relaunch": {"job": "../..", "program": PROGRAM, "life": 2}},
        {"relaunch": {"job": JOB, "life": 2}},
        {"relaunch": {"job": JOB, "program": PROGRAM, "life": "x"}},
        {"resume": "never"},
    ],
)
def test_what_cannot_be_understood_or_is_not_wanted_begins_a_run(
    tmp_path: Path, chooser: Chooser, more: dict[str, Any]
) -> None:
    begin(tmp_path, f"{JOB}-aa", "aa", second=1)
    assert ask(chooser, tmp_path, "new", 2, **more)[0] == f"{JOB}-new"


def test_damage_and_places_that_cannot_be_written_cost_no_start(
    tmp_path: Path, chooser: Chooser
) -> None:
    folder = begin(tmp_path, f"{JOB}-aa", "aa", second=1)
    for path in folder.iterdir():
        path.write_bytes(b"no HDF5 at all")
    begin(tmp_path, f"{JOB}-bb", "bb", second=2)
    assert ask(chooser, tmp_path, "c1", 2) == (f"{JOB}-bb", 2)
    (tmp_path / "p" / ".resume" / f"{JOB}-bb-life3.json").write_text("[]")
    assert ask(chooser, tmp_path, "c2", 3) == (f"{JOB}-c2", 3)


def test_resuming_reads_what_the_earlier_life_had_come_to(tmp_path: Path, chooser: Chooser) -> None:
    writer = NodeWriter(tmp_path, run=f"{JOB}-aa")
    writer.start(0, launch="aa", **told(1))
    writer.event(EventKind.CONFIG, {"lr": 0.1})
    writer.points("loss", 0, range(3), [0.0, 1.0, 2.0])
    writer.close()
    said = {"store": str(tmp_path), "project": "p", "run": f"{JOB}-bb", "launch": "bb"}
    made = chooser.choose(hello(0, **{**said, "attempt": 2, **told(2), "resume": "allow"}))
    assert made.past is not None
    assert (made.run, made.past.step, made.past.config) == (f"{JOB}-aa", 2, {"lr": 0.1})
