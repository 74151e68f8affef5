"""``hpctrack sacct`` against a program that answers as ``sacct`` does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hpctrack import Store
from hpctrack.cli.main import run as run_cli
from hpctrack.core.layout import ACCOUNTING_NAME
from hpctrack.errors import NotFoundError, SchedulerError, UsageError
from hpctrack.scheduler.commands import JOBS_IN_A_CALL, Sacct
from hpctrack.scheduler.join import Joined, Outcome, join_accounting, read_starts
from hpctrack.scheduler.sacct import FIELDS
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.verify import verify_run
from tests.stores import FakeClock, NodeWriter
from tests.unit.scheduler.slurm_double import SacctDouble, make_rows

START_S = 1_764_290_000.0

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def sacct(tmp_path: Path) -> SacctDouble:
    return SacctDouble(tmp_path / "bin")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def write(store: Path, run: str, *jobs: dict[str, str] | None, ended: bool = True) -> Path:
    """Write a run with an attempt in each job, 1,000 s after another."""
    folder = Path()
    for number, job in enumerate(jobs):
        start_s = START_S + 1000 * number
        writer = NodeWriter(store, run=run, attempt=number + 1, wall_s=start_s)
        for rank in range(2):
            session = writer.start(rank, size=2, job=job or {}, wall_s=start_s + rank)
            writer.points("loss", rank, [0], [1.0])
            writer.wall_s = start_s + 900
            if ended:
                writer.end(rank, session)
        folder = writer.close().parent
    return folder


def job(number: str, /, restarts: int = 0, **more: str) -> dict[str, str]:
    counted = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    return {"SLURM_JOB_ID": number, "SLURM_CLUSTER_NAME": "here", **counted, **more}


def ask(
    store: Path, sacct: SacctDouble, *names: str, now_s: float = START_S + 90_000, **options: Any
) -> dict[str, Joined]:
    opened = Store(store)
    runs: Iterable[StoredRun] = [opened.run(one) for one in names] or opened.runs(order="id")
    clock = FakeClock(now_s).clock()
    found = join_accounting(runs, Sacct(sacct.environ).ask, clock=clock, **options)
    return {one.run: one for one in found}


def entries(store: Path, run: str) -> list[dict[str, Any]]:
    found = Store(store).run(run).accounting
    assert found is not None
    attempts: list[dict[str, Any]] = found["attempts"]
    return attempts


def test_a_run_gets_what_slurm_counted_of_its_job(store: Path, sacct: SacctDouble) -> None:
    seal_run(write(store, "r", job("4711", SLURM_STEP_ID="0")))
    sacct.tell(make_rows("4711", start=START_S - 5, end=START_S + 2455, step="0"))
    assert ask(store, sacct)["r"].outcome == Outcome.JOINED
    run = Store(store).run("r")
    found = run.accounting
    assert found is not None
    assert (found["kind"], found["format"], found["is_final"]) == ("hpctrack-accounting", 1, True)
    assert (found["project"], found["run"], found["asked_by"]) == ("p", "r", "sacct")
    (entry,) = found["attempts"]
    assert (entry["attempt"], entry["job"], entry["state"]) == (1, "4711", "COMPLETED")
    assert (entry["step"], entry["step_state"], entry["exit_code"]) == ("0", "COMPLETED", [0, 0])
    assert entry["efficiency"]["wait_s"] == 60
    assert entry["options"] == ["--mem=4G", "--time=1:00:00"]
    assert [one["JobID"] for one in entry["rows"]] == ["4711", "4711.0"]
    assert run.is_sealed
    assert not verify_run(run.folder).findings


def test_slurm_is_asked_once_for_all_runs_and_never_again_for_what_is_final(
    store: Path, sacct: SacctDouble
) -> None:
    for number in range(3):
        write(store, f"r{number}", job(str(100 + number)))
    write(store, "same-job", job("100"))
    write(store, "elsewhere", None)
    rows = [make_rows(str(100 + n), start=START_S, end=START_S + 1000) for n in range(3)]
    sacct.tell(line for part in rows for line in part)
    found = ask(store, sacct)
    assert {name: one.outcome for name, one in found.items()} == {
        "r0": "joined", "r1": "joined", "r2": "joined", "same-job": "joined",
        "elsewhere": "no job",
    }  # fmt: skip
    assert [call["jobs"] for call in sacct.calls] == ["100,101,102"]
    assert {one.outcome for one in ask(store, sacct).values()} == {"kept", "no job"}
    assert len(sacct.calls) == 1
    assert ask(store, sacct, again=True)["r0"].outcome == Outcome.JOINED
    assert len(sacct.calls) == 2


def test_each_attempt_belongs_to_the_life_in_which_it_began(
    store: Path, sacct: SacctDouble
) -> None:
    write(store, "r", job("7"), job("7", 1))
    sacct.tell(
        [
            # The number was used before, for another job.
            *make_rows("7", start=START_S - 80_000, end=START_S - 70_000, State="FAILED"),
            *make_rows("7", start=START_S, end=START_S + 950, State="PREEMPTED"),
            *make_rows("7", start=START_S + 990, end=START_S + 2000, Submit=int(START_S + 950)),
        ]
    )
    assert ask(store, sacct)["r"].outcome == Outcome.JOINED
    first, second = entries(store, "r")
    assert [(one["attempt"], one["state"]) for one in (first, second)] == [
        (1, "PREEMPTED"),
        (2, "COMPLETED"),
    ]
    assert first["restarts"] == 0
    assert second["start_wall_s"] == START_S + 990


def test_lives_within_seconds_of_each_other_are_told_by_the_restarts(
    store: Path, sacct: SacctDouble
) -> None:
    write(store, "r", job("7", 1))
    sacct.tell(
        [
            *make_rows("7", start=START_S - 20, end=START_S - 1, State="REQUEUED"),
            *make_rows("7", start=START_S + 3, end=START_S + 900, Submit=int(START_S - 1)),
        ]
    )
    ask(store, sacct)
    assert [one["state"] for one in entries(store, "r")] == ["COMPLETED"]


def test_a_run_that_went_on_in_another_job_has_both(store: Path, sacct: SacctDouble) -> None:
    write(store, "r", job("7"), job("9"))
    sacct.tell(
        [
            *make_rows("7", start=START_S, end=START_S + 950, State="TIMEOUT"),
            *make_rows("9", start=START_S + 990, end=START_S + 2000),
        ]
    )
    assert ask(store, sacct)["r"].jobs == ("7", "9")
    assert [one["job"] for one in entries(store, "r")] == ["7", "9"]
    assert entries(store, "r")[0]["advice"].startswith("ran out of time after 12 h")


@pytest.mark.parametrize("jobs", [(None, job("9")), (job("9"), None)])
def test_an_attempt_outside_slurm_is_left_out(
    store: Path, sacct: SacctDouble, jobs: tuple[dict[str, str] | None, ...]
) -> None:
    write(store, "r", *jobs)
    start_s = START_S + 1000 * (jobs[0] is None)
    sacct.tell(make_rows("9", start=start_s, end=start_s + 950))
    assert ask(store, sacct)["r"].outcome == Outcome.JOINED
    assert [one["attempt"] for one in entries(store, "r")] == [1 + (jobs[0] is None)]
    assert ask(store, sacct)["r"].outcome == Outcome.KEPT


def test_a_task_of_an_array_is_asked_for_by_its_own_number(store: Path, sacct: SacctDouble) -> None:
    write(store, "r", job("1203", SLURM_ARRAY_JOB_ID="1200", SLURM_ARRAY_TASK_ID="3"))
    sacct.tell(make_rows("1200_3", raw="1203", start=START_S, end=START_S + 999))
    assert ask(store, sacct)["r"].jobs == ("1200_3",)
    assert sacct.calls[0]["jobs"] == "1203"
    (entry,) = entries(store, "r")
    assert (entry["job"], entry["job_id"]) == ("1200_3", "1203")


def test_each_component_of_a_heterogeneous_job_is_told(store: Path, sacct: SacctDouble) -> None:
    groups = {"SLURM_JOB_ID_HET_GROUP_0": "12", "SLURM_JOB_ID_HET_GROUP_1": "13"}
    write(store, "r", job("12", SLURM_HET_SIZE="2", SLURM_STEP_ID="0") | groups)
    sacct.tell(
        line
        for n in range(2)
        for line in make_rows(
            f"12+{n}", raw=str(12 + n), start=START_S, end=START_S + 999, step="0"
        )
    )
    ask(store, sacct)
    assert [one["job"] for one in entries(store, "r")] == ["12+0", "12+1"]
    assert {one["step"] for one in entries(store, "r")} == {"0"}


@pytest.mark.parametrize(
    "rows",
    [
        make_rows("7", start=START_S, end=None),
        # Slurm has seen the end of the job, and not yet of its step.
        [
            make_rows("7", start=START_S, end=START_S + 900)[0],
            make_rows("7", start=START_S, end=None)[1],
        ],
        # It was requeued and waits.
        [
            *make_rows("7", start=START_S, end=START_S + 900, State="NODE_FAIL"),
            {
                "JobID": "7", "JobIDRaw": "7", "State": "PENDING", "Start": "Unknown",
                "End": "Unknown", "Submit": int(START_S + 900),
            },
        ],
        # It was cut short this moment.
        make_rows("7", start=START_S, end=START_S + 1000, State="PREEMPTED"),
    ],
)  # fmt: skip
def test_a_job_that_goes_on_is_asked_for_again(
    store: Path, sacct: SacctDouble, rows: list[dict[str, object]]
) -> None:
    write(store, "r", job("7"))
    sacct.tell(rows)
    assert ask(store, sacct, now_s=START_S + 1010)["r"].outcome == Outcome.RUNNING
    sacct.tell(make_rows("7", start=START_S, end=START_S + 1200))
    assert ask(store, sacct, now_s=START_S + 1300)["r"].outcome == Outcome.JOINED


def test_a_requeue_after_the_answer_is_asked_for(store: Path, sacct: SacctDouble) -> None:
    write(store, "r", job("7"))
    sacct.tell(make_rows("7", start=START_S, end=START_S + 900))
    assert ask(store, sacct)["r"].outcome == Outcome.JOINED
    write(store, "r", job("7"), job("7", 1))
    assert ask(store, sacct)["r"].outcome == Outcome.RUNNING


def test_a_job_that_slurm_does_not_know_yet_leaves_nothing(store: Path, sacct: SacctDouble) -> None:
    folder = write(store, "r", job("7"))
    assert ask(store, sacct)["r"].outcome == Outcome.UNKNOWN
    assert not (folder / ACCOUNTING_NAME).exists()


def test_another_cluster_is_asked_by_name(store: Path, sacct: SacctDouble) -> None:
    write(store, "far", job("7") | {"SLURM_CLUSTER_NAME": "there"})
    far = make_rows("7", start=START_S, end=START_S + 900, Cluster="there")
    sacct.tell([*make_rows("7", start=START_S, end=START_S + 5, State="FAILED"), *far])
    assert ask(store, sacct)["far"].outcome == Outcome.JOINED
    assert [call.get("clusters") for call in sacct.calls] == [None, "there"]
    assert entries(store, "far")[0]["state"] == "COMPLETED"
    write(store, "near", job("7"))
    ask(store, sacct, again=True)
    assert sorted(call.get("clusters", "") for call in sacct.calls[2:]) == ["here", "there"]
    assert entries(store, "near")[0]["state"] == "FAILED"


def test_many_jobs_are_asked_for_in_parts(sacct: SacctDouble) -> None:
    jobs = [str(number) for number in range(1, JOBS_IN_A_CALL + 2)]
    assert Sacct(sacct.environ).ask(jobs) == []
    assert [len(call["jobs"].split(",")) for call in sacct.calls] == [JOBS_IN_A_CALL, 1]


def test_fields_that_a_version_does_not_know_are_done_without(store: Path, tmp_path: Path) -> None:
    old = SacctDouble(tmp_path / "old", [one for one in FIELDS if one != "TRESUsageInTot"])
    write(store, "r", job("7"))
    old.tell(make_rows("7", start=START_S, end=START_S + 900))
    assert ask(store, old)["r"].outcome == Outcome.JOINED
    assert len(old.calls) == 2


def test_the_words_of_sacct_are_the_error(store: Path, sacct: SacctDouble) -> None:
    write(store, "r", job("7"))
    sacct.fail("sacct: error: slurmdbd: the database is on fire\x1b[2J\nmore\n")
    with pytest.raises(SchedulerError, match=r"^sacct: slurmdbd: the database is on fire.\[2J"):
        ask(store, sacct)


def test_a_database_that_does_not_answer_is_told(sacct: SacctDouble) -> None:
    (sacct.folder / "sacct").write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    with pytest.raises(SchedulerError, match=r"not answered for 0\.3 s"):
        Sacct(sacct.environ, timeout_s=0.3).ask(["1"])


def test_without_sacct_the_hint_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(SchedulerError, match="login node"):
        Sacct({"PATH": str(tmp_path)})


def test_a_job_with_thousands_of_steps_keeps_its_own_and_the_largest(
    store: Path, sacct: SacctDouble
) -> None:
    write(store, "r", job("7", SLURM_STEP_ID="5"))
    whole, step = make_rows("7", start=START_S, end=START_S + 999)
    steps = [
        {**step, "JobID": f"7.{n}", "JobIDRaw": f"7.{n}", "MaxRSS": 1_000_000 + n}
        for n in range(1000)
    ]
    sacct.tell([whole, *steps])
    ask(store, sacct)
    (entry,) = entries(store, "r")
    kept = [one["JobID"] for one in entry["rows"]]
    assert kept[:2] == ["7", "7.5"]
    assert (len(kept), entry["steps_left_out"]) == (66, 935)
    assert (entry["step"], entry["efficiency"]["memory_bytes"]) == (
        "5",
        sum(range(1_000_000, 1_001_000)),
    )


def test_a_damaged_accounting_is_none_and_is_replaced(store: Path, sacct: SacctDouble) -> None:
    folder = write(store, "r", job("7"))
    sacct.tell(make_rows("7", start=START_S, end=START_S + 900))
    for text in ("", "{", "[]", '{"kind": "hpctrack-accounting"}', '{"kind": 1}', "[" * 10_000):
        (folder / ACCOUNTING_NAME).write_text(text)
        assert StoredRun(folder).accounting is None
    assert ask(store, sacct)["r"].outcome == Outcome.JOINED


def test_starts_are_read_from_live_and_sealed_files_alike(store: Path) -> None:
    folder = write(store, "r", job("7"), job("7", 1))
    live = read_starts(StoredRun(folder))
    seal_run(folder)
    assert read_starts(StoredRun(folder)) == live
    assert [(one.attempt, one.started_wall_s) for one in live] == [
        (1, START_S),
        (2, START_S + 1000),
    ]


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def command(store: Path, sacct: SacctDouble, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the double on the PATH; return a store with one run."""
    monkeypatch.setenv("PATH", str(sacct.folder))
    monkeypatch.setenv("HPCTRACK_DIR", str(store))
    write(store, "4711.0", job("4711", SLURM_STEP_ID="0", SLURM_JOB_PARTITION="debug"))
    sacct.tell(make_rows("4711", start=START_S, end=START_S + 2460, step="0"))
    return store


