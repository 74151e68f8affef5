"""The terminal program: keys through Textual, and what goes over the line of a real terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot

from hpctrack.cli import main as cli
from hpctrack.cli.top.app import STYLES, TopApp
from hpctrack.cli.top.cells import HEAT_STYLES, UNICODE
from hpctrack.cli.top.controls import View
from hpctrack.cli.top.list_screen import STATE_COLOURS
from hpctrack.cli.top.live import LiveRuns
from tests.programs import ROOT
from tests.stores import START_S, FakeClock, NodeWriter, write_run
from tests.unit.cli.top.made_runs import STEPS, text_of, write_live_run

MEGABYTE = 1 << 20


def make_app(store: Path, *, only: Path | None = None) -> TopApp:
    clock = FakeClock(START_S + STEPS).clock()
    live = LiveRuns(store, clock=clock, stale_after_s=1e6, user="alice")
    return TopApp(
        live,
        only=only,
        clock=clock,
        stale_after_s=1e6,
        glyphs=UNICODE,
        interval_s=0.2,
        whose="alice",
    )


def play(app: TopApp, script: Callable[[Pilot[None]], Awaitable[None]]) -> None:
    """Run the program in a terminal of 80x24 that is none, and press keys."""

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await script(pilot)
            app.stop()

    asyncio.run(run())


async def until(app: TopApp, part: str) -> list[str]:
    """Wait until the screen shows something."""
    deadline = time.monotonic() + 90
    while True:
        lines = text_of(app.picture.lines)
        if any(part in one for one in lines):
            return lines
        assert time.monotonic() < deadline, f"no {part!r} in {lines}"
        await asyncio.sleep(0.02)


def test_every_style_that_is_drawn_has_a_look() -> None:
    assert {*HEAT_STYLES, *STATE_COLOURS.values()} <= STYLES.keys()


def test_keys_lead_from_the_list_into_a_run_and_back(tmp_path: Path) -> None:
    writers = write_live_run(tmp_path)
    app = make_app(tmp_path)

    async def script(pilot: Pilot[None]) -> None:
        lines = await until(app, "p/calm-lake-1")
        assert lines[0].startswith("hpctrack top  1 run of alice")
        await pilot.press("enter")
        await until(app, "[Overview]")
        await until(app, "rank 3 ")
        await pilot.press("tab")
        await until(app, "[Ranks]")
        await pilot.press("j", "j", "c")
        await until(app, "what rank 2 printed")
        await pilot.press("v", "slash", *"step", "enter")
        lines = await until(app, "/step")
        assert not any("loss  " in one for one in lines[5:])
        await pilot.press("escape", "g", "g")
        await until(app, "GPU memory")
        await pilot.press("question_mark")
        await until(app, "choose a row")
        await pilot.press("x", "escape", "escape")
        await until(app, "RATE")
        assert app.controls.run is None

    play(app, script)
    for writer in writers:
        writer.close()


def test_what_is_logged_appears_and_a_pause_holds_it_off(tmp_path: Path) -> None:
    (writer,) = write_live_run(tmp_path, nodes=1)
    app = make_app(tmp_path, only=tmp_path / "p" / "r")

    async def script(pilot: Pilot[None]) -> None:
        await until(app, "step 39")
        writer.points("loss", 0, [77], [0.5])
        writer.flush()
        await until(app, "step 77")
        await pilot.press("p")
        await until(app, "PAUSED")
        await asyncio.sleep(0.3)  # a look that had begun before
        writer.points("loss", 0, [78], [0.5])
        writer.flush()
        await asyncio.sleep(0.6)
        await until(app, "step 77")
        await pilot.press("p")
        await until(app, "step 78")
        await pilot.press("escape")
        assert app.controls.run == ("p", "r")  # there is no list to go back to

    play(app, script)


def test_a_smaller_terminal_is_drawn_anew(tmp_path: Path) -> None:
    write_live_run(tmp_path)
    app = make_app(tmp_path, only=tmp_path / "p" / "r")

    async def script(pilot: Pilot[None]) -> None:
        await until(app, "[Overview]")
        await pilot.resize_terminal(50, 12)
        deadline = time.monotonic() + 90
        while len(app.picture.lines) != 12:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert app.controls.view is View.OVERVIEW

    play(app, script)


def test_a_run_that_vanishes_is_said_so(tmp_path: Path) -> None:
    app = make_app(tmp_path, only=tmp_path / "p" / "gone")

    async def script(_pilot: Pilot[None]) -> None:
        shown = await until(app, "has no live files")
        assert any("gone" in line for line in shown)

    play(app, script)


class Terminal:
    """`hpctrack top` in a pseudo-terminal of 80x24."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self.pid, self._line = pty.fork()
        if not self.pid:
            os.environ.update({"TERM": "xterm-256color", "LANG": "C.UTF-8", **environ})
            os.environ.update({"PYTHONPATH": str(ROOT), "HPCTRACK_STALE_AFTER_S": "600"})
            words = [sys.executable, "-m", "hpctrack", "top", *arguments]
            os.execv(sys.executable, words)  # noqa: S606 - what pytest itself runs on
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.written = b""

    def read(self, for_s: float) -> bytes:
        """Return what comes over the line in a time."""
        found, end = b"", time.monotonic() + for_s
        while (left := end - time.monotonic()) > 0:
            if select.select([self._line], [], [], left)[0]:
                try:
                    found += os.read(self._line, 65536)
                except OSError:
                    break
        self.written += found
        return found

    def until(self, part: str) -> None:
        """Wait until a text has come over the line."""
        deadline = time.monotonic() + 60
        while part.encode() not in self.written:
            assert time.monotonic() < deadline, self.written[-2000:]
            self.read(0.2)

    def press(self, keys: str) -> None:
        os.write(self._line, keys.encode())

    def peak_bytes(self) -> int:
        """Return the most memory that the process has had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def end(self) -> int:
        """Wait for the program's end and return its exit code."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        pytest.fail("it does not end")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._line)


