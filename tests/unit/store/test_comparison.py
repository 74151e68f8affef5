"""What differs between two runs: pure."""

from __future__ import annotations

import math
from typing import Any

from hpctrack.store.comparison import ABSENT, SECTIONS, Side, compare, compare_all

MADE: dict[str, Any] = {
    "program": {"argv": ["python", "t.py"], "cwd": "/a", "launchers": [["mpirun", "-n", "2"]]},
    "git": {"commit": "1" * 40, "branch": "main", "diff": "a\nb\nc\n", "remotes": {"origin": "u"}},
    "python": {
        "version": "3.12.1", "implementation": "cpython", "packages": {"numpy": "2.0", "old": "1"},
        "direct": {"mine": {"commit": "x"}},
    },
    "modules": {"loaded": ["gcc/12.2", "cuda/12.4", "plain"]},
    "environment": {"OMP_NUM_THREADS": "4", "SLURM_JOB_ID": "1", "SLURM_NTASKS": "2",
    "TMPDIR": "/x"},
    "machine": {"host": "n1", "cpu_model": "EPYC", "gpus": ["H100", "H100"], "memory_bytes": 1},
    "libraries": {"mpi": {"name": "Open MPI", "version": "4.1.4"}, "versions": {"nccl": "2.21.5"},
                  "loaded": ["/lib/libm.so.6"]},
    "container": {"kind": "apptainer", "digest": "sif:1"},
    "job_script": {"text": "#!/bin/bash\nsrun a\n"},
}  # fmt: skip


def keys(left: Side, right: Side, **how: object) -> list[str]:
    return [f"{one.section}.{one.key}" for one in compare(left, right, **how)]  # type: ignore[arg-type]


def test_a_run_does_not_differ_from_itself() -> None:
    side = Side(config={"a": 1, "b": math.nan}, summary={"l": 0.5}, provenance=MADE)
    assert compare(side, side) == []


def test_each_section_tells_what_differs() -> None:
    other = {
        **MADE,
        "program": {"argv": ["python", "t.py", "--x"], "cwd": "/a"},
        "git": {"commit": "2" * 40, "branch": "main", "diff": "a\nB\nc\n", "dirty": True},
        "python": {"version": "3.12.1", "implementation": "cpython",
                   "packages": {"numpy": "2.1", "new": "1"}, "direct": {"mine": {"commit": "y"}}},
        "modules": {"loaded": ["cuda/12.4", "gcc/13"]},
        "environment": {**MADE["environment"], "OMP_NUM_THREADS": "8", "SLURM_JOB_ID": "2",
                        "SLURM_NTASKS": "4", "TMPDIR": "/y"},
        "machine": {**MADE["machine"], "host": "n2", "gpus": ["A100"]},
        "libraries": {"mpi": {"name": "MPICH", "version": "4.2"}, "versions": {"nccl": "2.22"},
                      "loaded": ["/lib/libm.so.6"]},
        "container": {"kind": "apptainer", "digest": "sif:2"},
        "job_script": {"text": "#!/bin/bash\nsrun b\n"},
    }  # fmt: skip
    left = Side(config={"lr": 0.1, "gone": 1}, summary={"loss": 1.0}, provenance=MADE)
    right = Side(config={"lr": 0.2}, summary={"loss": 1}, provenance=other)
    assert keys(left, right) == [
        "config.gone", "config.lr", "command.argv", "command.launcher.0", "git.commit", "git.diff",
        "git.remote.origin", "packages.mine (commit)", "packages.new", "packages.numpy",
        "packages.old", "modules.gcc", "modules.plain", "environment.OMP_NUM_THREADS",
        "job.SLURM_NTASKS", "job.script", "hardware.gpus", "libraries.mpi", "libraries.nccl",
        "container.digest",
    ]  # fmt: skip
    by_key = {f"{one.section}.{one.key}": one for one in compare(left, right)}
    assert (by_key["config.gone"].left, by_key["config.gone"].right) == (1, ABSENT)
    assert by_key["git.diff"].lines[2:] == ("@@ -1,3 +1,3 @@", " a", "-b", "+B", " c")
    assert by_key["job.script"].to_json()["diff"][-2:] == ["-srun a", "+srun b"]
    assert by_key["modules.gcc"].to_json() == {"key": "gcc", "left": "12.2", "right": "13"}
    assert "job.SLURM_JOB_ID" in keys(left, right, is_complete=True)
    assert keys(left, right, only=["config"]) == ["config.gone", "config.lr"]


def test_kinds_of_values() -> None:
    left = Side(config={"a": 1, "b": True, "c": None, "d": [1, 2], "e": math.nan, "f": "1"})
    right = Side(config={"a": 1.0, "b": 1, "d": [1, 2], "e": math.nan, "f": 1})
    assert keys(left, right) == ["config.b", "config.c", "config.f"]


def test_a_run_without_provenance_is_compared_in_what_both_have() -> None:
    left = Side(config={"a": 1}, job={"ranks": 2}, provenance=MADE)
    right = Side(config={"a": 2}, job={"ranks": 4})
    assert {one.section for one in compare(left, right)} <= {"config", "summary", "job"}
    assert "config.a" in keys(left, right)
    assert "job.ranks" in keys(left, right)


def test_every_section_survives_anything_recorded_by_others() -> None:
    strange = dict.fromkeys(MADE) | {"git": {}, "python": {"packages": None}}
    assert isinstance(compare(Side(provenance=MADE), Side(provenance=strange)), list)
    assert list(SECTIONS) == [
        "config", "summary", "command", "git", "packages", "modules", "environment", "job",
        "hardware", "libraries", "container",
    ]  # fmt: skip


def test_several_runs_stand_side_by_side_also_where_they_agree() -> None:
    sides = [
        Side(config={"lr": 0.1, "seed": seed, "same": 1}, provenance=MADE if seed else {})
        for seed in range(3)
    ]
    found = {f"{one.section}.{one.key}": one for one in compare_all(sides)}
    assert found["config.seed"].values == (0, 1, 2)
    assert not found["config.seed"].is_same
    assert found["config.same"].is_same
    assert found["packages.numpy"].values == (ABSENT, "2.0", "2.0")
    assert found["git.diff"].is_text
    assert "environment.TMPDIR" not in found, "it always differs"
    complete = {one.key for one in compare_all(sides, only=["environment"], is_complete=True)}
    assert complete >= {"TMPDIR"}


def test_numbers_that_are_nan_in_all_runs_are_the_same() -> None:
    sides = [Side(summary={"loss": math.nan}), Side(summary={"loss": math.nan})]
    assert [one.is_same for one in compare_all(sides)] == [True]