def test_the_command_prints_a_table_and_advice(command: Path, capsys: Capture) -> None:
    assert run_cli(["sacct"]) == 0
    head, line, advice = capsys.readouterr().out.splitlines()
    assert head.split()[:6] == ["run", "job", "try", "state", "exit", "elapsed"]
    words = [
        "p/4711.0",
        "4711",
        "1",
        "COMPLETED",
        "0",
        "41 min",
        "12 h",
        "50 %",
        "3 GiB of 64 GiB (5 %)",
    ]
    assert all(word in line for word in words), line
    assert advice == (
        "p/4711.0: asked for 64 GiB, used 3 GiB; 12 h, used 41 min; "
        "next time --mem=4G --time=1:00:00"
    )
    assert run_cli(["sacct"]) == 0
    assert capsys.readouterr().out == "1 asked for before; --all asks again\n"
    assert run_cli(["sacct", "4711.0"]) == 0
    assert "COMPLETED" in capsys.readouterr().out


def test_show_has_it_from_then_on(command: Path, capsys: Capture) -> None:
    assert run_cli(["show", "4711.0"]) == 0
    before = capsys.readouterr().out
    assert "slurm" not in before.replace("node(s), slurm", "")
    assert "job       4711 step 0, partition debug" in before
    run_cli(["sacct", "--json"])
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    assert (told["outcome"], told["jobs"]) == ("joined", ["4711"])
    run_cli(["show", "4711.0"])
    out = capsys.readouterr().out
    assert "slurm     job 4711, COMPLETED, 41 min of 12 h, CPU 50 %" in out
    assert "advice    asked for 64 GiB" in out
    run_cli(["show", "4711.0", "--json"])
    assert json.loads(capsys.readouterr().out)["accounting"] == told["accounting"]


