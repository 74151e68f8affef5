"""A batch script for people to read and edit: what submitit would do, in plain words."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpctrack.errors import StoreError
from hpctrack.sweeps.schema.slurm_block import DEFAULT_TIMEOUT_MIN
from hpctrack.sweeps.submission.plan import (
    IGNORE_WARNING,
    OURS,
    TEARDOWN_RUNNER,
    Plan,
    warning_s,
)
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.launch import uses_srun

_SBATCH_NAMES = {
    "name": "job-name", "timeout_min": "time", "mem_gb": "mem", "tasks_per_node": "ntasks-per-node",
}  # fmt: skip
"""submitit's names that are not sbatch's with underscores."""

_NO_OPTIONS = OURS | {
    "setup", "teardown", "array_parallelism", "stderr_to_stdout", "additional_parameters",
}  # fmt: skip
"""Keys of the ``slurm`` block that are not options of ``sbatch`` of their own."""


def make_script(sweep: Sweep, plan: Plan) -> str:
    """Return a script for ``sbatch`` that starts the workers of a plan.

    Parameters
    ----------
    sweep : Sweep
        Stored already: the script names it.
    plan : Plan
        How many workers, and what they ask for.

    Returns
    -------
    str
        Its own words, editable: nothing reads it but ``sbatch``.

    Raises
    ------
    StoreError
        The folder for its output cannot be made.
    """
    output = sweep.folder.path / "jobs" / "script"
    try:
        output.mkdir(parents=True, exist_ok=True)  # Slurm opens the output before the script runs
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror}") from None
    return "\n".join([*_iter_head(sweep, plan), *_iter_options(sweep, plan, output),
                      *_iter_body(sweep, plan), ""])  # fmt: skip


def make_comment(sweep: Sweep) -> str:
    """Return what the script's jobs say of themselves, for `hpctrack sweep cancel` to find them."""
    return f"hpctrack-sweep {sweep.folder.path}"


def _iter_head(sweep: Sweep, plan: Plan) -> Iterator[str]:
    trials = "" if plan.left is None else f", {plan.left} trials left"
    yield "#!/bin/bash"
    yield f"# Sweep {sweep.id} in project {sweep.project}: {sweep.file.method}{trials}."
    yield "#"
    yield "# Each task of the array is a worker: it takes trials, one after the other, until its"
    yield "# time is up or no trial is left. More tasks are more workers, nothing else; change the"
    yield "# array, the time and everything below as you like, then: sbatch THIS_FILE"
    yield "# Submitting it again adds workers. See also: hpctrack sweep status " + sweep.id
    yield ""


def _iter_options(sweep: Sweep, plan: Plan, output: Path) -> Iterator[str]:
    block = sweep.file.slurm
    throttle = f"%{plan.parallelism}" if plan.parallelism < plan.tasks else ""
    options: dict[str, Any] = {
        "job-name": f"sweep-{sweep.id}",
        "comment": make_comment(sweep),
        "array": f"0-{plan.tasks - 1}{throttle}",
        "time": DEFAULT_TIMEOUT_MIN,
    }
    for key, value in block.items():
        if key not in _NO_OPTIONS:
            name = _SBATCH_NAMES.get(key, key.replace("_", "-"))
            options[name] = _show_mem(value) if key == "mem_gb" else value
    options["chdir"] = sweep.directory
    options["output"] = output / "%A_%a.out"
    if not block.get("stderr_to_stdout", True):
        options["error"] = output / "%A_%a.err"
    options["open-mode"] = "append"
    options["signal"] = f"B:USR2@{warning_s(block)}"
    options |= block.get("additional_parameters", {})
    remarks = {
        "time": "minutes for each worker, not for each trial",
        "signal": "the worker hears so many seconds before the limit that its time is up",
        "open-mode": "a requeued task goes on in the same file",
    }
    for name, value in options.items():
        if value is False:
            continue
        if name in remarks:
            yield f"# {remarks[name]}"
        yield f"#SBATCH --{name}" + ("" if value is True else f"={shlex.quote(str(value))}")
    yield ""


def _iter_body(sweep: Sweep, plan: Plan) -> Iterator[str]:
    block = sweep.file.slurm
    yield "# The warning is for the worker, which asks for it; nobody else is to die of it."
    yield IGNORE_WARNING
    yield ""
    if block.get("setup"):
        yield "# setup, from the sweep file"
        yield from block["setup"]
        yield ""
    if uses_srun(block):
        yield "# One worker for each task of the array; it starts its trials with srun, over all"
        yield "# nodes and tasks of the job. Do not put srun before it."
    words = [*find_command(), "sweep", "agent", f"{sweep.project}/{sweep.id}"]
    words += ["--store", str(sweep.store), "--logs"]
    if plan.max_trials is not None:
        words += ["--max-trials", str(plan.max_trials)]
    if not block.get("teardown"):
        yield "# The worker takes the shell's place, so that Slurm's signals reach it."
        yield f"exec {shlex.join(words)}"
        return
    yield "# Slurm's warning goes to the shell alone: hand it on to the worker."
    yield from TEARDOWN_RUNNER
    yield "code=0"
    yield f"run_worker {shlex.join(words)} || code=$?"
    yield ""
    yield "# teardown, from the sweep file"
    yield from block["teardown"]
    yield 'exit "$code"'


def find_command() -> list[str]:
    """Return the words that start hpctrack with this Python."""
    beside = Path(sys.executable).with_name("hpctrack")
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "hpctrack"]


def _show_mem(mem_gb: float) -> str:
    """Return gigabytes as ``sbatch`` reads them: whole numbers with a unit."""
    whole = int(mem_gb)
    return f"{whole}G" if whole == mem_gb else f"{int(mem_gb * 1024)}M"
