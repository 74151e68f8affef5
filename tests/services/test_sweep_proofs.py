"""What sweeps are for, on a real cluster: early stopping that pays, and trials of every kind."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hpctrack.sweeps.sweep import load_sweep
from tests.programs import ROOT, wait_for

from .cluster import Cluster, Place
from .digits_program import EPOCHS, train
from .sweep_desk import Desk

pytestmark = pytest.mark.slurm


@pytest.fixture
def desk(cluster: Cluster, cluster_scratch: Place) -> Desk:
    return Desk(cluster, cluster_scratch)


TRIALS = 60

DIGITS = f"""
program: {ROOT}/tests/services/digits_program.py
method: random
seed: 1
run_cap: {TRIALS}
project: digits
metric: {{name: accuracy, goal: maximize}}
early_terminate: {{type: asha, min_iter: 1, eta: 3}}
parameters:
  lr: {{distribution: log_uniform_values, min: 0.001, max: 0.5}}
  hidden: {{min: 4, max: 64}}
  momentum: {{min: 0.0, max: 0.95}}
command: ["${{interpreter}}", "${{program}}", digits.npy]
slurm: {{timeout_min: 10, cpus_per_task: 1, array_parallelism: 8}}
"""


def test_asha_with_eight_workers_finds_a_good_network_in_a_third_of_the_epochs(desk: Desk) -> None:
    package = Path(importlib.util.find_spec("sklearn").origin).parent  # type: ignore[union-attr,arg-type]
    table = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    np.save(desk.scratch.host / "digits.npy", table)
    desk.write("sweep.yaml", DIGITS)
    done = desk.sweep("submit", "sweep.yaml", "--workers=8", "--wait", timeout_s=240)
    sweep = load_sweep(desk.store, done["id"])
    with np.errstate(all="ignore"):  # some of them diverge
        curves = [
            [*train(sweep.parameters(number), desk.scratch.host / "digits.npy")]
            for number in range(TRIALS)
        ]
    runs = desk.runs(sweep.id)
    assert [run.record.trial for run in runs] == [*range(TRIALS)]
    found = [run.metric("accuracy").rank(0) for run in runs]
    # A trial that was stopped is the beginning of the same training.
    assert [one.value.tolist() for one in found] == [
        curve[: len(one.step)] for curve, one in zip(curves, found, strict=True)
    ]
    epochs = sum(len(one.step) for one in found)
    best = max(curve[-1] for curve in curves)
    told = desk.sweep("best", sweep.id)
    status = desk.sweep("status", sweep.id)
    print(f"{epochs} of {TRIALS * EPOCHS} epochs, {told['metric']:.4f} of {best:.4f}")
    print(status["cost"])
    assert epochs <= 0.3 * TRIALS * EPOCHS
    assert told["metric"] >= best - 0.01
    whole = [run for run, one in zip(runs, found, strict=True) if len(one.step) == EPOCHS]
    counts = {state: count for state, count in status["counts"].items() if count}
    assert counts == {"finished": len(whole), "pruned": TRIALS - len(whole)}
    cost = status["cost"]
    assert (cost["iterations"], cost["saved_iterations"]) == (epochs, TRIALS * EPOCHS - epochs)
    assert 0 < cost["saved_cpu_hours"] < TRIALS * EPOCHS / 3600


CHECKPOINTS = """
import os, time, hpctrack
from pathlib import Path

checkpoint = Path(os.environ["HPCTRACK_TRIAL_DIR"], "step")
run = hpctrack.init(settings={"seal": "manual"})
begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
Path(f"life{run.place.attempt}-{run.id}").write_text(str(begin))
for step in range(begin, 20):
    run.log({"loss": run.config["a"] / (step + 1)}, step=step)
    if step % 5 == 4:
        checkpoint.with_name("new").write_text(str(step + 1))
        checkpoint.with_name("new").replace(checkpoint)
    if step == 12 and begin == 0 and run.config["a"] == 1:
        run.flush(90)
        Path(f"ready-{run.id}").touch()
        time.sleep(600)
