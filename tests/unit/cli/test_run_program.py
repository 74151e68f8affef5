"""`hpctrack run` as the program in it, and whoever started it, see it. Processes are real."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hpctrack import Store, StoredRun
from tests.programs import list_agents, only_run, wait_for

TRACKED = (sys.executable, "-m", "hpctrack", "run", "--")

REDIRECT = {"HPCTRACK_CONSOLE": "redirect"}


def run_tracked(
    *command: str | Path, given: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRACKED, *command],
        input=given,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def lines_of(run: StoredRun) -> list[str]:
    return [one.text.rstrip("\r") for one in run.console()]


@pytest.mark.parametrize(
    ("text", "code"),
    [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 137), ("kill -SEGV $$", 139)],
)
def test_the_exit_code_is_the_programs_own(text: str, code: int, tmp_path: Path) -> None:
    assert run_tracked("sh", "-c", text).returncode == code
    run = only_run(tmp_path / "store")
    assert [one.exit_code for one in run.ranks()] == [code]
    assert run.state == ("failed" if code else "finished")


INNER = """
import hpctrack
with hpctrack.init("of-the-program", config={"lr": 0.5}) as run:
    run.log({"loss": 1.0})
    print(run.project, run.id, run.name)
"""


def test_a_program_that_calls_init_is_in_the_run_that_tracks_it(tmp_path: Path) -> None:
    done = run_tracked(sys.executable, "-c", INNER)
    run = only_run(tmp_path / "store")
    assert done.stdout.split() == [run.project, run.id, run.name]
    assert "begun with project='uncategorized' and stays there" in done.stderr
    assert run.config["lr"] == 0.5
    assert run.metric("loss").values.tolist() == [1.0]
    assert run.state == "finished"


def run_inner(*options: str, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TRACKED[:-1], *options, "--", sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_name_and_store_of_the_wrapper_are_the_programs(tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    code = INNER.replace("init(", f"init(dir={elsewhere!r}, group='g', job_type='j', project=")
    done = run_inner("--name", "mine", "--project", "of-the-program", code=code)
    run = only_run(tmp_path / "store")
    assert (run.name, run.project) == ("mine", "of-the-program")
    assert (run.group, run.job_type) == ("g", "j")
    assert done.stdout.split() == [run.project, run.id, "mine"]
    assert "project=" not in done.stderr
    assert f"though this program says {elsewhere!r}" in done.stderr


def test_a_name_that_the_program_gives_is_the_runs(tmp_path: Path) -> None:
    done = run_inner(code=INNER.replace("config=", "name='given', config="))
    run = only_run(tmp_path / "store")
    assert run.name == "given"
    assert done.stdout.split()[-1] == "given"


SEVERAL = """
import hpctrack
for number in range(3):
    with hpctrack.init("p") as run:
        run.log({"x": number})
"""


def test_further_runs_of_a_program_are_runs_of_their_own(tmp_path: Path) -> None:
    assert run_inner("--project", "p", "--id", "w", code=SEVERAL).returncode == 0
    runs = {run.id: run for run in Store(tmp_path / "store").runs()}
    assert len(runs) == 3
    assert runs["w"].metric("x").values.tolist() == [0.0]
    assert {run.record.attempts for run in runs.values()} == {1}


RESUMED = """
import hpctrack
with hpctrack.init("p", resume="allow", config={"lr": 0.5}) as run:
    for _ in range(5):
        run.log({"x": 1.0})
    print(run.resumed, run.step, dict(run.config))
