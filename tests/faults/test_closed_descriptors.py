"""Programs that close what they do not know, and open files of their own at the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpctrack
from tests.programs import run_python

PROGRAM = """
import os, sys, hpctrack
run = hpctrack.init("p", settings={"seal": "manual", "console": sys.argv[1]})
run.log({"a": 0.0})
assert run.flush(60)
CLOSE
mine = [open(f"mine{n}", "w+") for n in range(24)]
for n, file in enumerate(mine):
    file.write(f"file {n}")
    file.flush()
print("said meanwhile", flush=True)
number = 0
while run._channel.losses.cuts == CUTS_BEFORE:
    number += 1
    run.log({"a": number, "b": 1.0})
assert run.flush(60)
run.config["after"] = 1
run.log({"a": number + 1.0})
run.summary["logged"] = number + 2
HOW
print("said at last", flush=True)
for file in mine:
    file.write("!")
"""

CLOSES = {
    "closed": "os.closerange(3, 4096)",
    "closed one by one by number": (
        "for fd in sorted(map(int, os.listdir('/proc/self/fd')), reverse=True):\\n"
        "    if fd > 2:\\n"
        "        try: os.close(fd)\\n"
        "        except OSError: pass"
    ).replace("\\n", "\n"),
    "replaced by sockets": (
        "import socket\n"
        "numbers = [int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) > 2]\n"
        "ours, theirs = socket.socketpair()\n"
        "for fd in numbers:\n"
        "    if fd not in (ours.fileno(), theirs.fileno()): os.dup2(ours.fileno(), fd)"
    ),
}


@pytest.mark.parametrize("how", ["run.finish()", ""], ids=["finished", "left to the end"])
@pytest.mark.parametrize("close", CLOSES.values(), ids=CLOSES)
def test_a_program_that_closes_everything_keeps_its_files_and_its_run(
    close: str, how: str, tmp_path: Path
) -> None:
    code = PROGRAM.replace("CLOSE", close).replace("HOW", how).replace("CUTS_BEFORE", "0")
    if "socket" in close:
        code += "theirs.setblocking(False)\n"
        code += "try: assert not theirs.recv(1)\nexcept BlockingIOError: pass\n"
    done = run_python(code, "redirect")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception" not in done.stderr, done.stderr
    assert done.stderr.count("closed hpctrack's connection") == 1
    for number in range(24):
        assert (tmp_path / f"mine{number}").read_text() == f"file {number}!"
    assert done.stdout.split("\n")[:2] == ["said meanwhile", "said at last"]
    (found,) = hpctrack.Store(tmp_path / "store").runs()
    assert found.state == "finished"
    assert found.config == {"after": 1}
    ledger = found.record.ledger
    assert ledger["cut_connections"] == 1
    values = found.metric("a").values.tolist()
    assert len(values) + ledger.get("dropped_points", 0) >= found.summary["logged"]
    assert values[0] == 0.0
    assert values[-1] == found.summary["logged"] - 1
    assert len(set(values)) == len(values)


def test_a_program_that_closes_everything_again_and_again_is_left_alone_in_the_end(
    tmp_path: Path,
) -> None:
    done = run_python(
        """
        import os, hpctrack
        run = hpctrack.init("p", settings={"console": "off", "finish_timeout_s": 120})
        for number in range(8):
            os.closerange(3, 4096)
            run.config[f"c{number}"] = number
            run.log({"a": number})
            run.flush(5)
        assert run.finish()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (found,) = hpctrack.Store(tmp_path / "store").runs()
    assert found.state == "finished"
    assert found.config == {f"c{number}": number for number in range(8)}
    points = len(found.metric("a")) if "a" in found.metrics() else 0
    assert points + found.record.ledger.get("dropped_points", 0) == 8
