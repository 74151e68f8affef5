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

OUR_MAX = 33
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


def load_a_rank(tmp_path: Path) -> set[str]:
    """Start a rank without the environment's hooks, which no user has."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_rank_loads_little_before_its_first_log(tmp_path: Path) -> None:
    loaded = load_a_rank(tmp_path)
    ours = {name for name in loaded if name.partition(".")[0] == "hpctrack"}
    assert loaded - ours - STANDARD_LIBRARY == set()
    assert len(ours) <= OUR_MAX, sorted(ours)
    assert not {name for name in ours if name.startswith("hpctrack.client.media")}
