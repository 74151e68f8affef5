"""Which run and attempt a launch records into, on real files."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hpctrack.agents.auto_resume import choose_auto_run
from hpctrack.agents.past import choose_attempt, has_past, read_past
from hpctrack.agents.resume import Chooser
from hpctrack.core.names import make_readable_name
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.stores import START_S, FakeClock, NodeWriter, hello

OLD, NEW = "01d0000000000000", "0e00000000000000"


def write(
    store: Path,
    *,
    run: str = "r",
    attempt: int = 1,
    launch: str = OLD,
    steps: range = range(5),
    exit_code: int | None = 1,
    node: int = 0,
    is_open: bool = False,
    **more: Any,
) -> Path:
    """Write one launch's node file of one rank, and return the run's folder."""
    writer = NodeWriter(store, run=run, attempt=attempt, node=node)
    session = writer.start(0, launch=launch, **more)
    writer.event(EventKind.CONFIG, {"lr": attempt})
    writer.event(EventKind.SUMMARY, {"best": 7})
    if steps:
        writer.points("loss", 0, steps, [float(step) for step in steps])
    if is_open:
        writer.flush()
        return writer.file.path.parent
    writer.end(0, session, exit_code)
    return writer.close().parent


def said(store: Path, **more: Any) -> dict[str, Any]:
    name = make_readable_name("r")
    return hello(0, store=str(store), project="p", run="r", name=name, launch=NEW) | more


@pytest.fixture
def clock() -> FakeClock:
    """A minute and a half after everything that was written."""
    return FakeClock(START_S + 90)


def test_a_new_run_is_the_attempt_that_was_asked_for(tmp_path: Path, clock: FakeClock) -> None:
    assert choose_attempt(tmp_path / "p" / "r", NEW, 3, clock=clock.clock()) == 3


def test_an_id_that_is_used_again_becomes_the_next_attempt(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = write(tmp_path, attempt=4)
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 5
    assert choose_attempt(folder, NEW, 9, clock=clock.clock()) == 9
    assert choose_attempt(folder, OLD, 1, clock=clock.clock()) == 4
    seal_run(folder, clock=clock.clock())
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 5


def test_all_nodes_of_a_launch_agree(tmp_path: Path, clock: FakeClock) -> None:
    folder = write(tmp_path)
    write(tmp_path, attempt=2, launch=NEW, node=1)
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 2
    assert has_past(folder, NEW, clock=clock.clock())
    assert not has_past(folder.with_name("other"), NEW, clock=clock.clock())


def test_a_file_whose_first_rank_is_on_its_way_is_taken_for_our_own(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = write(tmp_path)
    clock.now_s = START_S
    writer = NodeWriter(tmp_path, attempt=2, node=1)
    writer.flush()
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 2
    clock.now_s += 60
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 3
    writer.close()


def test_a_broken_file_counts_as_somebody_elses(tmp_path: Path, clock: FakeClock) -> None:
    folder = write(tmp_path)
    (folder / "node-0000.a7-00000000.h5").write_bytes(b"broken")
    assert choose_attempt(folder, NEW, 1, clock=clock.clock()) == 8


def test_the_last_step_is_the_last_that_counts(tmp_path: Path, clock: FakeClock) -> None:
    folder = write(tmp_path, steps=range(100))
    assert read_past(folder, 9, clock=clock.clock()).step == 99
    write(tmp_path, attempt=2, launch=NEW, steps=range(80, 90))
    assert read_past(folder, 9, clock=clock.clock()).step == 89
    assert read_past(folder, 2, clock=clock.clock()).step == 99
    assert read_past(folder.with_name("nothing"), 9, clock=clock.clock()).step is None


def test_without_a_launch_everything_stays_as_it_was_asked(tmp_path: Path) -> None:
    write(tmp_path)
    choice = Chooser(FakeClock().clock()).choose(said(tmp_path, launch="", attempt=2))
    assert (choice.run, choice.attempt, choice.past) == ("r", 2, None)


@pytest.mark.parametrize("mode", ["allow", "must"])
def test_resuming_goes_on_behind_the_last_step_with_the_old_values(
    mode: str, tmp_path: Path, clock: FakeClock
) -> None:
    write(tmp_path)
    chooser = Chooser(clock.clock())
    choice = chooser.choose(said(tmp_path, resume=mode))
    told = choice.to_welcome()
    assert (told["run"], told["attempt"], told["resumed"], told["step"]) == ("r", 2, True, 4)
    assert told["config"] == {"lr": 1}
    assert told["summary"] == {"best": 7, "loss": 4.0}
    assert choice.notices == ()
    assert chooser.choose(said(tmp_path, resume=mode, rank=1)) is choice


def test_an_id_that_is_used_again_by_chance_costs_no_reading(
    tmp_path: Path, clock: FakeClock
) -> None:
    write(tmp_path)
    choice = Chooser(clock.clock()).choose(said(tmp_path))
    assert choice.to_welcome() == {"run": "r", "attempt": 2}


def test_never_gives_the_run_an_id_of_its_own_and_must_complains(
    tmp_path: Path, clock: FakeClock
) -> None:
    first = Chooser(clock.clock()).choose(said(tmp_path, resume="must"))
    assert (first.run, first.attempt, first.notices[0]["code"]) == ("r", 1, "resume")
    write(tmp_path)
    for node in (0, 1):
        greeting = said(tmp_path, resume="never", node=node)
        choice = Chooser(clock.clock()).choose(greeting)
        choice.apply(greeting)
        assert greeting["run"] == f"r-{NEW[:4]}"
        assert greeting["name"] == make_readable_name(greeting["run"])
        assert greeting["attempt"] == 1
        assert "exists" in choice.notices[0]["text"]


def test_a_rewind_says_where_to_go_on(tmp_path: Path, clock: FakeClock) -> None:
    write(tmp_path)
    chooser = Chooser(clock.clock())
    told = chooser.choose(said(tmp_path, resume="allow", rewind=2)).to_welcome()
    assert (told["step"], told["config"]) == (2, {"lr": 1})
    nothing = chooser.choose(said(tmp_path, run="new", resume="allow", rewind=2))
    assert "no run new" in nothing.notices[0]["text"]


def test_values_that_do_not_fit_into_one_message_are_left_out(
    tmp_path: Path, clock: FakeClock
) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0, launch=OLD)
    writer.event(EventKind.CONFIG, {"text": "x" * 200_000})
    writer.event(EventKind.SUMMARY, {"best": 7})
    writer.close()
    told = Chooser(clock.clock()).choose(said(tmp_path, resume="allow")).to_welcome()
    assert "config" not in told
    assert told["summary"] == {"best": 7}


def test_a_fork_is_a_copy_that_stands_alone(tmp_path: Path, clock: FakeClock) -> None:
    folder = write(tmp_path, run="parent", steps=range(10))
    fork = {"run": "parent", "step": 6}
    elsewhere = Chooser(clock.clock()).choose(said(tmp_path, fork=fork, rank=1))
    assert not (tmp_path / "p" / "r").exists()
    choice = Chooser(clock.clock()).choose(said(tmp_path, fork=fork))
    assert choice.to_welcome() == elsewhere.to_welcome()
    assert choice.to_welcome()["step"] == 6
    assert choice.to_welcome()["config"] == {"lr": 1}
    for path in folder.iterdir():
        path.unlink()
    write(tmp_path, launch=NEW, steps=range(5, 8), exit_code=0)
    run = StoredRun(tmp_path / "p" / "r", clock=clock.clock())
    assert run.record.fork == {"run": "parent", "step": 6}
    assert (run.record.attempts, run.record.state) == (1, "finished")
    assert run.metric("loss").steps.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert run.record.summary["best"] == 7
    run.close()
    seal_run(run.folder, clock=clock.clock())
    assert run.record.fork == {"run": "parent", "step": 6}


def test_a_requeued_fork_goes_on_where_it_was(tmp_path: Path, clock: FakeClock) -> None:
    write(tmp_path, run="parent", steps=range(10))
    fork = {"run": "parent", "step": 6}
    Chooser(clock.clock()).choose(said(tmp_path, fork=fork, launch=OLD))
    write(tmp_path, steps=range(7, 30))
    choice = Chooser(clock.clock()).choose(said(tmp_path, fork=fork))
    assert choice.past is not None
    assert (choice.attempt, choice.past.step) == (2, 29)


def test_a_parent_that_is_not_there_is_told(tmp_path: Path, clock: FakeClock) -> None:
    choice = Chooser(clock.clock()).choose(said(tmp_path, fork={"run": "nobody", "step": 1}))
    assert choice.past is None
    assert "begins from nothing" in choice.notices[0]["text"]


# -- auto ------------------------------------------------------------------------------------------

PROGRAM = "abc0"


def auto(store: Path, launch: str, own: str, clock: FakeClock) -> str:
    return choose_auto_run(store / "p", PROGRAM, launch, own, clock=clock.clock())


def test_auto_goes_on_with_the_latest_run_that_did_not_finish(
    tmp_path: Path, clock: FakeClock
) -> None:
    assert auto(tmp_path, "a1", "one", clock) == "one"
    assert auto(tmp_path, "a1", "other", clock) == "one"
    write(tmp_path, run="one", launch="a1")
    assert auto(tmp_path, "a2", "two", clock) == "one"
    assert auto(tmp_path, "a2", "two", clock) == "one"
    write(tmp_path, run="one", attempt=2, launch="a2", exit_code=0)
    assert auto(tmp_path, "a3", "three", clock) == "three"


def test_auto_never_joins_a_run_that_may_be_alive(tmp_path: Path, clock: FakeClock) -> None:
    clock.now_s = START_S + 1
    assert auto(tmp_path, "a1", "one", clock) == "one"
    folder = write(tmp_path, run="one", launch="a1", is_open=True)
    assert auto(tmp_path, "a2", "two", clock) == "two"
    clock.now_s += 100
    assert auto(tmp_path, "a3", "three", clock) == "one"
    assert folder.name == "one"


def test_auto_looks_at_the_processes_of_this_machine(tmp_path: Path, clock: FakeClock) -> None:
    clock.now_s = START_S + 1
    for launch, run, pid in (("a1", "one", os.getpid()), ("b1", "two", 2**22 + 1)):
        writer = NodeWriter(tmp_path, run=run)
        more = {"pid": pid, "host": socket.gethostname(), "launch": launch}
        writer.event(EventKind.START, hello(0, **more))
        writer.flush()
        assert auto(tmp_path, launch, run, clock) == run
    assert auto(tmp_path, "a3", "three", clock) == "two"


def test_two_launches_never_take_the_same_run(tmp_path: Path, clock: FakeClock) -> None:
    for launch, run in (("a1", "one"), ("a2", "two")):
        auto(tmp_path, launch, run, clock)
    for launch, run in (("a1", "one"), ("a2", "two")):
        write(tmp_path, run=run, launch=launch)
    taken = {auto(tmp_path, launch, "new", clock) for launch in ("a3", "a4", "a5")}
    assert taken == {"one", "two", "new"}


def test_a_success_leaves_nothing_to_resume(tmp_path: Path, clock: FakeClock) -> None:
    chooser = Chooser(clock.clock())
    greeting = said(tmp_path, resume="auto", program=PROGRAM)
    assert chooser.choose(greeting).run == "r"
    (file,) = (tmp_path / "p" / ".resume").iterdir()
    chooser.finish(greeting, 1)
    assert file.exists()
    chooser.finish(greeting, 0)
    assert not file.exists()


def test_a_folder_that_cannot_be_written_costs_only_the_resuming(
    tmp_path: Path, clock: FakeClock
) -> None:
    (tmp_path / "p").write_text("a file")
    assert auto(tmp_path, "a1", "one", clock) == "one"
    assert choose_auto_run(tmp_path, "../x", "a1", "one", clock=clock.clock()) == "one"