"""


def test_a_program_goes_on_with_the_run_of_its_wrapper(tmp_path: Path) -> None:
    first = run_inner("--project", "p", "--id", "w", code=RESUMED)
    again = run_inner("--project", "p", "--id", "w", code=RESUMED)
    assert first.stdout.split()[:2] == ["False", "5"]
    assert again.stdout.split()[:2] == ["True", "10"]
    run = only_run(tmp_path / "store")
    assert run.metric("x").steps.tolist() == list(range(10))
    assert run.record.attempts == 2


def test_the_exit_code_is_known_where_ends_of_children_are_ignored() -> None:
    command = ["env", "--ignore-signal=CHLD", *TRACKED, "sh", "-c", "exit 4"]
    done = subprocess.run(command, check=False, timeout=60)
    assert done.returncode == 4


def test_what_cannot_be_started_is_told_as_shells_do(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no program")
    assert run_tracked(tmp_path / "missing").returncode == 127
    assert run_tracked(tmp_path / "data").returncode == 126
    script = tmp_path / "script"
    script.write_text("exit 5")  # without a first line that names a shell
    script.chmod(0o755)
    assert run_tracked(script).returncode == 5


def test_standard_input_and_other_descriptors_are_the_programs(tmp_path: Path) -> None:
    assert run_tracked("cat", given="from the pipe").stdout == "from the pipe"
    read, write = os.pipe()
    os.write(write, b"from descriptor")
    os.close(write)
    done = subprocess.run(
        [*TRACKED, "cat", f"/proc/self/fd/{read}"],
        pass_fds=[read],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(read)
    assert done.stdout == "from descriptor", done.stderr


SIGNALS = "grep -E 'SigBlk|SigIgn' /proc/self/status"

IGNORING = ("sh", "-c", 'trap "" HUP USR1; exec "$@"', "sh")


def read_signals(*command: str) -> list[int]:
    """Return which signals a program begins with blocked and ignored, without glibc's own two."""
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    masks = [int(line.split()[1], 16) for line in found.stdout.splitlines()]
    assert len(masks) == 2
    return [one & (2**31 - 1) for one in masks]


def test_the_program_begins_with_the_signals_of_the_wrapper() -> None:
    usual = ("env", "--default-signal")  # in the background of a script some are ignored
    assert read_signals(*usual, *TRACKED, "sh", "-c", SIGNALS) == [0, 0]
    ignored = read_signals(*IGNORING, "sh", "-c", SIGNALS)
    assert ignored != [0, 0]
    assert read_signals(*IGNORING, *TRACKED, "sh", "-c", SIGNALS) == ignored


COUNT = """
import os, signal, sys
counts = {}
def note(number, frame):
    counts[number] = counts.get(number, 0) + 1
    os.write(1, b"got %d %d\\n" % (number, counts[number]))
for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT"):
    signal.signal(getattr(signal, f"SIG{name}"), note)
os.write(1, b"ready\\n")
while 12 not in counts or counts[12] < 2:
    signal.pause()
os.write(1, b"bye\\n")
sys.exit(3)
"""


def test_each_signal_comes_once(tmp_path: Path) -> None:
    # In the background of a script some are ignored, and then nobody's business.
    command = ["env", "--default-signal", *TRACKED, sys.executable, "-c", COUNT]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "CONT", "USR2"):
        number = getattr(signal, f"SIG{name}")
        child.send_signal(number)
        assert child.stdout.readline() == f"got {number} 1\n"
    child.send_signal(signal.SIGUSR2)
    assert child.communicate(timeout=60)[0] == f"got {signal.SIGUSR2} 2\nbye\n"
    assert child.returncode == 3


