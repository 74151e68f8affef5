"""What a rank prints: shown as if we were not there, and recorded."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from hpctrack.client.console import Console
from hpctrack.client.console_page import READ_WORD, TAIL_BYTES, Page
from hpctrack.client.console_route import size_pipes
from hpctrack.core.wire import make_gap, read_gap
from tests.consoles import captured, captured_to_files, joined, read_terminal

Pieces = list[tuple[int, bytes]]


def test_all_that_reaches_the_descriptors_is_shown_and_recorded(tmp_path: Path) -> None:
    code = """
libc = ctypes.CDLL(None)
print("python", flush=True)
libc.printf(b"C buffered\\n")
libc.fflush(None)
libc.write(1, b"C direct\\n", 9)
os.system("echo a shell")
subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
print("to stderr", file=sys.stderr)
libc.printf(b"left in C's buffer\\n")
sys.stdout.write("left in Python's buffer\\n")
done()
print("after the end")
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 0
        lines = [
            "python", "C buffered", "C direct", "a shell", "a child", "left in Python's buffer",
            "left in C's buffer",
        ]  # fmt: skip
        recorded = "".join(f"{line}\n" for line in lines).encode()
        assert out.read_bytes() == recorded + b"after the end\n"
        assert err.read_bytes() == b"to stderr\n"
        assert joined(program.told(), 1) == recorded
        assert joined(program.told(), 2) == b"to stderr\n"


def test_an_error_is_shown_once_and_the_exit_code_is_its_own(tmp_path: Path) -> None:
    code = (
        "import atexit\natexit.register(done)\nprint('before')\nraise ValueError('no such thing')"
    )
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 1
        assert out.read_bytes() == b"before\n"
        assert err.read_bytes().count(b"ValueError: no such thing") == 1
        assert joined(program.told(), 2) == err.read_bytes()


def test_a_terminal_stays_a_terminal(tmp_path: Path) -> None:
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (31, 97))
    code = r"""
import termios
assert sys.stdout.isatty() and sys.stderr.isatty()
print(os.get_terminal_size(1).columns, termios.tcgetattr(1)[0] == before, end="\r\n")
for number in range(500):
    print("out", number)
    print("err", number, file=sys.stderr)
print("resize", flush=True)
while os.get_terminal_size(2).columns != 120:
    time.sleep(0.05)
    print(".", end="", flush=True)
done()
print("end")
"""
    code = code.replace("== before", f"== {termios.tcgetattr(slave)[0]}")
    with captured(code, tmp_path, stdout=slave, stderr=slave, lends=False) as program:
        shown = read_terminal(master, until=b"resize")
        termios.tcsetwinsize(slave, (31, 120))
        os.close(slave)
        shown += read_terminal(master)
        pairs = b"".join(b"out %d\r\nerr %d\r\n" % (one, one) for one in range(500))
        assert shown.startswith(b"97 True\r\r\n" + pairs + b"resize\r\n")
        assert shown.endswith(b".end\r\n")
        assert program.end() == 0
        assert b"out 7\nerr 7\nout 8\n" in joined(program.told(), 1)
    os.close(master)


def test_streams_that_share_a_file_keep_their_order(tmp_path: Path) -> None:
    code = """
for number in range(3000):
    os.write(1 + number % 2, b"%d\\n" % number)
done()
"""
    with (
        (tmp_path / "both").open("ab") as both,
        captured(code, tmp_path, stdout=both.fileno(), stderr=both.fileno()) as program,
    ):
        assert program.end() == 0
        expected = b"".join(b"%d\n" % number for number in range(3000))
        assert (tmp_path / "both").read_bytes() == expected
        assert joined(program.told(), 1) == expected


def test_a_reader_that_has_left_is_noticed_as_without_us(tmp_path: Path) -> None:
    read, write = os.pipe()
    code = """
try:
    while True:
        print("y" * 100, flush=True)
except BrokenPipeError:
    print("noticed", file=sys.stderr)
    os._exit(7)
"""
    with (
        (tmp_path / "err").open("wb") as err,
        captured(code, tmp_path, stdout=write, stderr=err.fileno(), lends=False) as program,
    ):
        os.close(write)
        assert os.read(read, 4) == b"yyyy"
        os.close(read)
        assert program.process.wait(120) == 7


