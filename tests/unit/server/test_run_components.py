"""What the pages of a run show, without a page: attempts, efficiency, patches, configurations."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpctrack.store.record import RankRecord, RunRecord, State
from hpctrack.store.stored_run import StoredRun
from hpctrack_server.components import text
from hpctrack_server.components.run.config_text import list_tree, to_arguments, to_json, to_yaml
from hpctrack_server.components.run.differ import describe_delta, make_sections
from hpctrack_server.components.run.efficiency import (
    make_job_meters,
    make_usage_meters,
    pick_advice,
)
from hpctrack_server.components.run.patch import parse_patch
from hpctrack_server.components.run.timeline import make_timeline
from hpctrack_server.components.run.verdict import explain_state
from hpctrack_server.data.run.attempts import Attempt, find_attempts
from hpctrack_server.data.run.saved import preview_text
from hpctrack_server.pages.run.files import describe_download, parse_range
from tests.stores import START_S, NodeWriter

JOB = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_START_TIME": str(int(START_S)),
    "SLURM_JOB_END_TIME": str(int(START_S) + 3600),
}
CONFIG: dict[str, Any] = {
    "lr": 1e-05, "on": True, "none": None, "text": "yes",
    "nested": {"a b": [1, 2.5, "x"], "empty": {}},
    "quote": "it's \"quoted\"\nand long", "nan": math.nan, "inf": -math.inf, "ünï": "日本", "1": 1,
}  # fmt: skip


def test_requeued_run_has_a_lane_for_each_attempt(tmp_path: Path) -> None:
    for attempt, exit_code in ((1, 137), (2, 0)):
        writer = NodeWriter(tmp_path, attempt=attempt, wall_s=START_S + 100 * attempt)
        session = writer.start(0, job=JOB)
        writer.wall_s += 50
        writer.end(0, session, exit_code)
        writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    first, last = find_attempts(
        run.sources(), run.record, scheduler={"submit_wall_s": START_S - 30}
    )
    run.close()
    assert (first.number, first.state, first.failed, first.job) == (1, "failed", 1, "4711")
    assert (first.started_wall_s, first.ended_wall_s) == (START_S + 100, START_S + 150)
    assert (last.state, last.submit_wall_s) == ("finished", START_S - 30)
    assert last.limit_wall_s == START_S + 3600


def test_an_attempt_began_when_its_rank_says_though_the_agent_noted_it_late(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path, wall_s=START_S + 9)
    session = writer.start(0, wall_s=START_S)
    writer.end(0, session, 0)
    writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    (found,) = find_attempts(run.sources(), run.record)
    run.close()
    assert found.started_wall_s == START_S
    assert make_timeline([found], now_wall_s=START_S + 60).rows[0].sentence == "ran 9.0s, 1 rank"


def test_accounting_is_the_last_word_on_an_attempt(tmp_path: Path) -> None:
    writer = NodeWriter(tmp_path)
    writer.start(0)
    writer.close()
    run = StoredRun(tmp_path / "p" / "r")
    entry = {
        "attempt": 1, "job": "9", "state": "TIMEOUT", "submit_wall_s": 5, "eligible_wall_s": 7,
        "start_wall_s": START_S - 10, "end_wall_s": START_S, "efficiency": {"limit_s": 60},
    }  # fmt: skip
    for entries in ([entry], [entry, {"attempt": 1, "state": "COMPLETED"}, "nonsense"]):
        (found,) = find_attempts(run.sources(), run.record, accounting={"attempts": entries})
        assert (found.state, found.job, found.limit_s) == ("timeout", "9", 60)
        assert found.limit_wall_s == START_S + 50
    (odd,) = find_attempts(
        run.sources(),
        run.record,
        accounting={"attempts": [{"attempt": 1, "submit_wall_s": "x", "efficiency": 3}]},
    )
    assert odd.submit_wall_s is None
    run.close()


def test_timeline_places_wait_run_and_limit_on_one_line() -> None:
    lanes = [
        Attempt(
            number=1, submit_wall_s=0.1, eligible_wall_s=10, granted_wall_s=30, started_wall_s=40,
            ended_wall_s=90, limit_s=70, ranks=2, failed=1, state="failed", job="1",
        ),
        Attempt(number=2, started_wall_s=92, ranks=2, state="running"),
    ]  # fmt: skip
    made = make_timeline(lanes, now_wall_s=100)
    first, second = made.rows
    assert [bar.kind for bar in first.bars] == ["held", "queue", "begin", "failed"]
    ends = [bar.left + bar.width for bar in first.bars]
    assert ends[:-1] == pytest.approx([bar.left for bar in first.bars[1:]], abs=0.01)
    assert first.limit == pytest.approx(100 * 99.9 / (99.9 * 1.01), abs=0.1)
    assert second.sentence == "ran 8.0s so far, 2 ranks"
    assert "waited 20s" in first.sentence
    assert made.has_queue
    assert made.has_limit
    assert all(0 <= place <= 100 for place, _moment, _label in made.ticks)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_timeline_of_any_number_of_attempts_stays_on_the_line(count: int) -> None:
    lanes = [
        Attempt(
            number=n + 1,
            started_wall_s=1e9 + 1e5 * n,
            ended_wall_s=1e9 + 1e5 * n,
            state="x",
            limit_s=math.inf,
        )
        for n in range(count)
    ]
    made = make_timeline(lanes, now_wall_s=1e9)
    assert len(made.rows) + made.hidden == count
    for row in made.rows:
        assert all(bar.left >= 0 and bar.width > 0 for bar in row.bars)
    assert len(made.ticks) <= 12


@dataclass
class Rank:
    rank: int
    state: str
    host: str = "n1"
    exit_code: int | None = None
    ended_wall_s: float | None = None


def record(state: State, *ranks: Rank, attempts: int = 1) -> RunRecord:
    made = tuple(
        RankRecord(
            rank=one.rank, node=0, host=one.host, local_rank=0, pid=1, attempt=1,
            state=State(one.state), started_wall_s=0.0, ended_wall_s=one.ended_wall_s,
            exit_code=one.exit_code,
        )
        for one in ranks
    )  # fmt: skip
    return RunRecord(
        id="r", project="p", state=state, ranks=made, size=max(1, len(made)), attempts=attempts
    )


def test_verdict_names_the_rank_that_died_first() -> None:
    ranks = [
        Rank(0, "failed", exit_code=1, ended_wall_s=9.0), Rank(1, "failed", "n7", 137, 5.0),
        Rank(2, "lost"), Rank(3, "running"),
    ]  # fmt: skip
    said = explain_state(record(State.FAILED, *ranks), "")
    assert said == (
        "Rank 1 on n7 was the first to go: exit code 137 (SIGKILL). "
        "After it, 1 failed and 1 lost. 1 still running."
    )
    assert "nobody saw why" in explain_state(record(State.CRASHED), "")
    assert explain_state(record(State.FINISHED, attempts=3), "").endswith("This is attempt 3.")
    assert explain_state(record(State.FAILED), "") == "It failed; no rank says why."


def test_efficiency_takes_nothing_for_what_it_should_be() -> None:
    used = {
        "elapsed_s": 2460, "limit_s": 43200, "cpus": 8, "cpu_frac": 0.12, "memory_bytes": 3.1e9,
        "memory_asked_bytes": 64e9, "gpus": 4, "gpu_frac": 0.95, "gpu_source": "telemetry",
        "wait_s": 90, "energy_j": 7.2e6,
    }  # fmt: skip
    rows = {one.label: one for one in make_job_meters({"efficiency": used})}
    assert rows["Time"].text == "41m 00s of 12h 00m"
    assert (rows["CPU"].level, rows["CPU"].frac) == ("low", 0.12)
    assert rows["GPU"].level == "ok"
    assert rows["Energy of the nodes"].text == "2.00 kWh"
    strange: list[dict[str, Any]] = [{}, {"efficiency": []}]
    strange.append({"efficiency": {"elapsed_s": "x", "cpu_frac": True}})
    for odd in strange:
        assert make_job_meters(odd) == ()
    full = make_job_meters({"efficiency": {"memory_bytes": 99, "memory_asked_bytes": 100}})
    assert full[0].level == "tight"


def test_advice_of_an_attempt_that_was_overtaken_is_not_given() -> None:
    killed, well = {"advice": "was killed for memory"}, {"advice": "", "is_final": True}
    assert pick_advice([killed]) == "was killed for memory"
    assert pick_advice([killed, {"advice": "", "is_final": False}]) == "was killed for memory"
    assert pick_advice([killed, well]) == ""
    assert pick_advice([]) == ""


def test_rows_say_what_they_count_and_nothing_that_was_not_counted() -> None:
    used = {"cpu_frac": 0.5, "gpu_frac": 0.0, "gpus": 0}
    (cpu,) = make_job_meters({"efficiency": used, "attempt": 2})
    assert (cpu.text, cpu.source) == ("50 %", "scheduler")
    (cpu,) = make_job_meters({"efficiency": {**used, "cpus": 1}, "attempt": 2}, attempts=3)
    assert (cpu.text, cpu.source) == ("50 % of 1 CPU", "scheduler, attempt 2")
    shared = {
        "cores_used_mean": 0.5,
        "cpu_util_mean_frac": 1.0,
        "cores_source": "cgroup/cores_used",
    }
    mine, all_of_them = make_usage_meters(shared)
    assert (mine.text, mine.frac) == ("0.5 cores kept busy by the run on average", None)
    assert all_of_them.text == "100 % busy on average, whoever's work it is"
    assert all_of_them.source == "host/cpu_util_frac"


def test_code_in_a_hint_is_marked_and_nothing_else_is_html() -> None:
    assert text.mark_code("run `a <b>`; see `c") == "run <code>a &lt;b&gt;</code>; see `c"


def test_usage_says_energy_carbon_and_what_is_not_in_it() -> None:
    usage = {
        "gpus": 2, "gpu_util_mean_frac": 0.2, "memory_peak_bytes": 2**30, "cores_used_mean": 1.5,
        "energy": {"joules": 3.6e6, "co2_g": 480.0, "intensity_g_per_kwh": 480, "idle_frac": 0.25,
                   "intensity_source": "WORLD: Ember", "missing": ["no CPU meter", "b"]},
    }  # fmt: skip
    rows = {one.label: one.text for one in make_usage_meters(usage)}
    assert rows["Energy"] == "1.00 kWh"
    assert rows["CO2"] == "480 g by 480 g/kWh"
    assert rows["Not in it"] == "no CPU meter and 1 more"
    assert make_usage_meters({}) == ()


PATCH = """\
diff --git a/old.py b/new.py
index 1..2 100644
--- a/old.py
+++ b/new.py
@@ -1,3 +1,3 @@ def f():
 same
