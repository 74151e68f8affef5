"""The dashboard is measured in a real Chromium, at the smallest size; no figure is judged."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpctrack.store.open_sealed import OpenSealed
from scripts.benchmarks.bench_dashboard_huge import write_huge
from scripts.benchmarks.catalogue import DASHBOARD
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.main import PAGES, choose_sizes, run_one
from scripts.benchmarks.processes import find_processes
from scripts.benchmarks.report import render_markdown, replace_part

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(rounds=1) as made:
        yield made
    assert not made.folder.exists()


@pytest.mark.parametrize("name", list(DASHBOARD))
def test_a_benchmark_of_the_dashboard_measures_every_row_and_leaves_nothing_behind(
    lab: Lab, name: str
) -> None:
    bench = DASHBOARD[name]
    found = run_one(lab, bench, choose_sizes(bench, is_tiny=True, is_large=False))
    assert [path.name for path in lab.folder.iterdir()] == ["python"]
    assert found["rows"]
    for row in found["rows"]:
        assert isinstance(row["value"], (int, float)), row
    assert json.loads(json.dumps(found)) == found
    tokens = [f"{os.getpid()}-{lab.folder.name}-{number}" for number in range(20)]
    assert not any(find_processes(token) for token in tokens)


def test_spikes_are_planted_where_they_are_said_to_be(tmp_path: Path) -> None:
    planted = write_huge(tmp_path, 5_000, 6)
    (path,) = tmp_path.rglob("run.h5")
    run = OpenSealed(path)
    for step, value in planted.items():
        found = run.draw("loss", 0, window=(step, step), is_time=False, width=10)
        at = dict(zip(found.step.tolist(), found.value.tolist(), strict=True))
        assert at[step] == value


def test_the_page_has_a_part_for_the_result(tmp_path: Path) -> None:
    row = {"what": "w", "value": 3.0, "unit": "ms", "target": "<= 4", "verdict": "met", "note": ""}
    bench = {"rows": [row], "samples": {}, "sizes": {"runs": 3}, "rounds": 1, "seconds": 1.0}
    result = {
        "host": {"cpu": "C", "cores": 2, "memory_gb": 1, "system": "Linux", "python": "3.11"},
        "versions": {"hpctrack": "0.1"},
        "benches": {"runs": {**bench, "load_before": [0.1], "load_after": [0.2]}},
    }
    page = tmp_path / "page.md"
    page.write_text(PAGES["dashboard"].read_text())
    replace_part(page, render_markdown(result), "dashboard")
    assert "| runs | w | 3 ms | <= 4 ms | met |  |" in page.read_text()
