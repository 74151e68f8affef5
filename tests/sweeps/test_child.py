"""Programs: started, signalled, ended in time, and not left behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from hpctrack.sweeps.worker.child import run_child
from hpctrack.sweeps.worker.process import is_alive, read_stamp
from hpctrack.sweeps.worker.signals import SignalRelay
from tests.leaks import count_files
from tests.programs import start_python, wait_for

RUNNER = """
import os, sys
from pathlib import Path
from hpctrack.sweeps.worker.child import run_child
end = run_child(
    [sys.executable, "-S", "-c", sys.argv[1]], environ=os.environ, directory=Path("."),
)
print(end.exit_code, end.signal, end.was_stopped)
"""
PATIENT = """
import os, signal, sys, time
def on(number, frame):
    print('got', signal.Signals(number).name, flush=True)
    sys.exit(7)
for name in ('SIGTERM', 'SIGUSR1', 'SIGINT'):
    signal.signal(getattr(signal, name), on)
open('pid', 'w').write(str(os.getpid()))
os.rename('pid', 'ready')
while True: time.sleep(0.05)
"""


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


class EndsWhen:
    """A watch that has a program ended as soon as it has made a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def turn(self, timeout_s: float) -> str:
        del timeout_s
        return "enough" if self._file.exists() else ""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_signals_are_passed_on_and_the_program_may_tidy_up(tmp_path: Path, name: str) -> None:
    runner = start_python(RUNNER, PATIENT)
    try:
        wait_for((tmp_path / "ready").exists)
        runner.send_signal(signal.Signals[name])
        out, _ = runner.communicate(timeout=180)
    finally:
        runner.kill()
        runner.communicate()
    assert out.splitlines() == [f"got {name}", f"7  {name != 'SIGUSR1'}"]


def test_the_warning_of_the_scheduler_is_not_the_programs(tmp_path: Path) -> None:
    with SignalRelay() as relay:
        os.kill(os.getpid(), signal.SIGUSR2)
        end = run_child(shell("exit 0"), environ=os.environ, directory=tmp_path, relay=relay)
        assert (end.exit_code, end.was_stopped, relay.was_warned) == (0, False, True)
        assert relay.must_leave
    with SignalRelay(passes_warning=True) as relay:
        os.kill(os.getpid(), signal.SIGUSR2)
        end = run_child(["sleep", "60"], environ=os.environ, directory=tmp_path, relay=relay)
        assert end.signal == "SIGUSR2"


def test_a_program_does_not_outlive_a_worker_that_is_killed(tmp_path: Path) -> None:
    runner = start_python(RUNNER, PATIENT)
    try:
        wait_for((tmp_path / "ready").exists)
        pid = int((tmp_path / "ready").read_text())
        stamp = read_stamp(pid)
        assert is_alive(pid, stamp)
        runner.kill()
        wait_for(lambda: not is_alive(pid, stamp))
        out, _ = runner.communicate(timeout=180)
    finally:
        runner.kill()
        runner.communicate()
    assert out == "got SIGTERM\n", "it may write a checkpoint"


def test_what_a_program_has_started_does_not_outlive_a_killed_worker_either(
    tmp_path: Path,
) -> None:
    text = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; while :; do sleep 0.1; done'])\n"
        "open('pid', 'w').write(str(child.pid))\n"
        "os.rename('pid', 'ready')\n"
        "child.wait()\n"
    )
    runner = start_python(RUNNER.replace("directory=", "kill_after_s=1.0, directory="), text)
    try:
        wait_for((tmp_path / "ready").exists)
        pid = int((tmp_path / "ready").read_text())
        assert read_stamp(pid)
        runner.kill()
        wait_for(lambda: not read_stamp(pid))
    finally:
        runner.kill()
        runner.communicate()


def test_a_guard_ends_nothing_when_its_worker_does_not_die(tmp_path: Path) -> None:
    text = "sleep 60 >/dev/null 2>&1 & echo $! > pid"
    assert run_child(shell(text), environ=os.environ, directory=tmp_path).exit_code == 0
    pid = int((tmp_path / "pid").read_text())
    assert read_stamp(pid), "a program may leave something running on purpose"
    os.kill(pid, signal.SIGKILL)


def test_a_program_is_ended_when_its_time_is_up(tmp_path: Path) -> None:
    end = run_child(["sleep", "60"], environ=os.environ, directory=tmp_path, timeout_s=0.2)
    assert (end.exit_code, end.signal) == (143, "SIGTERM")
    assert "0.2 s" in end.message
    assert not end.was_stopped


