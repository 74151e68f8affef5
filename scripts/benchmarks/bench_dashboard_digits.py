"""The same pages over real trainings: scikit-learn's digits, each run logged by hpctrack itself."""

from __future__ import annotations

import subprocess
from typing import Any

from scripts.benchmarks.bench_dashboard_runs import SHOWN
from scripts.benchmarks.dashboard_lab import (
    ROOT,
    browse,
    find_medians,
    load,
    make_row,
    serve,
)
from scripts.benchmarks.lab import Lab, Place
from scripts.benchmarks.rows import Outcome

PROJECT = "digits"
PROGRAM = ROOT / "slurm" / "train_digits.py"
RATES = ("0.02", "0.05", "0.1", "0.2")
TRAINING_S = 300.0

PAGES: dict[str, tuple[str, str, float]] = {
    "runs": ("runs", SHOWN, 800),
    "compare": (
        "compare",
        (
            "[...document.querySelectorAll('.panel')].some((one) => one.dataset.ready)"
            " && !document.querySelector('.panel[data-loading]')"
        ),
        2000,
    ),
    "parallel": ("parallel", "document.querySelector('#parallel-panel[data-ready]')", 1500),
    "statistics": (
        "statistics?metric=summary.final_accuracy&by=config.lr",
        "document.querySelector('#intervals[data-ready]')",
        2000,
    ),
}
"""Address, what has to be there, and the target of the same page over generated runs, ms."""


def bench_digits(lab: Lab, *, runs: int, epochs: int, repeats: int) -> Outcome:
    """Train on the digits with four learning rates and several seeds, and open the pages."""
    outcome = Outcome()
    with lab.place() as place:
        lab.say(f"training {runs} networks on the digits")
        for number in range(runs):
            train(lab, place, RATES[number % len(RATES)], number // len(RATES), epochs)
        with serve(lab, place, place.store) as served, browse(place, is_kept=True) as visitor:
            page = visitor.open(served)

            def measure(name: str) -> dict[str, Any]:
                path, painted, _limit = PAGES[name]
                address = f"{served.origin}/p/{PROJECT}/{path}"
                return find_medians([load(page, address, painted) for _ in range(repeats)])

            for name in PAGES:
                measure(name)
            outcome.samples.update(lab.interleave(tuple(PAGES), measure))
    outcome.rows += [
        make_row(f"{runs} trainings on the digits, {name}: painted", outcome.samples, name,
                 "painted_ms", limit=limit)
        for name, (_path, _painted, limit) in PAGES.items()
    ]  # fmt: skip
    return outcome


def train(lab: Lab, place: Place, rate: str, seed: int, epochs: int) -> None:
    """Train one network, which logs itself.

    Raises
    ------
    subprocess.CalledProcessError
        The training failed.
    """
    words = ["--lr", rate, "--seed", str(seed), "--epochs", str(epochs), "--project", PROJECT]
    subprocess.run(
        [lab.python(), str(PROGRAM), "--local", *words],
        env={**place.environ, "HPCTRACK_QUIET": "1"},
        cwd=place.folder,
        check=True,
        timeout=TRAINING_S,
        stdout=subprocess.DEVNULL,
    )
