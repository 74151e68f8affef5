"""Sync is measured over a real sshd and real links, at the smallest size; no figure is judged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmarks.catalogue import SYNC
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.main import choose_sizes, run_one
from scripts.benchmarks.processes import find_processes
from scripts.benchmarks.report import render_markdown, replace_part
from scripts.benchmarks.sync_link import Wire, list_obstacles, make_link
from tests.programs import wait_for

pytestmark = [pytest.mark.netns, pytest.mark.ssh]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanations" / "sync-performance.md"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(rounds=1) as made:
        yield made
    assert not made.folder.exists()


@pytest.mark.parametrize("name", list(SYNC))
def test_a_benchmark_of_sync_measures_every_row_and_leaves_nothing_behind(
    lab: Lab, name: str
) -> None:
    found = run_one(lab, SYNC[name], choose_sizes(SYNC[name], is_tiny=True, is_large=False))
    assert [path.name for path in lab.folder.iterdir()] == ["python"]
    assert found["rows"]
    for row in found["rows"]:
        assert "WRONG" not in row["note"], row
        assert isinstance(row["value"], (int, float)), row
    assert json.loads(json.dumps(found)) == found


def test_a_link_takes_the_time_that_it_is_told(lab: Lab) -> None:
    with lab.place() as place, make_link(lab, place, Wire(0.1)) as link:
        server = lab.start(place, link.server.enter([sys.executable, "-c", ECHO, link.address]))
        client = link.client.enter([sys.executable, "-c", ASK, link.address])
        trips = [
            float(subprocess.run(client, check=True, capture_output=True, text=True).stdout)
            for _ in range(5)
        ]
        server.kill()
        server.wait()
        assert 0.1 <= min(trips) < 0.15
        assert link.count_bytes() > 0


ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 7)) as server:
    while True:
        with server.accept()[0] as one:
            while data := one.recv(100):
                one.sendall(data)
"""
ASK = """
import socket, sys, time
for attempt in range(2000):
    try:
        one = socket.create_connection((sys.argv[1], 7), timeout=5)
        break
    except ConnectionRefusedError:
        time.sleep(0.05)
began = time.perf_counter()
one.sendall(b"x")
one.recv(1)
print(time.perf_counter() - began)
"""


def test_a_benchmark_that_is_killed_leaves_no_namespace_and_no_sshd(tmp_path: Path) -> None:
    bench = [sys.executable, str(ROOT / "scripts" / "bench")]
    command = [*bench, "sync", "--tiny", "--only", "small", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tokens: set[str] = set()

    def has_sshd() -> bool:
        tokens.update(f"{process.pid}-{path.name}-0" for path in tmp_path.glob("hb-*"))
        return any(_runs(token, b"sshd") for token in tokens)

    try:
        wait_for(has_sshd)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (token,) = tokens
    kept = (b"sshd", b"cat", b"ssh")
    wait_for(lambda: not any(_runs(token, one) for one in kept))
    deadline_s = time.monotonic() + 90
    while (left := find_processes(token)) and time.monotonic() < deadline_s:
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _runs(token: str, program: bytes) -> bool:
    for pid in find_processes(token):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if program in words[0]:
            return True
    return False


def test_what_is_missing_is_said() -> None:
    assert list_obstacles() == []


def test_the_page_has_a_part_for_the_result(tmp_path: Path) -> None:
    samples = {"loopback, first push: rsync": [{"wall_s": 2.0, "wire_bytes": 3e6}]}
    bench = {"rows": [], "samples": samples, "sizes": {"runs": 3}, "rounds": 1, "seconds": 1.0}
    result = {
        "host": {"cpu": "C", "cores": 2, "memory_gb": 1, "system": "Linux", "python": "3.11"},
        "versions": {"hpctrack": "0.1"},
        "benches": {"small": {**bench, "load_before": [0.1], "load_after": [0.2]}},
    }
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    replace_part(page, render_markdown(result), "sync")
    assert "| small | loopback, first push | rsync | 2 | 2 to 2 | - | - | 3 |" in page.read_text()