def test_a_full_disk_is_noticed_as_without_us(tmp_path: Path) -> None:
    code = """
import errno, time
try:
    while True:
        os.write(1, b"x")
except OSError as error:
    assert error.errno == errno.ENOSPC
# The program may feel it before the thread that found out has said so.
deadline = time.monotonic() + 90
while "No space" not in console.problem and time.monotonic() < deadline:
    time.sleep(0.01)
assert "No space" in console.problem
done()
os._exit(7)
"""
    with (
        Path("/dev/full").open("wb") as full,
        (tmp_path / "err").open("wb") as err,
        captured(code, tmp_path, stdout=full.fileno(), stderr=err.fileno(), lends=False) as program,
    ):
        assert program.process.wait(120) == 7, (tmp_path / "err").read_text()


def test_runs_and_processes_share_a_console(tmp_path: Path) -> None:
    code = """
import multiprocessing
second = Console(lambda *_: None)
assert not second.start() and "another run" in second.problem
assert second.stop() and not Console(print, mode="off").start()
if os.fork() == 0:
    assert console.mode == "off" and not console.fds
    inner = []
    own = Console(lambda stream, data: inner.append(data))
    assert own.start()
    print("from a fork", flush=True)
    own.stop()
    os.write(2, b"".join(inner))
    os._exit(0)
os.wait()
child = multiprocessing.get_context("fork").Process(target=print, args=("from a pool",))
child.start(); child.join()
done()
third = Console(lambda stream, data: parts.append((stream, data)))
assert third.start()
print("third")
third.stop()
assert parts[-1] == (1, b"third\\n"), parts
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 0, err.read_text()
        assert out.read_bytes() == b"from a fork\nfrom a pool\nthird\n"
        assert joined(program.told(), 1) == b"from a fork\nfrom a pool\n"
        assert joined(program.told(), 2) == b"from a fork\n"


def test_a_child_that_lives_on_is_served_by_the_thread(tmp_path: Path) -> None:
    code = """
child = subprocess.Popen([sys.executable, "-c", "input(); print('x' * 3000000)"], stdin=-1)
print("parent", flush=True)
done()
child.communicate(b"go\\n")
assert child.returncode == 0
while os.fstat(1).st_size < 3000008:  # without an agent, what is in the pipe ends with us
    time.sleep(0.01)
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, _err):
        assert program.end() == 0
        assert out.read_bytes() == b"parent\n" + b"x" * 3000000 + b"\n"
        assert joined(program.told(), 1) == b"parent\n"


def test_what_is_beyond_the_bound_is_counted_and_the_end_kept(tmp_path: Path) -> None:
    code = """
for number in range(100000):
    print("number", number)
done()
assert console.missing_bytes > 0
"""
    with captured_to_files(code, tmp_path, options="max_bytes=10000", lends=False) as (
        program,
        out,
        _err,
    ):
        assert program.end() == 0
        expected = b"".join(b"number %d\n" % number for number in range(100000))
        assert out.read_bytes() == expected
        *begin, gap, tail = [data for _stream, data in program.told()]
        assert b"".join(begin) == expected[:10000]
        assert tail == expected[-TAIL_BYTES:]
        assert read_gap(gap) == len(expected) - 10000 - TAIL_BYTES


def test_a_program_that_closes_what_it_does_not_know_writes_to_its_own_files(
    tmp_path: Path,
) -> None:
    code = """
parts_of_others = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2]
for fd in console.fds[-3:-1]:
    os.close(fd)
own = os.open("own", os.O_CREAT | os.O_RDWR)
for fd in console.fds[-3:-1]:
    os.dup2(own, fd)
os.write(1, b"for the console\\n")
time.sleep(0.1)
assert os.stat("own").st_size == 0
os._exit(0)
"""
    with captured_to_files(code, tmp_path) as (program, out, err):
        assert program.process.wait(120) == 0, err.read_text()
        program.end()
        # The agent has descriptors of its own.
        assert out.read_bytes() == b"for the console\n"


