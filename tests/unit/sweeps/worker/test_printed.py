"""What programs print: copied to the log, and searched for values."""

from __future__ import annotations

import math
import os
import random
import subprocess
from pathlib import Path

import pytest

from hpctrack.errors import StoreError
from hpctrack.sweeps.schema.sweep_file import MetricGoal
from hpctrack.sweeps.worker.printed import (
    LINE_MAX_BYTES,
    TAIL_LINES,
    OutputPump,
    PrintedValues,
    begin_log,
    read_number,
    read_tail,
)
from tests.leaks import count_files
from tests.programs import wait_for

LOSS = MetricGoal("loss", "minimize", None, r"loss=(\S+)")


def find(data: bytes, *metrics: MetricGoal, cut: int = 1 << 20) -> list[tuple[str, int, float]]:
    values = PrintedValues(metrics or (LOSS,))
    found: list[tuple[str, int, float]] = []
    for at in range(0, len(data), cut):
        found += values.feed(data[at : at + cut])
    return found + list(values.feed(b""))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("1.5D-03", 1.5e-3),
        ("-1.d+2", -100.0),
        ("4d1", 40.0),
        ("1e400", math.inf),
        ("-inf", -math.inf),
        ("dead", None),
        ("", None),
        ("1,5", None),
        ("D03", None),
        ("0x10", None),
        ("********", None),
    ],
)
def test_numbers_are_read_as_programs_print_them(text: str, value: float | None) -> None:
    assert read_number(text) == value


def test_nan_is_a_value() -> None:
    [(name, step, value)] = find(b"loss=NaN\n")
    assert (name, step) == ("loss", 0)
    assert math.isnan(value)


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_values_are_found_wherever_the_stream_is_cut(cut: int) -> None:
    data = b"start\nloss=1.5\r\nepoch 2 loss=0.5D+00 ok\rloss=0.25\rloss=oops\n\nloss=0.125"
    assert find(data, cut=cut) == [
        ("loss", 0, 1.5),
        ("loss", 1, 0.5),
        ("loss", 2, 0.25),
        ("loss", 3, 0.125),
    ]


def test_steps_and_values_have_names_in_the_pattern() -> None:
    metric = MetricGoal("e", "minimize", None, r"it\s+(?P<step>\S+)\s+e\s*=\s*(?P<value>\S+)")
    data = b"it 10 e = 3\nit 20. e = 2\nit nan e = 1\nit inf e = 0\nit x e = -1\n"
    assert find(data, metric) == [
        ("e", 10, 3.0),
        ("e", 20, 2.0),
        ("e", 2, 1.0),
        ("e", 3, 0.0),
        ("e", 4, -1.0),
    ]


def test_several_metrics_may_stand_in_one_line_and_several_times() -> None:
    acc = MetricGoal("acc", "maximize", None, r"acc=(\d+)")
    nothing = MetricGoal("logged", "minimize")
    assert find(b"loss=1 acc=5 loss=2\n", LOSS, acc, nothing) == [
        ("loss", 0, 1.0),
        ("loss", 1, 2.0),
        ("acc", 0, 5.0),
    ]
    assert not PrintedValues((nothing,))
    assert PrintedValues((acc,))


def test_a_line_without_end_costs_no_memory_and_hides_no_later_line() -> None:
    data = b"x" * (5 * LINE_MAX_BYTES) + b"\nloss=4\n"
    assert find(data, cut=4096) == [("loss", 0, 4.0)]
    values = PrintedValues((LOSS,))
    for _ in range(100):
        list(values.feed(b"y" * 10_000))
        assert len(values._rest) <= LINE_MAX_BYTES + 10_000


def test_a_progress_bar_of_carriage_returns_is_read_as_it_goes() -> None:
    values = PrintedValues((LOSS,))
    assert list(values.feed(b"10% loss=3\r")) == [("loss", 0, 3.0)]
    assert list(values.feed(b"20% loss=2")) == []
    assert list(values.feed(b"\r")) == [("loss", 1, 2.0)]


def test_binary_junk_is_passed_over() -> None:
    junk = random.Random(5).randbytes(200_000).replace(b"loss", b"")
    found = find(junk + b"\nloss=7\n\xff\xfe loss=8 \xc3\n" + junk, cut=997)
    assert [value for _, _, value in found] == [7.0, 8.0]


def read_all(pump: OutputPump, program: subprocess.Popen[bytes]) -> list[float]:
    found: list[tuple[str, int, float]] = []

    def turn() -> bool:
        found.extend(pump.read())
        return program.poll() is not None

    wait_for(turn)
    return [value for _, _, value in found + pump.finish()]


def start(text: str, pump: OutputPump) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sh", "-c", text], stdout=pump.writer, stderr=subprocess.STDOUT)


def test_a_pump_copies_everything_and_finds_the_last_unfinished_line(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "0.log"
    pump = OutputPump(log, PrintedValues((LOSS,)))
    program = start("echo loss=1; echo oops >&2; sleep 0.05; printf 'loss=0.5D0'", pump)
    assert read_all(pump, program) == [1.0, 0.5]
    assert log.read_text() == "loss=1\noops\nloss=0.5D0"


def test_a_pump_of_an_endless_printer_comes_back(tmp_path: Path) -> None:
    pump = OutputPump(tmp_path / "log", PrintedValues((LOSS,)))
    program = start("exec yes loss=1", pump)
    try:
        assert len(wait_for(pump.read)) > 0
        program.kill()
        program.wait()
    finally:
        pump.finish()
    assert (tmp_path / "log").read_text().startswith("loss=1\n")


def test_a_pump_does_not_wait_for_what_the_program_left_running(tmp_path: Path) -> None:
    pump = OutputPump(tmp_path / "log", PrintedValues((LOSS,)))
    program = start("sleep 60 & echo $! ; echo loss=3", pump)
    assert read_all(pump, program) == [3.0]
    os.kill(int((tmp_path / "log").read_text().split()[0]), 9)


def test_a_full_disk_takes_the_log_and_not_the_values() -> None:
    pump = OutputPump(Path("/dev/full"), PrintedValues((LOSS,)))
    assert read_all(pump, start("echo loss=3; echo loss=2", pump)) == [3.0, 2.0]


def test_a_pump_without_a_log_prints_and_leaves_no_files_open(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = count_files()
    pump = OutputPump(None, PrintedValues((LOSS,)))
    assert read_all(pump, start("echo loss=3", pump)) == [3.0]
    assert capfd.readouterr().out == "loss=3\n"
    wait_for(lambda: count_files() <= before)


def test_the_tail_of_a_log_is_of_this_attempt_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert read_tail(log) == ""
    log.write_bytes(b"earlier\n")
    since = log.stat().st_size
    assert read_tail(log, since) == ""
    with log.open("ab") as file:
        file.write(b"".join(b"line %d\n" % one for one in range(1000)) + b"\xff the end \n\n")
    lines = read_tail(log, since).splitlines()
    assert len(lines) == TAIL_LINES
    assert lines[-1].endswith("the end")
    assert lines[-2] == "line 999"


def test_a_log_that_cannot_be_made_is_an_error_that_may_pass(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        begin_log(tmp_path / "logs" / "0.log")
    (tmp_path / "logs").unlink()
    begin_log(tmp_path / "logs" / "0.log")
    begin_log(tmp_path / "logs" / "0.log")
