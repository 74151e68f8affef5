"""What a person sees of a push while it goes on."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from hpctrack.cli.sync.progress import DRAW_INTERVAL_S, Tally
from hpctrack.core.clock import Clock
from hpctrack.sync.sending.push_result import Progress
from tests.programs import ROOT


def make_tally() -> tuple[Tally, list[float]]:
    now_s = [0.0]
    return Tally(Clock(wall_s=lambda: now_s[0], mono_s=lambda: now_s[0])), now_s


def test_phases_are_told_with_the_number_of_runs() -> None:
    tally, _now_s = make_tally()
    assert tally.note(Progress("connect", "login:22"))
    assert tally.describe() == "connecting to login:22"
    for number in range(1200):
        tally.note(Progress("read", f"digits/{number}"))
    assert tally.describe() == "reading digits/1199 (1,200 runs)"
    tally.note(Progress("send", "digits/0", 5, 100))
    tally.note(Progress("send", "digits/0", 10, 100))
    tally.note(Progress("send", "digits/a-name-that-is-much-too-long", 20, 100))
    assert tally.describe() == "sending digits/a-name-that-is-much-… (2 of 1,200)"


def test_it_is_drawn_now_and_then_and_at_the_end() -> None:
    tally, now_s = make_tally()
    assert tally.note(Progress("send", "a", 0, 1000))
    drawn = [tally.note(Progress("send", "a", done, 1000)) for done in range(1, 1000)]
    assert not any(drawn)
    now_s[0] += DRAW_INTERVAL_S
    assert tally.note(Progress("send", "a", 999, 1000))
    assert tally.note(Progress("send", "a", 1000, 1000))


def test_what_is_read_meanwhile_does_not_hide_what_is_sent() -> None:
    tally, now_s = make_tally()
    tally.note(Progress("send", "a", 1, 10))
    now_s[0] += 60
    assert not tally.note(Progress("read", "b"))
    assert tally.describe() == "sending a (1 of 1)"


def test_a_bar_is_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    near, far = pty.openpty()
    (tmp_path / "store").mkdir(exist_ok=True)
    words = ["sync", str(tmp_path / "target"), "--store", str(tmp_path / "store")]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hpctrack", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=far,
            text=True,
            timeout=60,
            check=True,
        )
        os.close(far)
        shown = os.read(near, 65536).decode()
    finally:
        os.close(near)
    assert "connecting to" in shown
    assert done.stdout == "nothing new; 0 runs already there\n"
