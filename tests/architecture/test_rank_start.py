"""What a rank loads before its first ``log`` has returned: each of 10,000 ranks opens these files.

`scripts/bench recorder --only init` counts the files themselves, and what they cost.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.programs import ROOT

STANDARD_LIBRARY = frozenset({
    "__future__", "_blake2", "_ctypes", "_socket", "_struct", "fcntl", "mmap", "select",
    # Compiling \N{...} for the first time needs it.
    "unicodedata",
})  # fmt: skip
"""Without what the interpreter itself loads."""

OUR_MAX = 25
"""Modules of ours, packages included."""

PROGRAM = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
import hpctrack
run = hpctrack.init("p", dir=sys.argv[2])
run.log({"loss": 1.0}, 0)
loaded = set(sys.modules) - before
import json
files = [
    name for name in loaded
    if sys.modules[name].__spec__.origin not in {"built-in", "frozen"}
]
print(json.dumps(sorted(files)))
run.finish()
"""


LATE_THREADS = """
import sys
sys.path.insert(0, sys.argv[1])
import hpctrack
run = hpctrack.init("p", dir=sys.argv[2])
run.log({"loss": 1.0}, 0)
assert "threading" not in sys.modules
import json, threading
assert threading.current_thread() is threading.main_thread()
threads = [threading.Thread(target=run.log, args=({"loss": 2.0}, step)) for step in (1, 2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps([thread.name for thread in threading.enumerate()]))
"""


def run_alone(program: str, tmp_path: Path) -> list[str]:
    """Run a rank without the environment's hooks, which no user has; return what it prints."""
    command = [sys.executable, "-I", "-S", "-c", program, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_program_may_load_threading_when_our_threads_run_already(tmp_path: Path) -> None:
    assert run_alone(LATE_THREADS, tmp_path) == ["MainThread"]


def test_a_rank_loads_little_before_its_first_log(tmp_path: Path) -> None:
    loaded = set(run_alone(PROGRAM, tmp_path))
    ours = {name for name in loaded if name.partition(".")[0] == "hpctrack"}
    assert loaded - ours - STANDARD_LIBRARY == set()
    assert len(ours) <= OUR_MAX, sorted(ours)
    assert not {name for name in ours if name.startswith("hpctrack.client.media")}