run.finish()
"""

PREEMPTED = """
program: train.py
method: grid
project: preempted
metric: {{name: loss}}
parameters: {{a: {{values: [1, 2]}}}}
command: ["${{interpreter}}", "${{program}}"]
slurm: {{partition: {partition}, nodelist: {node}, cpus_per_task: 4, timeout_min: 5}}
"""


def test_a_preempted_trial_goes_on_from_its_checkpoint_as_the_same_run(desk: Desk) -> None:
    desk.write("train.py", CHECKPOINTS)
    sweeps, jobs = [], []
    for partition, node in (("preempt", "n1"), ("grace", "n2")):
        desk.write("sweep.yaml", PREEMPTED.format(partition=partition, node=node))
        done = desk.sweep("submit", "sweep.yaml", "--workers=1", "--no-wait")
        sweeps.append(done["id"])
        jobs.append(done["jobs"][0])
    for sweep in sweeps:
        wait_for(lambda name=f"ready-{sweep}-0000": desk.has(name))  # type: ignore[misc]
    winners = [
        desk.cluster.submit("-pdebug", f"--nodelist={node}", "-c4", "--wrap=sleep 1")
        for node in ("n1", "n2")
    ]
    for job in (*winners, *jobs):
        desk.cluster.wait_job(job, timeout_s=180)
    for sweep in sweeps:
        assert desk.states(sweep) == ["finished", "finished"]
        first, second = desk.runs(sweep)
        assert (first.record.attempts, second.record.attempts) == (2, 1)
        assert (desk.scratch.host / f"life2-{first.id}").read_text() == "10"
        series = first.metric("loss").rank(0)
        assert series.step.tolist() == [*range(20)]
        assert series.value.tolist() == [1 / (step + 1) for step in range(20)]
        assert first.metric("loss").attempt(1).steps.tolist() == [*range(13)]
        assert first.metric("loss").attempt(2).steps.tolist() == [*range(10, 20)]
        assert first.record.job["SLURM_JOB_ID"] == second.record.job["SLURM_JOB_ID"]


MPI = """
import os, sys
from mpi4py import MPI
import hpctrack

world = MPI.COMM_WORLD
run = hpctrack.init(settings={"seal": "manual"})
assert run.rank == world.rank
step = 0
while step < 12:
    # Whoever left this loop alone would leave the others waiting here.
    loss = world.allreduce(run.config["a"] / (step + 1)) / world.size
    run.log({"loss": loss, "mine": world.rank}, step=step)
    step += 1
    if run.should_stop():
        break
with open(os.environ["HPCTRACK_TRIAL_DIR"] + f"/rank{world.rank}", "w") as file:
    print(os.environ["SLURMD_NODENAME"], step, file=file)
run.finish()
"""

TORCH = """
import os
import torch
import torch.distributed as dist
import hpctrack

dist.init_process_group("gloo")
run = hpctrack.init(settings={"seal": "manual"})
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
step = 0
while step < 12:
    x = torch.rand(16, 2)
    loss = run.config["a"] * ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    dist.all_reduce(loss)
    run.log({"loss": float(loss) if run.config["a"] == 1 else 100.0}, step=step)
    step += 1
    if run.should_stop():
        break
with open(os.environ["HPCTRACK_TRIAL_DIR"] + f"/rank{dist.get_rank()}", "w") as file:
    print(os.environ["SLURMD_NODENAME"], step, file=file)