@pytest.fixture
def live_store(tmp_path: Path) -> Iterator[tuple[Path, NodeWriter]]:
    store = tmp_path / "store"
    (writer,) = write_live_run(store, nodes=1, ranks=8, start_s=time.time() - STEPS)
    yield store, writer
    writer.close()


@pytest.mark.slow
def test_on_a_real_terminal_it_takes_little_memory_and_few_bytes(
    live_store: tuple[Path, NodeWriter],
) -> None:
    store, writer = live_store
    terminal = Terminal("r", "--store", str(store), "-d", "0.5")
    try:
        terminal.until("[Overview]")
        terminal.until("step 39")
        terminal.read(1.0)
        assert len(terminal.read(3.0)) < 3000  # six looks at which little but the age has changed
        writer.wall_s = time.time()
        writer.points("loss", 0, [4000], [0.5])
        writer.flush()
        terminal.until("step 4,000")
        assert b"\x1b[?1003h" not in terminal.written  # no mouse over the line
        assert b"38;2;" not in terminal.written  # the terminal's own colours
        assert terminal.peak_bytes() < 60 * MEGABYTE
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        terminal.kill()


def write_big_run(store: Path, *, ranks: int, nodes: int, gpus: int) -> None:
    """Write a live run that logs four metrics and samples its GPUs and processes."""
    per_node, start_s = ranks // nodes, time.time() - 20
    for node in range(nodes):
        writer = NodeWriter(store, node=node, wall_s=start_s)
        mine = range(node * per_node, (node + 1) * per_node)
        for rank in mine:
            writer.start(rank, size=ranks, job={"SLURM_JOB_ID": "4711"}, wall_s=start_s)
        for name in ("loss", "accuracy", "lr", "step_time"):
            values = np.random.default_rng(node).random((per_node, 20))
            writer.table(name, mine, values, start_s + np.arange(20.0))
        for gpu in range(gpus):
            key = f"GPU-{node:03d}{gpu}-d72c-4106-c12f-20bd9faed9f6"
            writer.device(key, name="NVIDIA H100 80GB HBM3", facts={"memory_total_bytes": 8e10})
            for sensor in ("gpu/util_frac", "gpu/memory_used_bytes", "gpu/power_w"):
                writer.samples(sensor, [0.5, 0.6], device=key)
        for rank in mine:
            writer.samples("process/cores_used", [1.0], rank=rank)
            writer.samples("process/rss_bytes", [1e9], rank=rank)
        writer.wall_s = time.time()
        writer.close()


@pytest.mark.slow
def test_ten_thousand_ranks_take_little_memory_too(tmp_path: Path) -> None:
    write_big_run(tmp_path, ranks=10_000, nodes=80, gpus=8)
    terminal = Terminal("r", "--store", str(tmp_path), "-d", "0.5")
    try:
        terminal.until("step 19")
        terminal.press("2")
        terminal.read(2.0)
        assert terminal.peak_bytes() < 60 * MEGABYTE
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        terminal.kill()


def test_without_colours_and_without_utf8_it_is_readable(
    live_store: tuple[Path, NodeWriter],
) -> None:
    terminal = Terminal("--all", "--store", str(live_store[0]), "--ascii", NO_COLOR="1")
    try:
        terminal.until("p/calm-lake-1")
        terminal.press("\r")
        terminal.until("[Overview]")
        terminal.until("values")
        assert not re.search(rb"\x1b\[(?:[0-9;]*;)?3[0-7][;m]", terminal.written)
        assert terminal.written.decode().isascii()
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        terminal.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(
    live_store: tuple[Path, NodeWriter], number: signal.Signals
) -> None:
    terminal = Terminal("r", "--store", str(live_store[0]))
    try:
        terminal.until("[Overview]")
        assert b"\x1b[?1049h" in terminal.written  # the other screen
        os.kill(terminal.pid, number)
        assert terminal.end() == 128 + number
        assert b"\x1b[?1049l" in terminal.written
        assert terminal.written.rindex(b"\x1b[?25h") > terminal.written.rindex(b"\x1b[?25l")
    finally:
        terminal.kill()


def test_without_a_terminal_the_commands_for_pipes_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["top"]) == 2
    err = capsys.readouterr().err
    assert "needs a terminal" in err
    assert "hpctrack ls --live" in err


@pytest.mark.parametrize(
    ("name", "said"), [("sealed", "is over and sealed"), ("nope", "no run 'nope'")]
)
def test_a_run_that_cannot_be_watched_is_said_before_the_screen_is_taken(
    tmp_path: Path, name: str, said: str
) -> None:
    from hpctrack.store.seal import seal_run

    store = tmp_path / "store"
    seal_run(write_run(store, run="sealed"))
    terminal = Terminal(name, "--store", str(store))
    try:
        terminal.until(said)
        assert b"\x1b[?1049h" not in terminal.written
        assert terminal.end() in {2, 3}
    finally:
        terminal.kill()
