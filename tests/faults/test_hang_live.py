"""Programs that hang, and others that only compute: real ranks, the real agent, real sensors."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from hpctrack import StoredRun
from tests.programs import only_run, rank_environment, start_python, wait_for
from tests.stubs.nvml.devices import h100, prefixed
from tests.stubs.nvml.driver import Script, build_library

LIMIT_S = 1.2

RULE = """
[[rules]]
name = "stuck"
hang_min = {limit_min}
do = ["mark", "command: echo $HPCTRACK_RULE $HPCTRACK_RUN_ID >> told", "stop"]
"""

QUICK = {
    "HPCTRACK_HEARTBEAT_S": "0.3",
    "HPCTRACK_TELEMETRY": "auto",
    "HPCTRACK_TELEMETRY_INTERVAL_S": "0.3",
}

PROGRAM = """
import os, sys, time, hpctrack
what, limit_s = sys.argv[1], float(sys.argv[2])
run = hpctrack.init("p")

def compute(cpu_s, until=lambda: False):
    begun_s = time.process_time()
    while time.process_time() - begun_s < cpu_s and not until():
        sum(number * number for number in range(20_000))

def is_told():
    return os.path.exists(f"{run.path}/.rules/stuck")

run.log({"loss": 1.0})
if what in {"sleep", "spin"}:
    compute(2.5 * limit_s)  # longer than the rule allows, but not idle
    print("computing was called a hang" if is_told() else "let it compute")
    run.log({"loss": 0.5})
if what == "log":
    ends_s = time.monotonic() + 3 * limit_s
    while time.monotonic() < ends_s:
        run.log({"loss": 0.5})
        time.sleep(0.1)
    print("another node was called silent" if is_told() else "all is well")
if what == "spin":
    open("gpus-are-idle", "w").close()
    compute(90, until=is_told)
deadline_s = time.monotonic() + 90
while not (run.should_stop() or os.path.exists("enough")) and time.monotonic() < deadline_s:
    time.sleep(0.1)
print(run.stop_reason or "was let be")
run.finish()
"""


def write_rule(limit_s: float = LIMIT_S) -> None:
    Path("hpctrack.toml").write_text(RULE.format(limit_min=limit_s / 60))


def start_ranks(
    size: int, what: str, limit_s: float = LIMIT_S, **environ: str
) -> list[subprocess.Popen[str]]:
    """Start the program as several ranks of one node."""
    return [
        start_python(
            PROGRAM,
            what,
            str(limit_s),
            env={**rank_environment(rank, size), **QUICK, "HPCTRACK_RUN_ID": "job", **environ},
        )
        for rank in range(size)
    ]


def finish(programs: Sequence[subprocess.Popen[str]]) -> list[list[str]]:
    """Wait for the ranks; return what they printed."""
    printed = []
    for program in programs:
        out, err = program.communicate(timeout=180)
        assert program.returncode == 0, err
        printed.append(out.splitlines())
    return printed


def read_notes(run: StoredRun, level: str) -> list[str]:
    notes = [one for one in run.record.warnings if one.get("rule") == "stuck"]
    return [one["text"] for one in notes if one["level"] == level]


def test_ranks_that_sleep_hang_and_ranks_that_compute_do_not(tmp_path: Path) -> None:
    write_rule()
    for first, last in finish(start_ranks(2, "sleep")):
        assert first == "let it compute"
        assert last.startswith("rule stuck: ")
        assert "no rank of this node has logged anything for " in last
    run = only_run(tmp_path / "store")
    assert run.tags == ("rule:stuck",)
    (event,) = read_notes(run, "error")
    assert event.endswith("while its processes are idle")
    assert (tmp_path / "told").read_text() == "stuck job\n"

    # The same after a requeue: it is told, and nothing is done.
    programs = start_ranks(2, "again", TORCHELASTIC_RESTART_COUNT="1")
    (note,) = wait_for(
        lambda: [
            one
            for one in read_notes(only_run(tmp_path / "store"), "info")
            if "executed in attempt 1" in one
        ],
        timeout_s=180,
    )
    assert "no rank of this node has logged anything for " in note
    Path("enough").touch()
    assert finish(programs) == [["was let be"]] * 2
    run = only_run(tmp_path / "store")
    assert run.record.attempts == 2
    assert read_notes(run, "error") == [event]
    assert (tmp_path / "told").read_text() == "stuck job\n"


def test_a_rank_that_spins_while_its_gpus_have_stopped_hangs(tmp_path: Path) -> None:
    write_rule()
    script = Script(tmp_path / "nvml.txt", {"count": "1", **h100(0)})
    library = build_library(tmp_path / "stub")
    programs = start_ranks(
        1, "spin", LD_LIBRARY_PATH=str(library), NVML_STUB_SCRIPT=str(script.path)
    )
    wait_for((tmp_path / "gpus-are-idle").exists)
    script.change(prefixed("gpu.0", {"util": "0 0", "gpm.2": 0.0}))
    ((first, last),) = finish(programs)
    assert first == "let it compute"
    assert last.endswith("while its GPUs are idle")
    assert only_run(tmp_path / "store").tags == ("rule:stuck",)


def test_a_node_whose_rank_only_waits_does_not_hang_while_the_other_ones_logs(
    tmp_path: Path,
) -> None:
    limit_s = 5.0  # a busy machine may delay a sign by seconds
    write_rule(limit_s)
    programs = []
    for node, what in enumerate(("log", "wait")):
        runtime = tmp_path / f"n{node}"
        runtime.mkdir()
        environ = {
            **rank_environment(node, 2, node=node),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "HPCTRACK_RUNTIME_DIR": str(runtime),
        }
        programs += start_ranks(1, what, limit_s, **environ)
    (well, first), (second,) = finish(programs)
    assert well == "all is well"
    assert first.startswith("rule stuck: ")
    assert second == first
    assert len(read_notes(only_run(tmp_path / "store"), "error")) == 1
    assert (tmp_path / "told").read_text() == "stuck job\n"