def test_a_dry_run_asks_nothing(command: Path, sacct: SacctDouble, capsys: Capture) -> None:
    assert run_cli(["sacct", "--dry-run"]) == 0
    assert capsys.readouterr().out == "p/4711.0: would ask for 4711\n"
    assert not sacct.calls


def test_only_runs_since_a_moment_are_asked_for(
    command: Path, sacct: SacctDouble, capsys: Capture
) -> None:
    assert run_cli(["sacct", "--since", "2040-01-01"]) == 0
    assert capsys.readouterr().out == "no runs of Slurm jobs\n"
    assert not sacct.calls
    assert run_cli(["sacct", "--since", "2025-01-01"]) == 0
    assert len(sacct.calls) == 1


def test_a_wrong_moment_or_run_is_an_error(command: Path, capsys: Capture) -> None:
    assert run_cli(["sacct", "--since", "yesterday"]) == UsageError.exit_code
    assert run_cli(["sacct", "4711.0", "--since", "1d"]) == UsageError.exit_code
    assert run_cli(["sacct", "nothing"]) == NotFoundError.exit_code
    assert "7d" in capsys.readouterr().err


def test_without_sacct_the_command_says_so(
    command: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_cli(["sacct"]) == SchedulerError.exit_code
    assert "login node" in capsys.readouterr().err
    assert run_cli(["sacct", "--dry-run"]) == 0


def test_a_broken_answer_in_a_file_breaks_no_listing(command: Path, capsys: Capture) -> None:
    folder = command / "p" / "4711.0"
    entry = {"job": ["x"], "attempt": {}, "state": "\x1b[2J", "exit_code": [1], "advice": 7,
             "efficiency": {"elapsed_s": "x", "limit_s": -1, "memory_frac": 1e999}}  # fmt: skip
    found = {"kind": "hpctrack-accounting", "asked_wall_s": 1, "is_final": True,
             "attempts": [entry, {}, {"efficiency": []}]}  # fmt: skip
    (folder / ACCOUNTING_NAME).write_text(json.dumps(found))
    assert run_cli(["show", "4711.0"]) == 0
    assert run_cli(["show", "4711.0", "--json"]) == 0
    assert run_cli(["sacct", "4711.0"]) == 0
    assert "\x1b[2J" not in capsys.readouterr().out
