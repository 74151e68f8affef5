"""What rules do: signals, commands, the end of the job; and who may do it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpctrack.agents import job_end
from hpctrack.agents.job_cancel import make_cancel_command
from hpctrack.agents.job_end import JobEnd, name_job, parse_end
from hpctrack.agents.rule_claims import claim_rule, read_claim
from hpctrack.agents.rule_command import OUTPUT_MAX_BYTES, Command, make_shell_command
from hpctrack.agents.rule_signals import Masks, SignalTask, judge, name_ranks, parse_masks
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.layout import rule_claim
from hpctrack.core.rule_reading import parse_rule
from tests.programs import wait_for
from tests.stores import FakeClock

# -- signals -------------------------------------------------------------------------------------

STATUS = """\
Name:\tpython3
SigQ:\t1/96032
SigPnd:\t0000000000000000
SigBlk:\t0000000000010000
SigIgn:\t0000000001001000
SigCgt:\t0000000100000202
"""
USR1, USR2 = int(signal.SIGUSR1), int(signal.SIGUSR2)


def bit(number: int) -> int:
    return 1 << (number - 1)


def test_what_a_process_does_with_signals_is_read_from_its_status() -> None:
    assert parse_masks(STATUS) == Masks(0x10000, 0x1001000, 0x100000202)
    assert parse_masks("Name:\tx\n") == Masks()
    assert judge([parse_masks(STATUS)], USR1) == ""
    assert judge([parse_masks(STATUS)], USR2) == "no handler for it"


@pytest.mark.parametrize(
    ("threads", "obstacle"),
    [
        ([], "gone"),
        ([Masks(), Masks()], "no handler for it"),
        ([Masks(), Masks(caught=bit(USR1))], ""),
        ([Masks(blocked=bit(USR1)), Masks()], "no handler for it"),
        ([Masks(blocked=bit(USR1))] * 2, ""),
        ([Masks(ignored=bit(USR1), blocked=bit(USR1))], "it is ignored"),
    ],
)
def test_a_signal_goes_to_programs_that_catch_it_or_wait_for_it(
    threads: list[Masks], obstacle: str
) -> None:
    assert judge(threads, USR1) == obstacle
    assert judge([Masks()], int(signal.SIGWINCH)) == ""


@contextmanager
def sleeping(code: str) -> Iterator[subprocess.Popen[str]]:
    """A program that says when it is ready, and then waits."""
    text = f"import signal, sys, time\n{code}\nprint('ready', flush=True)\ntime.sleep(60)\n"
    program = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    try:
        assert program.stdout.readline() == "ready\n"
        yield program
    finally:
        program.kill()
        program.wait()
        program.stdout.close()


HANDLER = "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))"


def test_ranks_get_the_signal_and_those_without_a_handler_live_on() -> None:
    with sleeping(HANDLER) as good, sleeping("") as bad:
        ranks = {0: good.pid}
        task = SignalTask("USR1", lambda: ranks, expected=4, until_s=10.0)
        assert task.try_again(0.0) == ["SIGUSR1 sent to rank 0"]
        ranks |= {3: bad.pid, 4: bad.pid, 5: 2**22 + 1}
        assert good.wait(120) == 7
        assert task.try_again(5.0) == []
        assert task.try_again(10.0) == [
            "SIGUSR1 not sent to ranks 3-4: no handler for it",
            "SIGUSR1 not sent to rank 5: gone",
        ]
        assert task.is_done
        assert bad.poll() is None


def test_a_signal_that_comes_after_all_ranks_have_left_is_told() -> None:
    task = SignalTask("USR1", dict, expected=1, until_s=10.0)
    assert task.try_again(0.0) == []
    assert task.try_again(1.0, is_last=True) == [
        "SIGUSR1 not sent: no rank of this node is there any more"
    ]
    with sleeping("") as deaf:
        ranks = {0: deaf.pid}
        task = SignalTask("USR1", lambda: ranks, expected=1, until_s=10.0)
        assert task.try_again(0.0) == []
        ranks.clear()
        assert task.try_again(1.0, is_last=True) == [
            "SIGUSR1 not sent to rank 0: no handler for it"
        ]


def test_a_program_that_is_still_starting_gets_the_signal_when_it_is_prepared() -> None:
    late = f"print('ready', flush=True); sys.stdin.readline(); {HANDLER}"
    text = f"import signal, sys, time\n{late}\ntime.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        task = SignalTask("USR1", lambda: {0: program.pid}, expected=1, until_s=1e9)
        assert task.try_again(0.0) == []
        program.stdin.write("\n")
        program.stdin.flush()
        assert wait_for(lambda: task.try_again(0.0)) == ["SIGUSR1 sent to rank 0"]
        assert program.wait(120) == 7


def test_ranks_are_named_in_spans() -> None:
    assert name_ranks([3]) == "rank 3"
    assert name_ranks([7, 1, 0, 2]) == "ranks 0-2, 7"


# -- commands ------------------------------------------------------------------------------------


def run(text: str, folder: Path, *, timeout_s: float = 30.0, **environ: str) -> Command:
    told = {"PATH": os.environ["PATH"], **environ}
    argv = make_shell_command(text, str(folder))
    command = Command(argv, told, clock=SYSTEM_CLOCK, timeout_s=timeout_s)
    assert command.wait(60)
    return command


def test_a_command_runs_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    command = run('pwd -P; echo "$A b" >&2; cat', tmp_path, A="x  'y'")
    assert command.said == f"exit code 0: {tmp_path.resolve()} | x  'y' b"
    assert command.is_success
    assert run("exit 3", tmp_path).said == "exit code 3"
    assert run("kill -9 $$", tmp_path).said == "exit code 137"
    assert "exit code" in run("true", tmp_path / "nowhere").said
    assert not run("exit 3", tmp_path).is_success


@pytest.mark.slow
def test_a_command_whose_time_is_up_is_ended_with_its_children(tmp_path: Path) -> None:
    script = "trap '' TERM; echo begun; (trap '' TERM; sleep 61.25) & sleep 61.25; wait"
    command = run(script, tmp_path, timeout_s=0.2)
    assert command.said.startswith("killed after ")
    assert command.said.endswith("begun")
    found = subprocess.run(["pgrep", "-f", "sleep 61.25"], capture_output=True, check=False)
    assert found.stdout == b""


def test_a_command_that_says_too_much_is_cut_and_not_held_up(tmp_path: Path) -> None:
    command = run("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done", tmp_path)
    assert command.is_success
    assert OUTPUT_MAX_BYTES < len(command.said) < 2 * OUTPUT_MAX_BYTES


def test_a_command_leaves_a_child_behind_without_being_waited_for(tmp_path: Path) -> None:
    command = run("sleep 62.25 & echo $!", tmp_path)
    pid = int(command.said.rpartition(" ")[2])
    os.kill(pid, signal.SIGKILL)
    assert command.is_success


def test_a_command_inherits_no_files_and_no_ignored_signals(tmp_path: Path) -> None:
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        command = run(f"ls -l /proc/self/fd/{kept}; grep SigIgn /proc/self/status", tmp_path)
    finally:
        signal.signal(signal.SIGUSR1, before)
        os.close(kept)
    assert str(tmp_path) not in command.said
    ignored = int(command.said.rpartition("SigIgn:")[2].strip(" |\ufffd\t"), 16)
    assert not ignored & bit(USR1)


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    command = Command([str(tmp_path / "no")], {}, clock=SYSTEM_CLOCK)
    assert command.is_done
    assert command.said == "cannot be started: No such file or directory"


# -- the job -------------------------------------------------------------------------------------


@pytest.fixture
def make_program(tmp_path: Path) -> Callable[[str, str], str]:
    """Return a function that puts a program on a PATH, and returns that."""

    def make(name: str, script: str) -> str:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"

    return make


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SLURM_JOB_ID": "12"}, ["scancel", "12"]),
        (
            {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"},
            ["scancel", "7_3"],
        ),
        ({"SLURM_JOB_ID": "13", "SLURM_JOB_ID_HET_GROUP_0": "12"}, ["scancel", "12"]),
        ({"PBS_JOBID": "77[2].server"}, ["qdel", "77[2].server"]),
        ({"LSB_JOBID": "5", "LSB_JOBINDEX": "0"}, ["bkill", "5"]),
        ({"LSB_JOBID": "5", "LSB_JOBINDEX": "2"}, ["bkill", "5[2]"]),
        ({}, []),
    ],
)
def test_no_more_than_this_job_is_cancelled(
    environ: dict[str, str], words: list[str], make_program: Callable[[str, str], str]
) -> None:
    paths = [make_program(name, "exit 0") for name in ("scancel", "qdel", "bkill")]
    found = make_cancel_command({**environ, "PATH": paths[0]})
    assert [Path(one).name for one in found or []] == words
    assert make_cancel_command({**environ, "PATH": "/nowhere"}) is None


SHOWN = (
    "JobId=41 JobName=a b TimeLimit=00:10:00 StartTime=1700000000 EndTime=1700000600 X=1\n"
    "JobId=42 JobName=c TimeLimit=01:00:00 EndTime=1700003600 Comment=EndTime=5\n"
    "JobId=43 JobName=c TimeLimit=UNLIMITED EndTime=Unknown\n"
    "JobId=44 JobName=c TimeLimit=Partition_Limit EndTime=Unknown\n"
)


def test_the_end_is_read_from_scontrol() -> None:
    assert parse_end(SHOWN, "41") == 1700000600
    assert parse_end(SHOWN, "42") == 1700003600
    assert parse_end(SHOWN, "43") == float("inf")
    assert parse_end(SHOWN, "44") is None
    assert parse_end(SHOWN, "7") == 1700000600
    assert parse_end("slurm_load_jobs error: Invalid job id specified\n", "41") is None
    assert parse_end("JobId=1 EndTime=2024-01-01T00:00:00\n", "1") is not None


def test_scontrol_is_asked_about_this_job_in_seconds(
    make_program: Callable[[str, str], str], tmp_path: Path
) -> None:
    script = f'echo "$@ $SLURM_TIME_FORMAT" > {tmp_path}/asked; echo "{SHOWN.splitlines()[1]}"'
    environ = {"SLURM_JOB_ID": "42", "PATH": make_program("scontrol", script)}
    assert job_end.ask_slurm(environ) == 1700003600
    assert (tmp_path / "asked").read_text() == "--oneliner show job 42 %s\n"
    environ["PATH"] = make_program("scontrol", "echo slurm_load_jobs error >&2; exit 1")
    assert job_end.ask_slurm(environ) is None
    assert job_end.ask_slurm({**environ, "PATH": "/nowhere"}) is None
    assert name_job({}) == ""


class Asked:
    """Answers as a controller would, and counts."""

    def __init__(self, *answers: float | None) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self) -> float | None:
        self.count += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def look(end: JobEnd, needed_s: float = 600.0) -> float | None:
    found = end.look(needed_s)
    for thread in threading.enumerate():
        if thread.name == "hpctrack-job-end":
            thread.join()
    return found


def test_a_limit_that_is_extended_is_noticed_before_a_rule_fires() -> None:
    clock = FakeClock(now_s=0.0)
    asked = Asked(10_000.0, 20_000.0)
    end = JobEnd({"SLURM_JOB_ID": "1"}, clock=clock.clock(), ask=asked)
    assert not end.is_unknown
    assert look(end) is None
    assert look(end) == 10_000
    lefts = []
    while clock.now_s < 19_500:
        clock.now_s += 5
        left_s = look(end)
        if left_s is not None:
            lefts.append(left_s)
            if left_s <= 600:
                break
    assert min(lefts[:-1]) > 600
    assert 19_300 < clock.now_s < 19_500
    assert asked.count < 25


def test_what_the_environment_tells_is_believed_when_slurm_does_not_answer() -> None:
    clock = FakeClock(now_s=1_700_000_000.0)
    environ = {"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": "1700000700"}
    end = JobEnd(environ, clock=clock.clock(), ask=Asked(None))
    assert look(end) is None
    assert look(end) == 700
    clock.now_s += 150
    assert look(end) is None, "it is asked once more, for the limit may have been extended"
    assert look(end) == 550
    assert not end.is_unknown


def test_an_answer_is_used_however_seldom_anybody_looks() -> None:
    clock = FakeClock(now_s=0.0)
    end = JobEnd({"SLURM_JOB_ID": "1"}, clock=clock.clock(), ask=Asked(10_000.0))
    found = []
    while clock.now_s < 9_600:
        found.append(look(end))
        clock.now_s += 100
    assert found[-1] == 500
    assert min(one for one in found if one is not None) == 500


def test_nodes_ask_one_after_the_other_before_the_limit() -> None:
    clock = FakeClock(now_s=0.0)
    asked = Asked(1000.0)
    end = JobEnd({"SLURM_JOB_ID": "1"}, clock=clock.clock(), ask=asked, node=200)
    assert look(end) is None
    clock.now_s = 11
    assert look(end) is None
    assert look(end) == 989
    clock.now_s = 410
    counts = []
    for _time in range(3):
        assert look(end) is None
        counts.append(asked.count)
        clock.now_s += 5
    assert counts == [1, 1, 2]
    assert look(end) == 575


def test_an_end_that_nobody_tells_is_unknown() -> None:
    clock = FakeClock(now_s=0.0)
    assert JobEnd({}, clock=clock.clock()).is_unknown
    end = JobEnd({"SLURM_JOB_ID": "1"}, clock=clock.clock(), ask=Asked(None), node=3)
    states = []
    for _time in range(2):
        # A node asks a moment after the one before it.
        assert look(end) is None
        states.append(end.is_unknown)
        clock.now_s += 1
    assert states == [False, True]
    told = JobEnd({"SLURM_JOB_ID": "1"}, clock=clock.clock(), told_wall_s=50.0, ask=Asked(9.0))
    assert told.look(10.0) == 50 - clock.now_s


# -- claims --------------------------------------------------------------------------------------

RULE = parse_rule({"metric": "loss", "is": "nan", "name": "diverged"})
LIMIT = parse_rule({"time_left_min": 3, "name": "limit"})


def test_a_rule_is_taken_by_one_and_not_again_in_the_next_attempt(tmp_path: Path) -> None:
    assert read_claim(tmp_path, RULE, 1) is None
    assert claim_rule(tmp_path, RULE, 1, {"text": "x"}).is_ours
    again = claim_rule(tmp_path, RULE, 2, {})
    assert (again.is_ours, again.attempt, again.problem) == (False, 1, "")
    assert read_claim(tmp_path, RULE, 2) == 1
    path = rule_claim(tmp_path, "diverged", None)
    assert json.loads(path.read_text()) == {"text": "x", "attempt": 1}


def test_a_rule_of_each_attempt_is_taken_in_each(tmp_path: Path) -> None:
    assert claim_rule(tmp_path, LIMIT, 1, {}).is_ours
    assert not claim_rule(tmp_path, LIMIT, 1, {}).is_ours
    assert read_claim(tmp_path, LIMIT, 2) is None
    assert claim_rule(tmp_path, LIMIT, 2, {}).is_ours
    assert sorted(path.name for path in (tmp_path / ".rules").iterdir()) == ["limit.a1", "limit.a2"]


def test_a_file_that_is_still_being_written_tells_no_attempt(tmp_path: Path) -> None:
    (tmp_path / ".rules").mkdir()
    (tmp_path / ".rules" / "diverged").write_text("")
    (tmp_path / ".rules" / "limit.a2").write_text('{"att')
    assert read_claim(tmp_path, RULE, 2) == 0
    assert claim_rule(tmp_path, RULE, 2, {}).attempt == 0
    assert read_claim(tmp_path, LIMIT, 2) == 2


@pytest.mark.slow
def test_of_many_agents_at_once_one_takes_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from hpctrack.agents.rule_claims import claim_rule\n"
        "from hpctrack.core.rule_reading import parse_rule\n"
        "rules = [parse_rule({'metric': 'a', 'above': n}) for n in range(50)]\n"
        "time.sleep(max(0, float(sys.argv[2]) - time.time()))\n"
        "print(sum(claim_rule(Path(sys.argv[1]), one, 1, {}).is_ours for one in rules))\n"
    )
    start_s = str(time.time() + 2)
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), start_s], stdout=subprocess.PIPE, text=True
        )
        for _number in range(4)
    ]
    assert sum(int(one.communicate(timeout=60)[0]) for one in programs) == 50


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / ".rules").write_text("a file")
    claim = claim_rule(tmp_path, RULE, 1, {})
    assert not claim.is_ours
    assert ".rules" in claim.problem
    assert read_claim(tmp_path, RULE, 1) is None