def test_a_system_without_descriptors_left_changes_nothing(tmp_path: Path) -> None:
    code = """
import resource
assert console.stop()
for limit in range(8, 40):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, 4096))
    other = Console(lambda *_: None)
    if other.start():
        break
    assert other.problem.startswith("the console is not recorded"), other.problem
    os.write(1, b"shown\\n")
else:
    raise SystemExit("never")
assert other.stop()
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 0, err.read_text()
        shown = out.read_bytes()
        assert len(shown) > 6
        assert shown == b"shown\n" * (len(shown) // 6)


def test_a_closed_stream_is_left_closed(tmp_path: Path) -> None:
    code = """
console.stop()
os.close(1)
other = Console(lambda stream, data: parts.append((stream, data)))
assert other.start() and "fd 1" in other.problem, other.problem
os.write(2, b"still here\\n")
other.stop()
try:
    os.fstat(1)
except OSError:
    assert parts == [(2, b"still here\\n")], parts
    os._exit(7)
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, _out, err):
        assert program.end() == 7, err.read_text()


def test_a_listener_that_fails_ends_the_record_and_nothing_else(tmp_path: Path) -> None:
    code = """
console.stop()
other = Console(lambda stream, data: 1 / 0)
assert other.start()
print("one", flush=True)
while not other.problem:
    time.sleep(0.01)
print("two", flush=True)
assert other.stop()
assert "division by zero" in other.problem
os._exit(7)
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 7, err.read_text()
        assert out.read_bytes() == b"one\ntwo\n"


def test_a_python_without_ctypes_is_served_too(tmp_path: Path) -> None:
    code = """
console.stop()
sys.modules["_ctypes"] = None
other = Console(lambda stream, data: parts.append((stream, data)))
assert other.start() and other._pump._mover._c is None
sys.stdout.write("x" * 500000 + "\\n")
other.stop()
assert b"".join(data for _, data in parts) == b"x" * 500000 + b"\\n"
os._exit(7)
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 7, err.read_text()
        assert out.read_bytes() == b"x" * 500000 + b"\n"


def test_the_programs_signals_find_its_own_threads(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"handled\\n"))
os.kill(os.getpid(), signal.SIGUSR1)
(ours,) = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
mask = 0
while not mask & 1 << signal.SIGUSR1 - 1:
    status = open(f"/proc/self/task/{ours}/status").read()
    mask = int(status.partition("SigBlk:")[2].split()[0], 16)
done()
"""
    with captured_to_files(code, tmp_path, lends=False) as (program, out, err):
        assert program.end() == 0, err.read_text()
        assert out.read_bytes() == b"handled\n"
    assert signal.SIGUSR1 in signal.valid_signals()


class Frontend(io.StringIO):
    """What a notebook puts in the place of sys.stdout."""


def test_where_python_prints_elsewhere_its_objects_are_wrapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, err = Frontend(), Frontend()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(Frontend, "__module__", "ipykernel.iostream")
    pieces: Pieces = []

    def record(stream: int, data: bytes) -> None:
        pieces.append((stream, data))
        print("printed while recording")  # not recorded, or it would never end

    console = Console(record)
    assert console.start(), console.problem
    assert console.mode == "wrap"
    assert console.fds == ()
    print("héllo", 1)
    print("oops", file=sys.stderr)
    assert console.stop()
    print("after")
    assert joined(pieces, 1) == "héllo 1\n".encode()
    assert joined(pieces, 2) == b"oops\n"
    assert out.getvalue().startswith("héllo")
    assert out.getvalue().endswith("after\n")
    assert "write" not in out.__dict__


class EchoingFrontend(Frontend):
    """Also repeats what it is given, as a Jupyter kernel's stream does."""

    echo: io.StringIO | None = None

    def write(self, text: str) -> int:
        if self.echo is not None:
            self.echo.write(text)
        return super().write(text)