--- a dropped line that looks like a head
+++ an added one
 end
diff --git a/x.bin b/x.bin
Binary files differ
"""


def test_patch_is_parted_by_its_counts_not_by_its_looks() -> None:
    one, other = parse_patch(PATCH)
    assert (one.name, one.added, one.dropped) == ("new.py", 1, 1)
    assert [line.kind for line in one.lines] == ["hunk", "same", "drop", "add", "same"]
    assert (one.lines[2].text, one.lines[2].old) == ("-- a dropped line that looks like a head", 2)
    assert (one.lines[3].new, one.lines[4].old, one.lines[4].new) == (2, 3, 3)
    assert [line.kind for line in other.lines] == ["note"]
    cut = parse_patch(PATCH, lines_max=2)
    assert (len(cut[0].lines), cut[0].hidden) == (2, 3)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "no patch\nat all", "@@ -1 +1 @@", "@@ -9999999999,5 +1,2 @@\n+x"]
)
def test_what_is_no_patch_breaks_nothing(text: str) -> None:
    assert len(parse_patch(text)) <= 1


def test_configuration_reads_back_from_every_form() -> None:
    back = yaml.safe_load(to_yaml(CONFIG))
    assert math.isnan(back.pop("nan"))
    assert back == {key: value for key, value in CONFIG.items() if key != "nan"}
    assert json.loads(to_json(CONFIG))["nested"] == CONFIG["nested"]
    words = shlex.split(to_arguments(CONFIG))
    assert '--nested.a b=[1, 2.5, "x"]' in words
    assert f"--quote={CONFIG['quote']}" in words
    leaves, hidden = list_tree(CONFIG)
    assert [one.path for one in leaves if one.depth] == ["nested.a b", "nested.empty"]
    assert hidden == 0
    assert list_tree({str(n): n for n in range(6000)})[1] == 1000
    assert to_yaml({}) == "{}"


@dataclass
class Compared:
    section: str
    key: str
    values: tuple[Any, ...]
    is_same: bool = False
    is_text: bool = False


def test_differ_says_by_how_much_numbers_differ() -> None:
    rows = [
        Compared("summary", "acc", (0.6, 0.9, 0.6)),
        Compared("summary", "n", (1, 1.0), is_same=True),
        Compared("summary", "flag", (1, True)), Compared("config", "x", (1, "(none)")),
        Compared("git", "diff", ("a\nb", ""), is_text=True),
    ]  # fmt: skip
    summary, config, git = make_sections(rows, {("git", "diff"): [(1, parse_patch(PATCH))]})
    assert (summary.title, summary.differing) == ("Summary", 2)
    assert [cell.delta for cell in summary.rows[0].cells] == ["", "+0.3 (+50 %)", ""]
    assert not summary.rows[1].cells[1].is_changed
    assert config.rows[0].cells[1].is_absent
    assert git.rows[0].cells[0].text == "2 lines"
    assert git.rows[0].patches[0][0] == 1
    assert [describe_delta(*pair) for pair in ((math.nan, 1), ("a", 1), (10**400, 1), (50, 1))] == [
        "", "", "", "+49 (50 \N{MULTIPLICATION SIGN})",
    ]  # fmt: skip


def test_ranges_of_a_download_are_what_was_asked_for() -> None:
    found = [
        parse_range(one, 10)
        for one in (
            "bytes=0-0",
            "bytes=8-99",
            "bytes=-3",
            "bytes=9-",
            "bytes=20-",
            "bytes=a-b",
            "bytes=-",
            f"bytes={'9' * 5000}-",
        )
    ]
    assert found == [(0, 1), (8, 10), (7, 10), (9, 10), (20, 10), None, None, None]
    headers = describe_download('../a/"x"\r\nSet-Cookie: b=c;\u202e.html')
    assert "\n" not in headers["Content-Disposition"]
    assert headers["Content-Disposition"].isascii()
    assert preview_text(b"a\xc3") == "a"
    assert preview_text(b"a\0b") is None
    assert preview_text(b"\xff\xfe" * 10) is None
