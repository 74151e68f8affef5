"""hpctrack's search, through the same door as a worker: a sweep, its journal, ask and tell."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

from scripts.benchmarks.programs.searching import run_searches
from scripts.benchmarks.search_functions import SearchFunction


class OurEngine:
    """A sweep in a store of its own, with one worker."""

    def __init__(self, function: SearchFunction, seed: int, told: dict[str, Any]) -> None:
        from hpctrack.sweeps.search.search import Search  # noqa: PLC0415 - torch is hidden first
        from hpctrack.sweeps.sweep import create_sweep  # noqa: PLC0415

        self._store = tempfile.TemporaryDirectory(prefix="search-")
        config = {
            "method": told["method"],
            "program": "none.py",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": function.space,
            "seed": seed,
        }
        self._search = Search.open(create_sweep(self._store.name, config))
        self._number = -1
        self._asked = 0

    def ask(self) -> dict[str, Any]:
        """Return the parameters of the next trial."""
        point = self._search.ask(self._asked)
        self._number = point.number
        self._asked += 1
        return point.parameters

    def tell(self, value: float) -> None:
        """End the trial."""
        from hpctrack.sweeps.search.point import PointState  # noqa: PLC0415

        self._search.tell(self._number, PointState.FINISHED, (value,))

    def close(self) -> None:
        """Remove the store."""
        self._search.close()
        self._store.cleanup()


def _make(function: SearchFunction, seed: int, told: dict[str, Any]) -> OurEngine:
    if not told["has_torch"]:
        # As in an environment without it: nothing finds it, nothing can import it.
        sys.modules["torch"] = None  # type: ignore[assignment]
    return OurEngine(function, seed, told)


if __name__ == "__main__":
    run_searches(_make, packages=("optuna", "torch", "scipy", "numpy", "cmaes"))
