"""What the agent does for a rank's console: real programs, real deaths."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from hpctrack.client.console_page import READ_WORD, Page
from hpctrack.client.console_route import find_position
from hpctrack.core.wire import read_gap
from tests.consoles import (
    captured,
    captured_to_files,
    describe_difference,
    joined,
    read_terminal,
)
from tests.programs import wait_for

HOLD = """
# C code that keeps the interpreter lock: the console's thread cannot run.
libc = ctypes.PyDLL(None)
data = b"".join(b"held %d\\n" % number for number in range(40000))
"""
HELD = b"".join(b"held %d\n" % number for number in range(40000))
LINES = b"".join(b"line %d\n" % number for number in range(2000))


def test_a_killed_program_loses_nothing_that_was_in_the_pipe(tmp_path: Path) -> None:
    code = f"""{HOLD}
for number in range(2000):
    print("line", number, flush=True)
libc.write(1, data, len(data))
libc.kill(os.getpid(), signal.SIGKILL)
"""
    with captured_to_files(code, tmp_path) as (program, out, err):
        assert program.end() == -signal.SIGKILL
        assert describe_difference(out.read_bytes(), LINES + HELD) == ""
        assert err.read_bytes() == b""
        # What its own thread had recorded died with this program; the agent has the rest.
        assert (LINES + HELD).endswith(joined(program.pieces, 1))
        assert len(joined(program.pieces, 1)) >= len(HELD) - 1024
        assert program.drain
        assert program.drain.is_done


def test_c_code_that_fills_the_pipe_with_the_lock_held_does_not_hang(tmp_path: Path) -> None:
    code = f"""{HOLD}
print("before", flush=True)
for _ in range(10):
    libc.write(1, data, len(data))
print("after")
done()
"""
    with captured_to_files(code, tmp_path) as (program, out, _err):
        assert program.end() == 0
        expected = b"before\n" + 10 * HELD + b"after\n"
        assert out.read_bytes() == expected
        # Together, the program's thread and the agent have recorded each byte once.
        told, moved = joined(program.told(), 1), joined(program.pieces, 1)
        assert len(told) + len(moved) == len(expected)
        assert told.endswith(b"after\n")


def test_a_segmentation_fault_is_shown_and_recorded(tmp_path: Path) -> None:
    code = """
import faulthandler
faulthandler.enable()
print("last words", flush=True)
ctypes.string_at(0)
"""
    with captured_to_files(code, tmp_path) as (program, out, err):
        assert program.end() == -signal.SIGSEGV
        assert out.read_bytes() == b"last words\n"
        shown = err.read_bytes()
        assert shown.count(b"Fatal Python error: Segmentation fault") == 1
        assert b"string_at" in shown
        assert joined(program.pieces, 2) == shown


def test_an_exit_without_cleanup_loses_nothing(tmp_path: Path) -> None:
    code = """
os.write(1, b"a" * 300000)
os.write(2, b"b")
os._exit(3)
"""
    with captured_to_files(code, tmp_path) as (program, out, err):
        assert program.end() == 3
        assert out.read_bytes() == b"a" * 300000
        assert err.read_bytes() == b"b"


def test_children_of_a_dead_program_go_on_writing(tmp_path: Path) -> None:
    code = """
if os.fork() == 0:
    while not os.path.exists("go"):
        time.sleep(0.01)
    os.write(1, b"c" * 2000000)
    print("child is well", flush=True)
    os._exit(0)
