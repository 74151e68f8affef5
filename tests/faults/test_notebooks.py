"""Notebooks, run by a real Jupyter kernel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from tests.kernels import running_kernel
from tests.programs import list_agents, only_run, wait_for

INTERRUPTS = 4

BEGIN = """
import os, sys, threading, time, hpctrack
run = hpctrack.init("p", config={"lr": 0.1})
"""


@pytest.fixture(autouse=True)
def recorded_console(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record what is printed, as programs do by default."""
    monkeypatch.delenv("HPCTRACK_CONSOLE")


def printed(run: StoredRun, stream: str) -> list[str]:
    """Return the lines that a run has recorded of a stream, without our own."""
    lines = [one.text for one in run.console().lines() if one.stream == stream]
    return [one for one in lines if not one.startswith("hpctrack: ")]


def has_printed(store: Path, line: str) -> bool:
    """Tell whether a line is recorded; of a run that has just begun there may be nothing yet."""
    return store.is_dir() and any(line in printed(one, "stdout") for one in Store(store).runs())


def test_what_cells_log_and_print_is_recorded_once_and_shown_as_ever(tmp_path: Path) -> None:
    with running_kernel() as kernel:
        assert kernel.run(f"{BEGIN}print('first')").shown["stdout"] == "first\n"
        loop = kernel.run(
            "for step in range(3):\n"
            "    run.log({'loss': step / 2})\n"
            "    print('step', step, '…')\n"
            "step"
        )
        assert (loop.shown, loop.result) == ({"stdout": "step 0 …\nstep 1 …\nstep 2 …\n"}, "2")
        errors = kernel.run("print('oops', file=sys.stderr); print('out')")
        assert errors.shown == {"stderr": "oops\n", "stdout": "out\n"}
        assert kernel.run("1 / 0").error == "ZeroDivisionError"
        # A thread may print when its cell is over, and a child behind Python's back.
        kernel.run(
            "import numpy as np\n"
            "run.log({'loss': 9.0, 'view': hpctrack.Image(np.zeros((4, 4), np.uint8))})\n"
            "thread = threading.Timer(0.2, print, ['between']); thread.start()"
        )
        kernel.run("thread.join(); os.system('echo child')")
        wait_for(lambda: has_printed(tmp_path / "store", "child"))
        end = kernel.run("print('last'); run.finish()")
        # The kernel may show what a child has printed a moment later.
        assert end.shown["stdout"].removeprefix("child\n") == "last\n"
        assert "nothing lost" in end.shown["stderr"]
        assert kernel.run("print('afterwards')").shown == {"stdout": "afterwards\n"}
    found = only_run(tmp_path / "store")
    assert (found.state, found.ranks()[0].exit_code) == ("finished", 0)
    assert found.config == {"lr": 0.1}
    assert found.metric("loss").values.tolist() == [0, 0.5, 1, 9]
    assert [item.key for item in found.media()] == ["view"]
    steps = [f"step {number} …" for number in range(3)]
    assert printed(found, "stdout") == ["first", *steps, "out", "between", "child", "last"]
    assert printed(found, "stderr") == ["oops"]


def test_the_first_cell_run_again_ends_the_run_before_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    with running_kernel() as kernel:
        for number in range(3):
            shown = kernel.run(f"{BEGIN}print('begun', {number})").shown
            assert "warning" not in shown["stderr"]
            kernel.run(f"hpctrack.log({{'a': {number}}}); print('logged', {number})")
        kernel.run("other = hpctrack.init('q', id='other', reinit='create_new')")
        kernel.run("run.log({'a': 3}); other.log({'a': 4}); print('both')")
    runs = Store(tmp_path / "store").runs(project="p", order="created")
    assert [one.metric("a").values.tolist() for one in runs] == [[0], [1], [2, 3]]
    expected = [[f"begun {number}", f"logged {number}"] for number in range(3)]
    expected[2].append("both")
    assert [printed(one, "stdout") for one in runs] == expected
    other = Store(tmp_path / "store").run("q/other")
    assert other.metric("a").values.tolist() == [4]
    assert {one.state for one in (*runs, other)} == {"finished"}


def test_interrupted_cells_lose_nothing_that_log_returned_from(tmp_path: Path) -> None:
    with running_kernel() as kernel:
        kernel.run(f"{BEGIN}number, returned = 0, []")
        for _time in range(INTERRUPTS):
            cell = kernel.start(
                "open('looping', 'w').close()\n"
                "while True:\n"
                "    number += 1\n"
                "    run.log({'a': number})\n"
                "    returned.append(number)"
            )
            looping = tmp_path / "looping"
            wait_for(looping.exists)
            looping.unlink()
            kernel.interrupt()
            assert kernel.wait(cell).error == "KeyboardInterrupt"
        kernel.run("import json; json.dump(returned, open('returned', 'w')); run.finish()")
    found = only_run(tmp_path / "store")
    values = found.metric("a").values.tolist()
    returned = json.loads((tmp_path / "returned").read_text())
    assert values == sorted(set(values)), "none twice"
    assert set(returned) <= set(values)
    assert len(values) - len(returned) <= INTERRUPTS
    assert not any(found.record.ledger.get(name) for name in ("agents_lost", "dropped_points"))
    assert found.state == "finished"


def test_a_kernel_that_is_shut_down_or_killed_leaves_what_its_cells_logged(tmp_path: Path) -> None:
    with running_kernel() as kernel:
        begin = f"{BEGIN}run.log({{'a': 1}}); run.id"
        ended = kernel.run(begin).result
        kernel.restart()
        failed = kernel.run(begin).result
        kernel.run("1 / 0")
        kernel.restart()
        interrupted = kernel.run(begin).result
        cell = kernel.start("open('looping', 'w').close(); time.sleep(60)")
        wait_for((tmp_path / "looping").exists)
        kernel.interrupt()
        kernel.wait(cell)
        kernel.restart()
        killed = kernel.run(begin).result
        kernel.restart(now=True)
        mended = kernel.run(begin).result
        kernel.run("1 / 0")
        kernel.run("run.log({'a': 2})")
    wait_for(lambda: not list_agents())
    runs = {f"'{one.id}'": one for one in Store(tmp_path / "store").runs()}
    ends = {name: (one.state, one.ranks()[0].exit_code) for name, one in runs.items()}
    assert ends == {
        ended: ("finished", 0),
        failed: ("failed", 1),
        interrupted: ("failed", 130),
        killed: ("failed", None),
        mended: ("finished", 0),
    }
    assert all(one.metric("a").values.tolist()[0] == 1 for one in runs.values())
    assert not any(one.record.ledger.get("dropped_points") for one in runs.values())
