"""Signs of life, and the judgement that somebody is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.sweeps.worker.heartbeat import (
    Heartbeat,
    describe_allocation,
    describe_worker,
    read_worker,
)
from hpctrack.sweeps.worker.process import read_stamp
from tests.programs import start_python, wait_for
from tests.trials import (
    beating,
    judge_by,
    make_stranger,
    make_sweep,
    make_worker,
    silence,
    write_worker,
)


def test_a_worker_touches_its_file_until_it_leaves_and_then_says_why(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me = describe_worker(os.environ, SYSTEM_CLOCK, share=3, cpus=2, gpus=1)
    heartbeat = Heartbeat(sweep.folder, me, clock=SYSTEM_CLOCK, interval_s=0.02)
    heartbeat.begin()
    path = sweep.folder.worker(me.id)
    assert read_worker(sweep.folder, me.id) == me
    os.utime(path, (1, 1))
    wait_for(lambda: path.stat().st_mtime > 1)
    heartbeat.end("no trials are left")
    last = read_worker(sweep.folder, me.id)
    assert last is not None
    assert last.ended_wall_s is not None
    assert last.why == "no trials are left"


def test_slurm_is_remembered_by_a_worker(tmp_path: Path) -> None:
    job = {"SLURM_JOB_ID": "53", "SLURM_ARRAY_JOB_ID": "50", "SLURM_ARRAY_TASK_ID": "3"}
    me = describe_worker({**job, "SLURM_RESTART_COUNT": "2"}, SYSTEM_CLOCK, share=1, cpus=1, gpus=0)
    assert (me.job, me.restart) == ("50_3", 2)
    assert describe_worker({}, SYSTEM_CLOCK, share=None, cpus=1, gpus=0).job == ""


def test_a_file_of_a_worker_that_makes_no_sense_is_nobody(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me = make_worker(sweep)
    for text in ("{", "[]", "{}"):
        sweep.folder.worker(me.id).write_text(text)
        assert read_worker(sweep.folder, me.id) is None


def test_a_worker_of_this_machine_is_dead_as_soon_as_its_process_is(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me = make_worker(sweep)
    child = start_python("import sys; print('up', flush=True); sys.stdin.read()", stdin=-1)
    assert child.stdout is not None
    child.stdout.readline()
    environ_of_child = describe_worker({}, SYSTEM_CLOCK, share=None, cpus=1, gpus=0)
    other = write_worker(
        sweep, environ_of_child, id="other", pid=child.pid, stamp=read_stamp(child.pid)
    )
    claim = other.claim(0, 1, failures=0, wall_s=0.0)
    judge = judge_by(sweep, me)
    silence(sweep, other, 10_000)
    assert not judge.is_dead(claim), "it lives, whatever its file says"
    child.kill()
    wait_for(lambda: judge.is_dead(claim))
    child.communicate()
    assert judge.is_dead(claim)


def test_a_worker_in_another_container_of_this_machine_is_judged_by_its_signs_of_life(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path)
    me = make_worker(sweep)
    ticks, _, place = me.stamp.partition("@")
    for elsewhere in (f"{ticks}@{place}1", f"{ticks}@1{place}"):
        other = write_worker(sweep, me, id="other", pid=2**22, stamp=elsewhere)
        claim = other.claim(0, 1, failures=0, wall_s=0.0)
        judge = judge_by(sweep, me)
        assert not judge.is_dead(claim), "nobody here can see its process"
        silence(sweep, other, 10_000)
        assert judge.is_dead(claim)


def test_a_worker_that_has_left_is_gone_though_its_process_goes_on(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me, other = make_worker(sweep), make_worker(sweep)
    claim = other.claim(0, 1, failures=0, wall_s=0.0)
    assert not judge_by(sweep, me).is_dead(claim)
    write_worker(sweep, other, ended_wall_s=1.0, why="it broke")
    assert judge_by(sweep, me).is_dead(claim)


def test_a_worker_of_another_machine_is_dead_by_its_silence_or_its_word(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me, other = make_worker(sweep), make_stranger(sweep)
    claim = other.claim(0, 1, failures=0, wall_s=0.0)
    judge = judge_by(sweep, me, stale_s=60.0, interval_s=10.0)
    assert not judge.is_dead(claim)
    assert not judge.is_late(claim)
    silence(sweep, other, 30)
    assert not judge.is_dead(claim)
    assert judge.is_late(claim)
    silence(sweep, other, 61)
    assert judge.is_dead(claim)
    write_worker(sweep, other, ended_wall_s=5.0)
    assert judge.is_dead(claim)
    sweep.folder.worker(other.id).unlink()
    assert judge.is_dead(claim)


def test_clocks_that_disagree_kill_nobody(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me, other = make_worker(sweep), make_stranger(sweep, started_wall_s=5.0)
    path = sweep.folder.worker(other.id)
    ahead_s = path.stat().st_mtime + 3600
    os.utime(path, (ahead_s, ahead_s))
    assert judge_by(sweep, me).age_s(other.id) == 0.0
    assert not judge_by(sweep, me).is_dead(other.claim(0, 1, failures=0, wall_s=9e9))


def test_a_lost_file_of_ones_own_proves_nobody_dead(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me, other = make_worker(sweep), make_stranger(sweep)
    sweep.folder.worker(me.id).unlink()
    assert not judge_by(sweep, me).is_dead(other.claim(0, 1, failures=0, wall_s=0.0))


def test_an_earlier_life_of_the_same_job_is_over(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me = make_worker(sweep, job="50_3", restart=1)
    earlier = make_stranger(sweep, job="50_3", restart=0)
    neighbour = make_stranger(sweep, job="50_4", restart=0)
    judge = judge_by(sweep, me)
    assert judge.is_dead(earlier.claim(0, 1, failures=0, wall_s=0.0))
    assert not judge.is_dead(neighbour.claim(0, 1, failures=0, wall_s=0.0))


def test_what_we_had_ourselves_is_free_once_we_look_for_more(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    me = make_worker(sweep)
    with beating(sweep, me):
        assert judge_by(sweep, me).is_dead(me.claim(0, 1, failures=0, wall_s=0.0))


@pytest.mark.parametrize(
    ("slurm", "environ", "given"),
    [
        ({}, {}, (1, 0)),
        ({"cpus_per_task": 4, "tasks_per_node": 2, "nodes": 2}, {}, (16, 0)),
        ({"cpus_per_task": 4}, {"SLURM_CPUS_PER_TASK": "6"}, (6, 0)),
        ({"gpus_per_task": 1, "tasks_per_node": 2}, {}, (2, 2)),
        ({"gpus_per_node": 4, "nodes": 2}, {}, (2, 8)),
        ({}, {"CUDA_VISIBLE_DEVICES": "0,1"}, (1, 0)),
        ({}, {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "1"}, (1, 2)),
    ],
)
def test_what_a_trial_has_follows_from_the_file_and_the_job(
    slurm: dict[str, int], environ: dict[str, str], given: tuple[int, int]
) -> None:
    assert describe_allocation(slurm, environ) == given