print("parent", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with captured_to_files(code, tmp_path) as (program, out, _err):
        assert program.end() == -signal.SIGKILL
        assert program.drain
        assert not program.drain.is_done
        assert wait_for(out.read_bytes) == b"parent\n"
        Path("go").touch()
        program.drain_all()
        assert out.read_bytes() == b"parent\n" + b"c" * 2000000 + b"child is well\n"
        assert joined(program.pieces, 1).endswith(b"child is well\n")


def test_a_stopped_agent_stops_no_program(tmp_path: Path) -> None:
    code = """
for number in range(100000):
    print("number", number)
done()
"""
    with captured_to_files(code, tmp_path) as (program, out, _err):
        # Nobody looks: what the agent holds open is all that there is of it.
        assert program.process.wait(120) == 0
        expected = b"".join(b"number %d\n" % number for number in range(100000))
        assert out.read_bytes() == expected
        assert joined(program.told(), 1) == expected


@pytest.mark.slow
def test_a_claim_that_is_never_taken_back_stops_no_program(tmp_path: Path) -> None:
    with captured_to_files("print('one')\ndone()", tmp_path) as (program, out, _err):
        assert program.drain
        program.drain._page.claim = True
        assert program.process.wait(120) == 0
        assert out.read_bytes() == b"one\n"


def test_the_agent_lets_go_when_the_program_has_its_output_back(tmp_path: Path) -> None:
    code = """
print("recorded")
done()
print("not recorded", flush=True)
sys.stdin.read()
"""
    read, write = os.pipe()
    with captured_to_files(code, tmp_path, stdin=read) as (program, out, _err):
        os.close(read)
        wait_for(lambda: out.read_bytes() == b"recorded\nnot recorded\n")
        assert program.drain
        assert program.drain.finish() == []
        assert program.drain.is_done
        assert program.process.poll() is None
        os.close(write)
        assert program.end() == 0
        assert joined(program.told(), 1) == b"recorded\n"


def test_an_original_that_takes_nothing_holds_up_nobody(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    while True:
        try:
            os.write(write, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write, True)
    code = """
os.write(1, b"y" * 50000)
os.write(1, b"end")
os.kill(os.getpid(), signal.SIGKILL)
"""
    with captured(code, tmp_path, stdout=write, stderr=write) as program:
        os.close(write)
        assert program.end() == -signal.SIGKILL
        # Recorded at once, shown when there is room.
        assert joined(program.pieces, 1) == b"y" * 50000 + b"end"
        shown = b""
        while program.drain and not program.drain.is_done:
            shown += os.read(read, 65536)
            program.look()
        while more := os.read(read, 65536):
            shown += more
        assert shown.lstrip(b"x") == b"y" * 50000 + b"end"
    os.close(read)


def test_a_terminal_gets_all_of_a_killed_program(tmp_path: Path) -> None:
    master, slave = os.openpty()
    code = f"{HOLD}\nos.write(1, data[:200000])\nlibc.kill(os.getpid(), signal.SIGKILL)\n"
    with captured(code, tmp_path, stdout=slave, stderr=slave) as program:
        os.close(slave)
        shown = b""
        os.set_blocking(master, False)
        while program.drain and not program.drain.is_done:
            program.look()
            if program.process.poll() is not None:
                program.pieces += program.drain.finish()
            shown += read_terminal(master, timeout_s=0)
        shown += read_terminal(master)
        assert shown == HELD[:200000].replace(b"\n", b"\r\n")
    os.close(master)


def test_a_socket_is_an_original_like_any_other(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    code = "print('to a socket', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with ours, captured(code, tmp_path, stdout=theirs.fileno(), stderr=theirs.fileno()) as program:
        theirs.close()
        program.end()
        assert ours.recv(100) == b"to a socket\n"
        assert ours.recv(100) == b""


def test_beyond_the_bound_the_end_is_recorded_and_the_gap_counted(tmp_path: Path) -> None:
    code = """
for number in range(100000):
    print("number", number)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""
    with captured_to_files(code, tmp_path, options="max_bytes=10000") as (program, out, _err):
        program.end()
        expected = b"".join(b"number %d\n" % number for number in range(100000))
        assert out.read_bytes() == expected
        *_rest, gap, tail = [data for _stream, data in program.pieces]
        assert expected.endswith(tail)
        assert len(tail) == 65536
        assert read_gap(gap) == len(expected) - 10000 - len(tail)


@pytest.mark.parametrize("is_appended", [False, True])
def test_of_a_piece_that_was_cut_short_in_a_file_the_agent_writes_the_rest_only(
    tmp_path: Path,
    is_appended: bool,
) -> None:
    """The kernel ends a killed process within a write, behind any page of the file."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    file = os.open(path, os.O_WRONLY | (os.O_APPEND if is_appended else 0))
    os.lseek(file, 0, os.SEEK_END)
    page = Page.make(max_bytes=100)
    try:
        for written in (0, 4096, 10000):
            note = page.announce_piece(1, is_sure=False, position=find_position(file))
            data = bytes(range(250)) * 40
            page.piece[: len(data)] = data
            note(READ_WORD, len(data))
            os.write(file, data[:written])  # and then nobody has noted it
            page.settle_piece(find_position(file))
            assert page.count_piece() == (1, data, data[written:])
    finally:
        page.close()
        os.close(file)
