"""What beginning and ending a run costs: the first log, and many short runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import FLOOR, OURS, Case, Lab, end_process
from scripts.benchmarks.ours import find_ours, install_ours
from scripts.benchmarks.programs.start_texts import AFTER_NUMPY, MARK, NUMPY, START_TEXTS
from scripts.benchmarks.rows import (
    Outcome,
    Row,
    Samples,
    Target,
    find_error,
    median,
    percentile,
    show_number,
)
from scripts.benchmarks.tracing import count_opened, strace_command

START_TIMEOUT_S = 120.0

FEWER_RUNS = {
    "wandb": 0.1, "trackio": 0.25, "tensorboard": 0.25, "tensorboardX": 0.25, "torch": 0.25,
    "mlflow": 0.1, "aim": 0.1,
}  # fmt: skip
"""Share of our short runs that a peer is given."""


def bench_init(lab: Lab) -> Outcome:
    """Measure a program from its first line until its first ``log`` has returned.

    CPU of the process (import, `init`, one `log`), less what the interpreter's own start takes;
    the shell that starts our agent is noted beside, the agent is not the rank. In a second process
    under strace the files that the process and its threads have opened until then are counted,
    those of the interpreter's start included, those of helpers not. We are measured as a wheel in
    an environment of its own, renewed when the tree has changed, if ``--peers`` has made it.
    """
    is_installed = find_ours() is not None and install_ours().startswith("this tree")
    python = str(find_ours()) if is_installed else lab.python(OURS)
    lab.say(f"hpctrack {'as an installed wheel' if is_installed else 'in its checkout'}: {python}")
    contestants = (OURS, FLOOR, NUMPY, AFTER_NUMPY, *lab.peers)
    samples = lab.interleave(
        contestants, lambda tool: _start_once(lab, tool, lab.peers.get(tool, python))
    )
    ours = samples[OURS]
    rows = [
        Row(
            what="CPU of import + init() until the first log returned",
            value=median(ours, "cpu_ms"),
            unit="ms",
            target=Target("<=", 60),
            note=f"{'a wheel' if is_installed else 'a checkout'}; "
            f"wall {show_number(median(ours, 'wall_ms'))} ms; waited-for children "
            f"{show_number(median(ours, 'children_ms'))} ms",
        ),
        Row(
            what="files opened by the rank until then",
            value=median(ours, "opened"),
            unit="files",
            target=Target("<=", 60),
            note=f"{show_number(median(samples[FLOOR], 'opened'))} of them by the floor's program",
        ),
    ]
    mine = {OURS, NUMPY, AFTER_NUMPY}
    rows.insert(2, _after_numpy_row(samples))
    rows += [_peer_start_row(samples, tool) for tool in samples if tool not in mine]
    return Outcome(rows, samples)


def _after_numpy_row(samples: Samples) -> Row:
    with_us, without = (median(samples[tool], "opened") for tool in (AFTER_NUMPY, NUMPY))
    cpu_ms = median(samples[AFTER_NUMPY], "cpu_ms")
    return Row(
        what="the same by a program that has imported numpy: what it opens on top",
        value=None if with_us is None or without is None else with_us - without,
        unit="files",
        note=f"numpy's own: {show_number(without)}; CPU {show_number(cpu_ms)} ms",
    )


def _peer_start_row(samples: Samples, tool: str) -> Row:
    cpu_ms = median(samples[tool], "cpu_ms")
    opened = f"{show_number(median(samples[tool], 'opened'))} files opened"
    return Row(
        what=f"{tool}: CPU of the same",
        value=cpu_ms,
        unit="ms",
        note=opened if cpu_ms is not None else str(find_error(samples[tool])),
    )


def _start_once(lab: Lab, tool: str, python: Path | str) -> dict[str, Any]:
    """Run the shortest program twice, once for its CPU and once for its files."""
    found: dict[str, Any] = {}
    for is_traced in (False, True):
        if is_traced and shutil.which("strace") is None:
            continue
        with lab.place() as place:
            out, trace = place.folder / "out.json", place.folder / "trace"
            command = [str(python), "-c", START_TEXTS[tool], str(place.store), str(out)]
            # Found as an installed package is, not by way of the environment.
            place.environ.pop("PYTHONPATH")
            process = lab.start(place, strace_command(trace, command) if is_traced else command)
            try:
                code = process.wait(START_TIMEOUT_S)
            finally:
                end_process(process)
            if code != 0:
                return {"error": lab.last_words(place, code)}
            if is_traced:
                found["opened"] = count_opened(trace, MARK)
            else:
                found |= json.loads(out.read_text())
    return found


def bench_short_runs(lab: Lab, *, runs: int, steps: int, job_runs: int) -> Outcome:
    """Measure runs of some steps with 5 metrics from ``init`` to the return of ``finish``.

    ``runs`` of them in one process, one after the other; then ``job_runs`` of ours, each in a
    process of its own, with one agent among them, less the interpreter's start and the import.
    The first run of each series is left out: it starts the agent and imports.
    """

    def measure(tool: str) -> dict[str, Any]:
        count = max(3, int(runs * FEWER_RUNS.get(tool, 1.0)))
        told = {"runs": count, "steps": steps, "first": 0}
        with lab.place() as place:
            return _sum_up(lab.run(Case(tool, "short_runs", told), place=place))

    samples = lab.interleave((OURS, FLOOR, *lab.peers), measure)
    samples["hpctrack, one job"] = [_measure_job(lab, job_runs, steps) for _ in range(lab.rounds)]
    target = Target("<=", 10)
    rows = [
        _short_row("mean of the 2nd to last short run in one process", samples[OURS], target),
        _short_row("the same, a process each in one job", samples["hpctrack, one job"], target),
    ]
    rows += [
        _short_row(f"{tool}: a short run in one process", samples[tool], None)
        for tool in samples
        if not tool.startswith(OURS)
    ]
    return Outcome(rows, samples)


def _measure_job(lab: Lab, runs: int, steps: int) -> dict[str, Any]:
    wall_ms, cpu_ms = [], []
    with lab.place() as place:
        for number in range(runs):
            told = {"runs": 1, "steps": steps, "first": number}
            found = lab.run(Case(OURS, "short_runs", told), place=place)
            if "error" in found:
                return found
            wall_ms += found["wall_ms"]
            cpu_ms += found["cpu_ms"]
    return _sum_up({"wall_ms": wall_ms, "cpu_ms": cpu_ms})


def _sum_up(found: dict[str, Any]) -> dict[str, Any]:
    if "error" in found:
        return found
    later = found["wall_ms"][1:]
    return {
        "mean_ms": sum(later) / len(later),
        "p50_ms": percentile(later, 50),
        "p95_ms": percentile(later, 95),
        "cpu_ms": sum(found["cpu_ms"][1:]) / len(later),
        "first_ms": found["wall_ms"][0],
        "runs": len(later),
    }


def _short_row(what: str, samples: list[dict[str, Any]], target: Target | None) -> Row:
    value = median(samples, "mean_ms")
    shown = ", ".join(
        f"{name} {show_number(median(samples, key))}"
        for name, key in (("p50", "p50_ms"), ("p95", "p95_ms"), ("CPU", "cpu_ms"))
    )
    note = f"{shown} ms" if value is not None else str(find_error(samples))
    return Row(what=what, value=value, unit="ms", target=target, note=note)
