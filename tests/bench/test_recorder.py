"""Every benchmark runs at its smallest size, against the floor alone; no figure is judged here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.benchmarks.catalogue import FAULTS, RECORDER, SWEEP, TELEMETRY
from scripts.benchmarks.lab import Case, Lab
from scripts.benchmarks.main import choose_sizes, main, run_one, write_result
from scripts.benchmarks.processes import find_processes
from scripts.benchmarks.report import BEGIN, END, render_markdown, replace_part

VERDICTS = {"met", "missed", ""}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(rounds=1) as made:
        yield made
    assert not made.folder.exists()


# The faults that take a Slurm cluster take it for minutes: tests/services has them.
@pytest.mark.parametrize(
    "name",
    [
        *RECORDER,
        *TELEMETRY,
        "faults",
        "journal",
        pytest.param("postgresql", marks=pytest.mark.postgres),
    ],
)
def test_a_benchmark_measures_every_row_and_leaves_nothing_behind(lab: Lab, name: str) -> None:
    bench = {**RECORDER, **TELEMETRY, **FAULTS, **SWEEP}[name]
    found = run_one(lab, bench, choose_sizes(bench, is_tiny=True, is_large=False))
    assert [path.name for path in lab.folder.iterdir()] == ["python"]
    assert found["rows"]
    for row in found["rows"]:
        assert set(row) == {"what", "value", "unit", "target", "note", "verdict"}
        assert row["verdict"] in VERDICTS, row
        assert "WRONG" not in row["note"], row
        assert isinstance(row["value"], (int, float)), row
    assert found["load_before"]
    assert json.loads(json.dumps(found)) == found


def test_a_program_that_fails_is_an_error_of_its_sample_and_no_process_is_left(lab: Lab) -> None:
    with lab.place() as place:
        sample = lab.run(Case("hpctrack", "log_loop", {"scalars": "none"}), place=place)
        assert "ValueError" in sample["error"]
    assert find_processes(place.token) == []


def test_a_result_goes_to_json_and_into_the_page_and_keeps_what_was_not_measured_again(
    tmp_path: Path,
) -> None:
    found = {
        "format": 1,
        "host": {"cpu": "C", "cores": 2, "memory_gb": 1, "system": "Linux", "python": "3.11"},
        "versions": {"hpctrack": "0.1"},
        "benches": {"seal": {"rows": [], "samples": {}}, "log-1": _make_bench("old")},
    }
    file, page = tmp_path / "result.json", tmp_path / "page.md"
    write_result(found, file)
    write_result({**found, "benches": {"log-1": _make_bench("new")}}, file)
    result = json.loads(file.read_text())
    assert list(result["benches"]) == ["log-1", "seal"]
    result["benches"].pop("seal")
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_part(page, render_markdown(result))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| log-1 | new | 2 us | <= 2.5 us | met | a/b |" in text
    assert "old" not in text
    with pytest.raises(ValueError, match="lacks"):
        replace_part(file, "text")


def _make_bench(what: str) -> dict[str, object]:
    row = {"what": what, "value": 2.0, "unit": "us", "target": "<= 2.5", "note": "a|b"}
    return {
        "rows": [{**row, "verdict": "met"}],
        "samples": {"hpctrack": [{"flat_us": 1.5}]},
        "sizes": {"calls": 10},
        "rounds": 1,
        "load_before": [0.1],
        "load_after": [0.2],
        "seconds": 1.0,
    }


def test_the_page_has_the_marks_and_names_every_benchmark() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanations" / "performance.md"
    text = page.read_text()
    assert text.index(BEGIN) < text.index(END)
    assert [name for name in RECORDER if f"`{name}`" not in text] == []


def test_faults_have_a_table_of_their_own(tmp_path: Path) -> None:
    times = {"p50_us": 4.0, "p99_us": 9.0, "max_us": 1000.0}
    told = {"before": times, "logged": 100, "lost": 7, "states": ["finished"]}
    samples = {
        "stopped": [{**told, "during": times, "dropped": 7, "ledger": {"dropped_points": 7}}],
        "killed": [{**told, "during": None, "dropped": 0, "ledger": {}}],
        "full": [{"error": "no loop device"}],
    }
    found = {
        "host": {"cpu": "C", "cores": 2, "memory_gb": 1, "system": "Linux", "python": "3.11"},
        "versions": {"hpctrack": "0.1"},
        "benches": {"faults": {**_make_bench("fault"), "samples": samples}},
    }
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}".replace("recorder", "faults"))
    replace_part(page, render_markdown(found), "faults")
    text = page.read_text()
    stopped = "| stopped | 4, 9 µs | 4, 9, 1,000 µs | 100 | 7 | 7 `dropped_points` | finished |"
    assert stopped in text
    assert "| killed | 4, 9 µs | - (it ends) | 100 | 7 | - | finished |" in text
    assert "not measured: no loop device" in text


def test_a_benchmark_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["recorder", "--only", "log-1,nonsense"])
    assert "nonsense" in capsys.readouterr().err
