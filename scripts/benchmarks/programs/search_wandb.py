"""W&B's own engine: the package ``sweeps``, asked as its users' server asks it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from sweeps import RunState, SweepConfig, SweepRun, next_run

from scripts.benchmarks.programs.searching import run_searches
from scripts.benchmarks.search_functions import SearchFunction


class WandbEngine:
    """``method: bayes``; every run before has finished."""

    def __init__(self, function: SearchFunction, seed: int, _told: dict[str, Any]) -> None:
        # It draws from both global generators.
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        self._config = SweepConfig(
            {
                "method": "bayes",
                "metric": {"name": "loss", "goal": "minimize"},
                "parameters": function.space,
            }
        )
        self._runs: list[SweepRun] = []

    def ask(self) -> dict[str, Any]:
        """Return the parameters of the next run."""
        run = next_run(self._config, self._runs)
        self._runs.append(run)
        return {name: one["value"] for name, one in run.config.items()}

    def tell(self, value: float) -> None:
        """End the run."""
        run = self._runs[-1]
        run.state = RunState.finished
        run.summary_metrics = {"loss": value}
        run.history = [{"loss": value}]

    def close(self) -> None:
        """Do nothing: it has no files."""


if __name__ == "__main__":
    run_searches(WandbEngine, packages=("sweeps", "scikit-learn", "scipy", "numpy"))
