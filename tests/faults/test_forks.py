"""Children of a program: what they say of their parent's run, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpctrack
from tests.programs import only_run, run_python

CHILD = """
import multiprocessing, os, sys, hpctrack
run = hpctrack.init("p", config={"a": 1}, settings={"console": "redirect"})
run.log({"a": 1})
print("before", flush=True)
if (pid := os.fork()) == 0:
    print("of the child", flush=True)
    run.log({"a": 99})
    hpctrack.log({"a": 98})
    run.config["b"] = 2
    run.summary["c"] = 3
    run.alert("child")
    run.tags += ("child",)
    run.define_metric("a", summary="max")
    assert run.save("/etc/hostname") == []
    run.log_code()
    run.watch(object())
    run.mark_preempting()
    run.flush(1)
    assert not run.should_stop()
    assert run.is_finished and not run.is_recording
    HOW
pid, status = os.waitpid(pid, 0)
print("after", status, flush=True)
run.log({"a": 2})
"""

ENDS = {
    "os._exit": ("os._exit(0)", 0),
    "sys.exit": ("sys.exit(0)", 0),
    "finish": ("run.finish(3); hpctrack.finish(); os._exit(0)", 0),
    "an error": ("raise SystemExit(2)", 2),
}


@pytest.mark.parametrize(("how", "code"), ENDS.values(), ids=ENDS)
def test_a_child_is_told_that_the_run_is_its_parents(how: str, code: int, tmp_path: Path) -> None:
    done = run_python(CHILD.replace("HOW", how))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("was forked from the one that began the run") == 1
    assert done.stdout.splitlines() == ["before", "of the child", f"after {code << 8}"]
    found = only_run(tmp_path / "store")
    assert found.metric("a").values.tolist() == [1, 2]
    assert (found.state, found.config, found.tags) == ("finished", {"a": 1}, [])
    assert found.ranks()[0].exit_code == 0
    assert found.record.alerts == ()
    lines = [line.text for line in found.console() if line.stream == "stdout"]
    assert lines == ["before", "of the child", f"after {code << 8}"]


def test_a_child_may_begin_a_run_of_its_own(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, hpctrack
        run = hpctrack.init("p", id="parent")
        run.log({"a": 1})
        if (pid := os.fork()) == 0:
            own = hpctrack.init("p", id="child")
            own.log({"a": 5})
            hpctrack.log({"a": 6})
            raise SystemExit(0)
        assert os.waitpid(pid, 0)[1] == 0
        run.log({"a": 2})
        """
    )
    assert done.returncode == 0, done.stderr
    store = hpctrack.Store(tmp_path / "store")
    assert store.run("p/parent").metric("a").values.tolist() == [1, 2]
    assert store.run("p/child").metric("a").values.tolist() == [5, 6]
    assert {run.state for run in store.runs()} == {"finished"}


WORKERS = """
import multiprocessing, sys, threading
import hpctrack

def work(number):
    hpctrack.maybe = number
    return number

def busy(run, stop):
    while not stop.is_set():
        for _ in range(100):
            run.log({"b": 1.0})
        run.flush(60)  # a busy machine lets the agent wait, and a full buffer loses points

if __name__ == "__main__":
    run = hpctrack.init("p", id="parent")
    stop = threading.Event()
    thread = threading.Thread(target=busy, args=(run, stop))
    thread.start()
    context = multiprocessing.get_context(sys.argv[1])
    for _ in range(4):
        with context.Pool(2) as pool:
            assert pool.map(work, range(8)) == list(range(8))
    stop.set()
    thread.join()
    run.log({"a": 2})
"""


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_workers_leave_a_run_alone_whose_parent_logs_meanwhile(method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(WORKERS)
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='{}')"
    starter = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    done = run_python(code.format("__main__") if method == "fork" else starter, str(script), method)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    found = only_run(tmp_path / "store")
    assert found.state == "finished"
    assert found.metric("a").values.tolist() == [2]
    assert found.record.ledger == {}