def test_a_program_that_does_not_listen_is_killed_with_what_it_started(tmp_path: Path) -> None:
    text = "trap '' TERM; sleep 60 & echo $! > pid_; mv pid_ pid; while :; do sleep 0.1; done"
    end = run_child(
        shell(text), environ=os.environ, directory=tmp_path, kill_after_s=0.3,
        watch=EndsWhen(tmp_path / "pid"),
    )  # fmt: skip
    assert (end.exit_code, end.signal) == (137, "SIGKILL")
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not read_stamp(pid))


def test_a_program_whose_watch_breaks_is_not_left_running(tmp_path: Path) -> None:
    class Broken:
        def turn(self, timeout_s: float) -> str:
            del timeout_s
            wait_for((tmp_path / "pid").exists)
            raise RuntimeError("the watch broke")

    text = "trap '' TERM; echo $$ > pid_; mv pid_ pid; while :; do sleep 0.1; done"
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="the watch broke"):
        run_child(shell(text), environ=os.environ, directory=tmp_path, watch=Broken())
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not read_stamp(pid))
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_watch_can_end_a_program(tmp_path: Path) -> None:
    text = "touch up; exec sleep 60"
    watch = EndsWhen(tmp_path / "up")
    end = run_child(shell(text), environ=os.environ, directory=tmp_path, watch=watch)
    assert (end.signal, end.message, end.was_stopped) == ("SIGTERM", "enough", False)


def test_ranks_of_a_launcher_are_told_and_the_launcher_is_not(tmp_path: Path) -> None:
    told: list[int] = []

    def tell(number: int) -> None:
        told.append(number)
        (tmp_path / "enough").touch()

    text = "trap 'exit 9' TERM; while [ ! -e enough ]; do sleep 0.05; done; exit 3"
    end = run_child(
        shell(text), environ=os.environ, directory=tmp_path, timeout_s=0.2, signal_ranks=tell
    )
    assert (end.exit_code, told) == (3, [signal.SIGTERM])


def test_a_launcher_that_does_not_end_gets_sigterm_and_never_sigkill(tmp_path: Path) -> None:
    text = "trap 'exit 9' TERM; touch up; while :; do sleep 0.05; done"
    end = run_child(
        shell(text),
        environ=os.environ,
        directory=tmp_path,
        watch=EndsWhen(tmp_path / "up"),
        kill_after_s=0.1,
        signal_ranks=lambda _number: None,
    )
    assert end.exit_code == 9


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [(["no-such-program"], 127, "no-such-program"), (["/dev/null"], 126, "ermission")],
)
def test_a_program_that_cannot_start_ends_as_in_a_shell(
    tmp_path: Path, command: list[str], code: int, said: str
) -> None:
    end = run_child(command, environ=os.environ, directory=tmp_path)
    assert end.exit_code == code
    assert said in end.message


def test_output_is_appended_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "0.log"
    for text in ("out", "err"):
        run_child(
            shell(f"echo {text} >&{1 if text == 'out' else 2}"),
            environ=os.environ,
            directory=tmp_path,
            output=log,
        )
    assert log.read_text() == "out\nerr\n"


def test_a_program_has_no_stdin_and_a_group_of_its_own(tmp_path: Path) -> None:
    code = (
        "import os,sys; is_ours = os.getpgid(0) == os.getpgid(os.getppid())\n"
        "sys.exit(9 if sys.stdin.read() or is_ours else 4)"
    )
    command = [sys.executable, "-S", "-c", code]
    assert run_child(command, environ=os.environ, directory=tmp_path).exit_code == 4


def test_handlers_are_put_back_and_no_files_stay_open(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run_child(["true"], environ=os.environ, directory=tmp_path, output=tmp_path / "log")
    files = count_files()
    for _ in range(5):
        run_child(["true"], environ=os.environ, directory=tmp_path, output=tmp_path / "log")
    wait_for(lambda: count_files() <= files)
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL


def test_signals_that_are_ignored_stay_so_but_for_the_warning() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    warned = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        with SignalRelay() as relay:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not relay.must_leave
            os.kill(os.getpid(), signal.SIGUSR2)
            assert relay.was_warned
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGUSR2, warned)


def test_a_signal_between_two_programs_reaches_the_next(tmp_path: Path) -> None:
    with SignalRelay() as relay:
        os.kill(os.getpid(), signal.SIGTERM)
        end = run_child(["sleep", "60"], environ=os.environ, directory=tmp_path, relay=relay)
        assert end.was_stopped
        assert end.signal == "SIGTERM"


def test_a_process_is_known_by_more_than_its_number() -> None:
    child = start_python("import sys; sys.stdin.read()", stdin=-1)
    stamp = read_stamp(child.pid)
    assert is_alive(child.pid, stamp)
    assert not is_alive(child.pid, "1")
    assert not is_alive(child.pid, "")
    child.kill()
    wait_for(lambda: not is_alive(child.pid, stamp))  # a zombie does not count
    child.communicate()
    assert read_stamp(child.pid) == ""
