"""What the programs that drive an engine have in common: trials one after another, one line each.

Only the standard library: it runs in the environments of all engines.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from scripts.benchmarks.search_functions import FUNCTIONS, SearchFunction


class Engine(Protocol):
    """One search of one function."""

    def ask(self) -> dict[str, Any]:
        """Return the parameters of the next trial."""

    def tell(self, value: float) -> None:
        """Take what the trial has observed."""

    def close(self) -> None:
        """Let go of files."""


def search(engine: Engine, function: SearchFunction, *, seed: int, trials: int) -> dict[str, Any]:
    """Run one search.

    Returns
    -------
    dict
        ``observed`` values, ``regrets`` of the points without noise, and seconds of each ask with
        the tell before it.
    """
    observed: list[float] = []
    regrets: list[float] = []
    asks_s: list[float] = []
    for number in range(trials):
        begin = time.perf_counter()
        if number:
            engine.tell(observed[-1])
        parameters = engine.ask()
        asks_s.append(time.perf_counter() - begin)
        observed.append(function.observe(parameters, seed=seed, number=number))
        regrets.append(function.regret(parameters))
    return {
        "observed": observed,
        "regrets": regrets,
        "asks_s": [round(one, 4) for one in asks_s],
    }


def run_searches(
    make: Callable[[SearchFunction, int, dict[str, Any]], Engine], packages: Sequence[str]
) -> None:
    """Do what the command line says: some seeds of a function; a line is appended for each.

    Parameters
    ----------
    make : callable
        Takes the function, the seed and everything that was told, and returns an engine.
    packages : sequence of str
        Whose versions are recorded.
    """
    told = json.loads(sys.argv[1])
    function = FUNCTIONS[told["function"]]
    for seed in told["seeds"]:
        cpu_s = time.process_time()
        engine = make(function, seed, told)
        found = search(engine, function, seed=seed, trials=told["trials"])
        engine.close()
        line = {
            "engine": told["engine"],
            "function": function.name,
            "seed": seed,
            "cpu_s": round(time.process_time() - cpu_s, 2),
            "versions": _list_versions(packages),
            **found,
        }
        append_line(told["out"], line)


def _list_versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        if name in sys.modules and sys.modules[name] is None:
            continue  # hidden on purpose
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def append_line(path: str, line: dict[str, Any]) -> None:
    """Append in one write: two runners that share a file never tear a line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)
