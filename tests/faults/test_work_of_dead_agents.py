"""Agents that are killed while pictures are encoded and files are kept. Processes are real."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hpctrack import StoredRun
from hpctrack.agents.unwritten import Unwritten
from hpctrack.store.node_file import NewEvent
from hpctrack.store.schema import EventKind
from tests.programs import list_agents, only_run, start_python, wait_for

pytestmark = pytest.mark.faults

PICTURES = 10

PROGRAM = f"""
import os, sys, numpy as np, hpctrack
run = hpctrack.init("p", settings={{"seal": "manual", "console": "redirect"}})
run.flush(90)
late = open("late.txt", "w")
late.write("early"); late.flush()
run.save("late.txt", policy="end")
noise = np.random.default_rng(0).integers(0, 255, ({PICTURES}, 700, 700, 3), dtype=np.uint8)
for step, one in enumerate(noise):
    run.log({{"picture": hpctrack.Image(one[:500]), "a": step}}, step=step)
    run.log({{"text": hpctrack.Text(f"text {{step}}")}}, step=step)
    os.write(1, b"line %d\\n" % step)  # whole: a line cut by the agent's death is two lines
print("logged", file=sys.stderr, flush=True)
sys.stdin.readline()
late.write(" and late"); late.close()
run.finish()
"""


@pytest.mark.parametrize("pause_s", [0.0, 0.15, 0.5, 2.0])
def test_an_agent_killed_among_pictures_costs_none_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause_s: float
) -> None:
    monkeypatch.chdir(tmp_path)
    child = start_python(PROGRAM, stdin=subprocess.PIPE)
    assert child.stdin
    assert child.stderr
    while "logged" not in child.stderr.readline():
        assert child.poll() is None
    if pause_s:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(pause_s)
    for pid in wait_for(list_agents):
        os.kill(pid, signal.SIGKILL)
    _out, errors = child.communicate("\n", timeout=180)
    assert child.returncode == 0, errors
    found = only_run(tmp_path / "store")
    check_whole(found)
    assert found.record.ledger["agents_lost"] >= 1


def check_whole(found: StoredRun) -> None:
    wanted = list(range(PICTURES))
    assert found.metric("a").values.tolist() == wanted
    media = found.media()
    assert sorted(one.step for one in media if one.key == "picture") == wanted
    texts = [one.read().decode() for one in media if one.key == "text"]
    assert sorted(texts) == sorted(f"text {step}" for step in wanted)
    lines = [one.text for one in found.console(0) if one.text.startswith("line")]
    assert lines == [f"line {step}" for step in wanted]
    (late,) = (one for one in media if one.key == "late.txt")
    assert late.read() == b"early and late"


def make_event(number: int) -> NewEvent:
    return NewEvent(EventKind.NOTE, b"%d" % number, 0.0, 0, 0)


def test_frames_are_confirmed_in_their_order() -> None:
    frames = Unwritten()
    assert frames.count_written(3) == 3
    frames.begin(4)
    frames.begin(6)
    for number in (5, 7):
        assert frames.must_hold
        frames.hold(number, make_event(number))
    assert frames.count_written(7) == 3
    assert frames.release() == []
    frames.collect()
    assert frames.release() == [make_event(5)]
    assert frames.count_written(7) == 3, "collected is not written"
    frames.end()
    assert frames.count_written(7) == 5
    frames.collect()
    assert frames.release() == [make_event(7)]
    assert not frames.must_hold
    frames.end()
    assert frames.count_written(7) == 7
