"""What ``hpctrack show`` prints stays readable, however large the run is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpctrack.cli import main as cli
from hpctrack.cli.format import make_console
from hpctrack.cli.show_cmd import SHOWN_BAD_RANKS, _print_ranks, _print_warnings
from hpctrack.store.record import RankRecord, State
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from tests.stores import NodeWriter

Capture = pytest.CaptureFixture[str]


def make_ranks(count: int, *, lost: range = range(0)) -> list[RankRecord]:
    return [
        RankRecord(
            rank=rank,
            node=rank // 125,
            host=f"n{rank // 125}",
            local_rank=rank % 125,
            pid=1000 + rank,
            attempt=1,
            state=State.LOST if rank in lost else State.FINISHED,
            started_wall_s=1e6,
            gpu=str(rank % 4),
        )
        for rank in range(count)
    ]


def test_ten_thousand_ranks_that_are_well_are_one_line(capsys: Capture) -> None:
    _print_ranks(make_console(), make_ranks(10_000), 10_000)
    assert capsys.readouterr().out.splitlines() == ["ranks  10,000 finished"]


def test_the_bad_ones_of_ten_thousand_are_listed_and_the_rest_counted_by_node(
    capsys: Capture,
) -> None:
    _print_ranks(make_console(), make_ranks(10_000, lost=range(10, 2_000)), 10_001)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ranks  8,010 finished, 1,990 lost, 1 not seen"
    assert len(lines) == SHOWN_BAD_RANKS + 3
    assert lines[2].split()[:4] == ["10", "lost", "n0", "1010"]
    assert lines[-1].startswith("  ... and 1,958 more on n1 (125), n2 (125)")
    assert lines[-1].endswith("and 8 other hosts")


def test_what_many_ranks_say_is_printed_once_and_alerts_first(capsys: Capture) -> None:
    warnings = [
        {"level": "warning", "code": "not-finite", "text": "'loss' is nan", "rank": rank}
        for rank in range(500)
    ]
    warnings.append({"level": "error", "code": "alert", "title": "t", "text": "x", "rank": 7})
    warnings.append({"level": "warning", "code": "spill", "text": "full", "rank": -1})
    warnings += [{"level": "warning", "text": f"one {n}", "rank": 0} for n in range(30)]
    _print_warnings(make_console(), warnings)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "alert (error): rank 7: t: x",
        "warning: rank 0 and 499 others: 'loss' is nan",
        "warning: full",
    ]
    assert lines[-1] == "  ... and 13 more; --json has all of them"


@pytest.mark.parametrize("wall_s", [float("inf"), float("nan"), 1e200, -1e300])
def test_a_time_that_is_none_costs_no_listing(
    tmp_path: Path, capsys: Capture, wall_s: float
) -> None:
    writer = NodeWriter(tmp_path)
    session = writer.start(0, wall_s=wall_s)
    writer.event(EventKind.END, {"exit_code": 0, "wall_s": -wall_s}, session=session)
    writer.close()
    for words in (["ls"], ["show", "p/r"]):
        with pytest.raises(SystemExit) as ended:
            cli.main([*words, "--store", str(tmp_path)])
        assert ended.value.code == 0
    assert capsys.readouterr().out.count("calm-lake-1") == 2


def test_hidden_metrics_are_only_counted(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store")
    session = writer.start(0)
    writer.event(EventKind.DEFINE, {"name": "internal/*", "hidden": True})
    for name in ("loss", "internal/a", "internal/b"):
        writer.points(name, 0, [0, 1], [1.0, 2.0])
    writer.end(0, session)
    writer.close()
    assert cli.run(["show", "r"]) == 0
    points = capsys.readouterr().out.partition("points")[2].splitlines()
    assert [line.split() for line in points[1:3]] == [
        ["loss", "2"], ["...", "and", "2", "hidden", "metrics;", "--json", "has", "all"]
    ]  # fmt: skip
    assert cli.run(["show", "r", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["internal/a"] == 2


def test_a_fork_its_definitions_and_gpus_are_shown(tmp_path: Path, capsys: Capture) -> None:
    writer = NodeWriter(tmp_path / "store")
    session = writer.start(0, gpu="0,3")
    writer.event(EventKind.META, {"fork": {"run": "parent", "step": 7}})
    writer.event(EventKind.DEFINE, {"name": "loss", "summary": ["min", "max"]})
    writer.points("loss", 0, range(3), [3.0, 1.0, 2.0])
    writer.end(0, session)
    folder = writer.close().parent
    for _ in range(2):
        assert cli.run(["show", "r"]) == 0
        words = capsys.readouterr().out.split()
        assert words[words.index("parent") :][:5] == ["parent", "up", "to", "step", "7"]
        assert "0,3" in words
        assert words[words.index("loss.min") + 1] == "1"
        assert words[words.index("loss.max") + 1] == "3"
        seal_run(folder)