def test_where_each_cell_has_a_write_of_its_own_its_stream_is_heard_by_the_echo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, earlier = EchoingFrontend(), io.StringIO()
    out.echo = earlier
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", EchoingFrontend())
    pieces: Pieces = []
    console = Console(lambda stream, data: pieces.append((stream, data)), mode="wrap")
    before = out.write
    out.write = before  # type: ignore[method-assign] # what IPython leaves behind
    assert console.start(), console.problem
    out.write = before  # type: ignore[method-assign]
    print("one")
    assert console.stop()
    print("two")
    assert joined(pieces, 1) == b"one\n"
    assert out.getvalue() == earlier.getvalue() == "one\ntwo\n"
    assert out.echo is earlier


def test_an_object_that_cannot_be_wrapped_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slotted:
        __slots__ = ()

        def write(self, text: str) -> int:
            return len(text)

    out = Frontend()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", Slotted())
    console = Console(lambda _stream, _data: None, mode="wrap")
    assert not console.start()
    assert console.problem
    assert "write" not in out.__dict__


def test_the_page_counts_each_byte_once() -> None:
    page = Page.make(max_bytes=10)
    try:
        page.add(1, b"12345")
        assert page.admit(1, b"12345") == b"12345"
        page.add(2, b"678")
        assert page.take_rest(2) == [b"678"]
        page.add(1, b"abcdefgh")
        assert page.admit(1, b"abcdefgh") == b"abcde"
        assert page.is_full
        page.add(1, b"ijk")
        assert page.admit(1, b"ijk") == b""
        assert page.unrecorded_bytes == 6
        assert page.take_rest(1) == [b"fghijk"]
        for _ in range(3):
            page.add(1, b"z" * 40000)
        assert page.take_rest(1) == [make_gap(120000 - TAIL_BYTES), b"z" * TAIL_BYTES]
        assert page.take_rest(1) == []
    finally:
        page.close()


def test_a_piece_that_was_moved_is_counted_by_whoever_comes_first() -> None:
    page = Page.make(max_bytes=100)
    try:
        for stream, data in [(1, b"first"), (2, b"second")]:
            note = page.announce_piece(stream, is_sure=stream == 2)
            assert page.count_piece() == (stream, b"", b"")
            page.piece[: len(data)] = data
            note(READ_WORD, len(data))
            rest = b"second" if stream == 2 else b""
            assert page.count_piece() == (stream, data, rest)
            assert page.count_piece() == (stream, b"", b"")
    finally:
        page.close()


def test_a_page_of_this_process_has_a_living_owner_until_it_is_closed() -> None:
    page = Page.make(max_bytes=100)
    other = Page(os.dup(page.fd))
    assert other.is_owner_alive()
    page.close()
    assert not other.is_owner_alive()
    other.close()


def test_a_gap_is_told_from_text() -> None:
    assert read_gap(make_gap(17)) == 17
    for text in (b"", b"hpctrack gap 17", make_gap(17) + b"\n", struct.pack("<I", 1)):
        assert read_gap(text) == 0


def test_many_ranks_do_not_use_up_a_users_pipes() -> None:
    assert size_pipes(1) == size_pipes(8) == 1024 * 1024
    assert size_pipes(128) == 64 * 1024
    assert 2 * 32 * size_pipes(32) <= 16 * 1024 * 1024


@pytest.mark.slow
def test_last_words_before_os_exit_come_before_what_the_shell_says(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time, hpctrack\n"
        "run = hpctrack.init('p')\n"
        "for number in range(300): run.log({'a': number}); time.sleep(0.001)\n"
        "print('last words', flush=True)\n"
        "os._exit(3)\n"
    )
    out = tmp_path / "out"
    loop = f"for n in 1 2 3 4 5 6 7 8; do {sys.executable} {program}; echo RC $?; done"
    command = f"({loop}) > {out} 2> {tmp_path / 'err'}"
    environ = {**os.environ, "HPCTRACK_CONSOLE": "redirect"}
    subprocess.run(["/bin/sh", "-c", command], check=True, timeout=120, env=environ)
    assert out.read_text().splitlines() == ["last words", "RC 3"] * 8