run.finish()
"""


def read_ranks(desk: Desk, sweep: str, number: int) -> list[tuple[str, int]]:
    """Return where each rank of a trial ran, and after how many steps it left."""
    paths = sorted(load_sweep(desk.store, sweep).folder.work(number).glob("rank*"))
    words = [path.read_text().split() for path in paths]
    return [(node, int(steps)) for node, steps in words]


def check_stopped_together(desk: Desk, sweep: str, *, size: int, nodes: int) -> None:
    """The first trial ran to its end; the second was stopped early, at one step of all ranks."""
    assert desk.states(sweep) == ["finished", "pruned"]
    for number, run in enumerate(desk.runs(sweep)):
        ranks = read_ranks(desk, sweep, number)
        assert len(ranks) == size
        assert len({node for node, _ in ranks}) == nodes
        (steps,) = {step for _, step in ranks}
        assert steps == 12 if number == 0 else 3 <= steps < 12
        assert run.metric("loss").rank_numbers() == [*range(size)]
        for rank in range(size):
            assert run.metric("loss").rank(rank).step.tolist() == [*range(steps)]


STOPPED = """
program: train.py
method: grid
project: together
metric: {name: loss}
parameters: {a: {values: [1, 100]}}
early_terminate: {type: threshold, upper: 10, n_warmup_steps: 3}
"""


@pytest.mark.mpi
def test_ranks_of_an_mpi_trial_on_two_nodes_are_stopped_at_the_same_step(desk: Desk) -> None:
    desk.write("train.py", MPI)
    desk.write(
        "sweep.yaml",
        STOPPED
        + """
command: ["${interpreter}", "${program}"]
slurm: {nodes: 2, tasks_per_node: 2, srun_args: ["--mpi=pmi2"], timeout_min: 5}
""",
    )
    done = desk.sweep("submit", "sweep.yaml", "--workers=1", "--wait")
    check_stopped_together(desk, done["id"], size=4, nodes=2)


@pytest.mark.torch
def test_ranks_of_a_torchrun_trial_are_stopped_at_the_same_step(desk: Desk) -> None:
    desk.write("train.py", TORCH)
    desk.write(
        "sweep.yaml",
        STOPPED
        + """
command: [/usr/bin/python3, -m, torch.distributed.run, --standalone, --nproc_per_node=2,
          --redirects=1, --tee=1, "${program}"]
slurm: {cpus_per_task: 2, timeout_min: 5}
""",
    )
    done = desk.sweep("submit", "sweep.yaml", "--workers=1", "--wait")
    check_stopped_together(desk, done["id"], size=2, nodes=1)


FORTRAN = """
program solver
  implicit none
  character(len=32) :: word
  real(8) :: a
  integer :: step
  call get_command_argument(1, word)
  read (word(3:), *) a
  do step = 1, 40
    print '(A, I0, A, ES12.4)', 'step ', step, ' loss=', a / step
    flush (6)
    call execute_command_line('sleep 0.1')
  end do
end program
"""

SHELL = """
for step in $(seq 1 40); do
    awk -v a="${1#a=}" -v n="$step" 'BEGIN { printf "step %d loss=%.6f\\n", n, a / n }'
    sleep 0.1
done
"""

PRINTED = """
method: grid
project: printed
metric: {{name: loss, pattern: 'step (?P<step>[0-9]+) loss= *(?P<value>[^ ]+)'}}
parameters: {{a: {{values: [1, 100]}}}}
early_terminate: {{type: threshold, upper: 10, n_warmup_steps: 3}}
command: [{command}, "${{args_no_hyphens}}"]
slurm: {{timeout_min: 5, cpus_per_task: 1}}
"""


@pytest.mark.fortran
def test_programs_that_only_print_are_judged_and_stopped_too(desk: Desk) -> None:
    subprocess.run(
        ["gfortran", "-O1", "-o", desk.scratch.host / "solver", "-x", "f95", "-"],
        input=FORTRAN.encode(),
        check=True,
    )
    desk.write("solver.sh", SHELL)
    submitted = []
    for command in ("./solver", "sh, solver.sh"):
        desk.write("sweep.yaml", PRINTED.format(command=command))
        submitted.append(desk.sweep("submit", "sweep.yaml", "--workers=1", "--no-wait"))
    for one in submitted:
        desk.cluster.wait_job(one["jobs"][0])
        whole, stopped = desk.sweep("status", one["id"])["trials"]
        assert (whole["state"], stopped["state"]) == ("finished", "pruned")
        assert whole["metric"] == pytest.approx(1 / 40)
        assert whole["iterations"] == 40
        assert 3 <= stopped["iterations"] < 40
        log = load_sweep(desk.store, one["id"]).folder.log(0).read_text()
        assert log.count("loss=") == 40
