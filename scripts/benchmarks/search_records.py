"""What searches have found: one JSON line each, appended as soon as a search has ended.

A killed run goes on where it was: what the file has is not searched again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecord:
    """One search.

    Parameters
    ----------
    engine, function : str
        Of what, by what.
    seed : int
        Of the engine and of the noise.
    observed : tuple of float
        What the trials logged, in order.
    regrets : tuple of float
        How far each point is above the minimum, without noise.
    asks_s : tuple of float
        Seconds that each point took to choose, with the result before it taken in.
    versions : dict
        Of the packages that chose.
    """

    engine: str
    function: str
    seed: int
    observed: tuple[float, ...]
    regrets: tuple[float, ...]
    asks_s: tuple[float, ...] = ()
    versions: dict[str, str]

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is a record of."""
        return self.engine, self.function, self.seed

    def simple_regret(self, trials: int) -> float:
        """Return the regret of the point that a user would take: the one with the best result.

        Under noise that need not be the best point.
        """
        best = min(range(trials), key=self.observed.__getitem__)
        return self.regrets[best]


def read_records(path: Path, trials: int) -> dict[tuple[str, str, int], SearchRecord]:
    """Return the searches of a file that are long enough; of two alike the later one.

    A line that a killed program left half written is no record.
    """
    found: dict[tuple[str, str, int], SearchRecord] = {}
    if not path.is_file():
        return found
    for line in path.read_text().splitlines():
        record = _parse(line)
        if record is not None and len(record.observed) >= trials:
            found[record.key] = record
    return found


def _parse(line: str) -> SearchRecord | None:
    try:
        plain: dict[str, Any] = json.loads(line)
        return SearchRecord(
            engine=plain["engine"],
            function=plain["function"],
            seed=plain["seed"],
            observed=tuple(plain["observed"]),
            regrets=tuple(plain["regrets"]),
            asks_s=tuple(plain["asks_s"]),
            versions=plain.get("versions", {}),
        )
    except (json.JSONDecodeError, KeyError, TypeError):
        return None


def end_torn_line(path: Path) -> None:
    """Give the last line its end, so that what is appended is a line of its own."""
    if path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def list_missing(
    have: Iterable[tuple[str, str, int]],
    *,
    engines: Sequence[str],
    functions: Sequence[str],
    seeds: Sequence[int],
) -> list[tuple[str, str, list[int]]]:
    """Return what is still to be searched: engine, function, and the seeds that lack."""
    known = set(have)
    wanted = (
        (engine, function, [one for one in seeds if (engine, function, one) not in known])
        for function in functions
        for engine in engines
    )
    return [(engine, function, missing) for engine, function, missing in wanted if missing]
