"""``hpctrack tail``: live, sealed, and sealed while it is followed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hpctrack.cli import main as cli
from hpctrack.cli.tail_lines import METRICS_SHOWN, Chooser, Tail
from hpctrack.core.clock import Clock
from hpctrack.store.schema import EventKind, Place
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.programs import wait_for
from tests.stores import START_S, FakeClock, NodeWriter, write_run

Capture = pytest.CaptureFixture[str]


def begin(store: Path, *, node: int = 0, attempt: int = 1) -> tuple[NodeWriter, int]:
    writer = NodeWriter(store, node=node, attempt=attempt)
    session = writer.start(node, size=1)
    return writer, session


def follow(store: Path, *patterns: str, rank: int | None = 0, console: bool = False) -> Tail:
    clock: Clock = FakeClock(START_S).clock()
    return Tail(
        StoredRun(store / "p" / "r", clock=clock),
        clock=clock,
        stale_after_s=60.0,
        patterns=patterns or None,
        rank=rank,
        has_console=console,
    )


def is_running(tail: Tail) -> bool:
    return tail.is_running


def said(lines: Sequence[object]) -> list[str]:
    """Return lines without their time, which depends on the time zone."""
    return [str(one).partition(" ")[2] for one in lines]


def test_a_line_is_what_a_rank_logged_at_a_step(tmp_path: Path) -> None:
    writer, session = begin(tmp_path)
    for step in range(5):
        writer.points("loss", 0, [step], [1.0 - step / 10])
        writer.points("acc", 0, [step], [step / 10])
    writer.points("other", 1, [0], [7.0])
    writer.flush()
    tail = follow(tmp_path)
    assert said(tail.begin(2)) == ["step 3  loss=0.7  acc=0.3", "step 4  loss=0.6  acc=0.4"]
    assert is_running(tail)
    assert tail.read_new() == []
    writer.points("loss", 0, [5], [0.5])
    writer.flush()
    assert said(tail.read_new()) == ["step 5  loss=0.5"]
    writer.end(0, session)
    writer.close()
    assert tail.read_new() == []
    assert not is_running(tail)
    assert tail.record.state == "finished"
    tail.close()


def test_all_ranks_are_named_and_metrics_are_chosen_by_globs(tmp_path: Path) -> None:
    writer, _session = begin(tmp_path)
    for rank in range(2):
        writer.points("val/loss", rank, [0], [float(rank)])
        writer.points("train/loss", rank, [0], [9.0])
    writer.flush()
    tail = follow(tmp_path, "val/*", rank=None)
    assert said(tail.begin(9)) == ["rank 0 step 0  val/loss=0", "rank 1 step 0  val/loss=1"]
    tail.close()


def test_a_run_that_is_sealed_while_it_is_followed_loses_and_doubles_no_line(
    tmp_path: Path,
) -> None:
    writer, session = begin(tmp_path)
    writer.points("loss", 0, [0, 1], [3.0, 2.0])
    writer.flush()
    tail = follow(tmp_path)
    assert len(tail.begin(9)) == 2
    writer.points("loss", 0, [2], [1.0])
    writer.end(0, session)
    seal_run(writer.close().parent)
    assert said([*tail.read_new(), *tail.end()]) == ["step 2  loss=1"]
    assert not is_running(tail)
    assert tail.record.state == "finished"
    tail.close()


def test_a_file_that_was_sealed_before_it_was_seen_is_read_from_the_sealed_one(
    tmp_path: Path,
) -> None:
    writer, session = begin(tmp_path)
    writer.points("loss", 0, [0], [3.0])
    writer.flush()
    tail = follow(tmp_path)
    assert len(tail.begin(9)) == 1
    writer.end(0, session)
    writer.close()
    later, session = begin(tmp_path, attempt=2)
    later.wall_s = START_S + 10
    later.points("loss", 0, [1], [2.0])
    later.end(0, session)
    seal_run(later.close().parent)
    assert said([*tail.read_new(), *tail.end()]) == ["step 1  loss=2"]
    tail.close()


def test_of_a_sealed_run_the_last_lines_are_shown(tmp_path: Path, capsys: Capture) -> None:
    seal_run(write_run(tmp_path / "store", ranks=2, steps=50))
    assert cli.run(["tail", "r", "-n", "2", "--rank", "1"]) == 0
    found = capsys.readouterr()
    assert said(found.out.splitlines()) == ["step 48  loss=1.48", "step 49  loss=1.49"]
    assert found.err == "p/r: finished\n"


def test_json_lines_end_with_the_runs_state(tmp_path: Path, capsys: Capture) -> None:
    writer, session = begin(tmp_path / "store")
    writer.points("loss", 0, [0], [math.nan])
    writer.end(0, session, exit_code=3)
    writer.close()
    assert cli.run(["tail", "r", "--json"]) == 0
    lines = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"kind": "metrics", "wall_s": START_S, "rank": 0, "step": 0, "values": {"loss": None}},
        {"kind": "end", "run": "r", "state": "failed", "lost": []},
    ]


def test_what_is_printed_comes_between_what_is_logged(tmp_path: Path) -> None:
    writer, session = begin(tmp_path)

    def say(text: str) -> None:
        body = text.encode()
        writer.file.add_event(
            EventKind.STDOUT,
            body,
            wall_s=writer.wall_s,
            rank=0,
            session=session,
            place=Place.TEXT,
        )

    writer.points("loss", 0, [0], [1.0])
    writer.wall_s += 1
    say("epoch 1\nno end")
    writer.wall_s += 1
    writer.points("loss", 0, [1], [2.0])
    writer.flush()
    tail = follow(tmp_path, console=True)
    assert said(tail.begin(9)) == ["step 0  loss=1", "| epoch 1", "step 1  loss=2"]
    say(" of it\n\x1b[31mlast")
    writer.end(0, session)
    seal_run(writer.close().parent)
    assert said([*tail.read_new(), *tail.end()]) == ["| no end of it", "| last"]
    tail.close()


def test_the_metrics_with_most_points_are_shown_unless_others_are_asked_for() -> None:
    chooser = Chooser(None)
    for number in range(METRICS_SHOWN + 3):
        chooser.count(f"m{number}", points=number)
    chooser.settle()
    assert not chooser.wants("m2")
    assert chooser.wants("m3")
    assert Chooser(["m?"]).wants("m2")
    assert not Chooser([]).wants("m2")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--rank", "x"], "--rank is 'x'"),
        (["--no-metrics"], "leaves nothing"),
    ],
)
def test_mistakes_are_told(
    tmp_path: Path, capsys: Capture, arguments: list[str], part: str
) -> None:
    write_run(tmp_path / "store")
    assert cli.run(["tail", "r", *arguments]) == 2
    assert part in capsys.readouterr().err


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a program that logs for a while through a real agent, and seals its run."""
    code = """
    import time, hpctrack
    run = hpctrack.init(project="p", name="calm")
    for step in range(200):
        run.log({"loss": 1.0 / (step + 1)})
        time.sleep(0.02)
    run.finish()
    """
    from tests.programs import start_python

    child = start_python(code)
    yield child
    child.kill()
    child.communicate()


@pytest.mark.slow
def test_a_real_run_is_followed_to_its_end(tmp_path: Path, training: subprocess.Popen[str]) -> None:
    store = tmp_path / "store"
    wait_for(lambda: [*store.glob("p/*/node-*.h5")])
    words = [sys.executable, "-m", "hpctrack", "tail", "calm", "--json", "-n", "1000"]
    found = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    lines = [json.loads(one) for one in found.stdout.splitlines()]
    assert [one["step"] for one in lines[:-1]] == list(range(200))
    assert lines[-1]["state"] == "finished"
    assert training.wait(60) == 0
    assert time.time() > START_S