@pytest.mark.mpi
def test_an_mpi_program_finds_its_launcher_through_the_wrapper(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    # Hydra's ranks speak to it through a descriptor that they inherit.
    code = (
        "from mpi4py import MPI; import hpctrack; hpctrack.init().log({'a': MPI.COMM_WORLD.size})"
    )
    done = subprocess.run(
        [program("mpiexec"), "-n", "2", *TRACKED, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "store")
    assert [one.rank for one in run.ranks()] == [0, 1]
    assert run.metric("a").matrix().values.tolist() == [[2.0], [2.0]]


def find_program(wrapper: int) -> int:
    """Return the one child of a wrapper that is the program."""
    found = subprocess.run(
        ["pgrep", "-P", str(wrapper)], capture_output=True, text=True, check=False
    )
    return int(found.stdout.split()[0]) if found.stdout else 0


def read_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_stopped_wrapper_stops_its_program_and_both_go_on(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*TRACKED, "sh", "-c", "echo ready; exec sleep 600"],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # what nobody of its session looks after is not stopped by SIGTSTP
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    program = wait_for(lambda: find_program(child.pid))
    child.send_signal(signal.SIGTSTP)
    wait_for(lambda: read_state(program) == read_state(child.pid) == "T")
    child.send_signal(signal.SIGCONT)
    wait_for(lambda: read_state(program) == read_state(child.pid) == "S")
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=60)
    assert child.returncode == 143


@pytest.mark.slow
def test_an_agent_that_dies_is_replaced_while_the_program_runs(tmp_path: Path) -> None:
    child = subprocess.Popen([*TRACKED, "cat"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    (first,) = wait_for(list_agents)
    blocked = next(
        line for line in Path(f"/proc/{first}/status").read_text().splitlines() if "SigBlk" in line
    )
    assert int(blocked.split()[1], 16) == 0, "it has to hear SIGTERM"
    wait_for(lambda: (tmp_path / "store").exists() and Store(tmp_path / "store").runs())
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: [one for one in list_agents() if one != first])
    child.communicate(timeout=60)
    assert child.returncode == 0
    run = only_run(tmp_path / "store")
    assert (run.state, run.record.ledger["agents_lost"]) == ("finished", 1)


class Terminal:
    """A program in a session of its own on a pseudo-terminal."""

    def __init__(self, *command: str | Path) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.execvp(str(command[0]), list(map(str, command)))  # noqa: S606 - as a shell does
        self.text = ""

    def read_until(self, what: str) -> str:
        while what not in self.text:
            try:
                data = os.read(self._fd, 4096)
            except OSError:  # EIO: everybody has gone
                data = b""
            assert data, self.text
            self.text += data.decode()
        found, _, self.text = self.text.partition(what)
        return found

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def end(self) -> int:
        _pid, status = os.waitpid(self.pid, 0)
        os.close(self._fd)
        return os.waitstatus_to_exitcode(status)


def test_a_terminal_is_one_for_the_program_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_CONSOLE", "auto")
    code = "import os; print(*map(os.isatty, range(3)), input()); print(os.get_terminal_size(0))"
    terminal = Terminal(*TRACKED, sys.executable, "-c", code)
    terminal.type("typed\n")
    terminal.read_until("True True True typed")
    terminal.read_until("columns=")
    terminal.read_until("finished")
    assert terminal.end() == 0
    assert "True True True typed" in lines_of(only_run(tmp_path / "store"))


def test_a_key_of_the_terminal_interrupts_the_program_once(tmp_path: Path) -> None:
    terminal = Terminal(*TRACKED, sys.executable, "-c", COUNT)
    terminal.read_until("ready\r\n")
    terminal.type("\x03")
    terminal.read_until("got 2 1\r\n")
    terminal.type("\x1c")
    terminal.read_until("got 3 1\r\n")
    program = find_program(terminal.pid)
    os.kill(program, signal.SIGUSR2)
    assert "got" not in terminal.read_until("got 12 1\r\n")
    os.kill(program, signal.SIGUSR2)
    assert "got" not in terminal.read_until("got 12 2\r\n")
    terminal.read_until("bye")
    assert terminal.end() == 3


PRINTS = """
import os, subprocess, sys, hpctrack
run = hpctrack.init()
print("from print")
print("to stderr", file=sys.stderr, flush=True)
subprocess.run(["echo", "from a child"])
run.log({"a": 1})
"""


def test_what_a_python_program_prints_is_recorded_once(tmp_path: Path) -> None:
    done = run_tracked(sys.executable, "-u", "-c", PRINTS, env=REDIRECT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "from print\nfrom a child\n"
    run = only_run(tmp_path / "store")
    lines = lines_of(run)
    assert [lines.count(one) for one in ("from print", "to stderr", "from a child")] == [1, 1, 1]
    assert run.metric("a").values.tolist() == [1]
    assert [(one.rank, one.state) for one in run.ranks()] == [(0, "finished")]


def test_what_it_prints_into_a_file_of_its_own_is_recorded_too(tmp_path: Path) -> None:
    command = f"{sys.executable} -u -c '{PRINTS}' > out.txt"
    done = run_tracked("sh", "-c", command, env=REDIRECT)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "out.txt").read_text() == "from print\nfrom a child\n"
    lines = lines_of(only_run(tmp_path / "store"))
    assert [lines.count(one) for one in ("from print", "to stderr", "from a child")] == [1, 1, 1]


def test_a_program_in_another_folder_logs_into_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_DIR", "./mine")
    (tmp_path / "elsewhere").mkdir()
    code = "import hpctrack; hpctrack.init().log({'a': 1})"
    done = run_tracked("sh", "-c", f'cd elsewhere; {sys.executable} -c "{code}"')
    assert done.returncode == 0, done.stderr
    assert only_run(tmp_path / "mine").metric("a").values.tolist() == [1]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_on_a_terminal_it_is_recorded_once_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCTRACK_CONSOLE", "auto")
    terminal = Terminal(*TRACKED, sys.executable, "-u", "-c", PRINTS)
    terminal.read_until("from a child")
    terminal.read_until("finished")
    assert terminal.end() == 0
    lines = lines_of(only_run(tmp_path / "store"))
    assert [lines.count(one) for one in ("from print", "to stderr", "from a child")] == [1, 1, 1]
