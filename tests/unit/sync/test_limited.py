"""A line that carries no more than it may, on a clock of the test's own."""

from __future__ import annotations

import pytest

from hpctrack.core.clock import Clock
from hpctrack.sync.carriers.limited import LimitedTransport


class Line:
    """Takes everything at once, and notes when."""

    peer, carrier, reason = "there", "local", ""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.taken: list[tuple[float, int]] = []

    def write(self, data: bytes) -> None:
        self.taken.append((self.now_s, len(data)))

    def poll(self, timeout_s: float) -> bool:
        return timeout_s > 1

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        return b"x" * int(min(max_bytes, timeout_s))

    def read_stderr(self) -> str:
        return "words"

    def wait(self, timeout_s: float) -> int | None:
        return int(timeout_s)

    def close(self) -> None:
        self.now_s = -1.0

    def mono_s(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def limit(line: Line, bytes_s: float) -> LimitedTransport:
    clock = Clock(wall_s=line.mono_s, mono_s=line.mono_s)
    return LimitedTransport(line, bytes_s, clock=clock, sleep=line.sleep)


@pytest.mark.parametrize("size_bytes", [10_000_000, 3_333_333])
def test_a_long_write_takes_its_time_and_loses_nothing(size_bytes: int) -> None:
    line = Line()
    limit(line, 1e6).write(bytes(size_bytes))
    assert sum(size for _at, size in line.taken) == size_bytes
    assert max(size for _at, size in line.taken) <= 250_000
    assert line.now_s - 100.0 == pytest.approx(size_bytes / 1e6, abs=0.5)


def test_no_second_carries_more_than_a_burst_beyond_the_limit() -> None:
    line = Line()
    limited = limit(line, 1e6)
    for pause_s in (0.0, 5.0, 0.01, 0.0, 60.0):
        line.sleep(pause_s)
        limited.write(bytes(700_000))
    for at, _size in line.taken:
        within = sum(size for when, size in line.taken if at <= when < at + 1)
        assert within <= 1e6 + 2 * 250_000


def test_everything_else_is_passed_on() -> None:
    line = Line()
    limited = limit(line, 10)
    assert (limited.peer, limited.read_stderr(), limited.wait(3.0)) == ("there", "words", 3)
    assert (limited.poll(2.0), limited.poll(0.0)) == (True, False)
    assert limited.read(2, timeout_s=9) == b"xx"
    limited.close()
    assert line.now_s == -1.0
