"""Which runs belong together: by their values of some columns. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hpctrack.analysis.samples import Numbers, Sample
from hpctrack_server.data.index.groups import is_seed as is_seed_name
from hpctrack_server.data.index.query import ColumnFacts
from hpctrack_server.data.labels import cut_alike, order_by_difference

GROUPS_MAX = 40
"""More cannot be told apart by eye; the largest are kept, and the page says so."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunGroup:
    """Runs that agree in all that matters.

    Parameters
    ----------
    id : str
        Of the values, the same in every session: addresses name a baseline by it.
    facts : tuple of (str, object)
        Column and value, of the columns in which the groups differ; what differs most first.
    runs : tuple of str
        Ids, of those with a number.
    sample : Sample
        Their numbers.
    without : int
        How many runs of it have no number.
    """

    id: str
    facts: tuple[tuple[str, Any], ...]
    runs: tuple[str, ...]
    sample: Sample
    without: int = 0


@dataclass(slots=True)
class _Rows:
    values: tuple[Any, ...]
    runs: list[str] = field(default_factory=list)
    numbers: list[float] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    without: int = 0


def is_seed(key: str) -> bool:
    """Tell whether a column says which random numbers a run drew, as the table of runs has it."""
    return key.startswith("config.") and is_seed_name(key)


def choose_keys_but_seed(columns: Sequence[ColumnFacts]) -> tuple[str, ...]:
    """Return the columns of the configuration, without seeds."""
    return tuple(
        one.key for one in columns if one.key.startswith("config.") and not is_seed(one.key)
    )


def guess_pair(columns: Sequence[ColumnFacts]) -> str:
    """Return the seed's column, if there is one."""
    seeds = [one for one in columns if is_seed(one.key)]
    return max(seeds, key=lambda one: one.count).key if seeds else ""


def group_runs(
    ids: Sequence[str],
    numbers: Sequence[Any],
    pairs: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
) -> list[RunGroup]:
    """Return the groups, the largest first.

    Parameters
    ----------
    ids : sequence of str
    numbers : sequence
        What is compared, one per run; what is no finite number does not count.
    pairs : sequence
        By what runs are paired; one per run, or empty.
    columns : mapping of str to sequence
        The values that make a group, one per run.
    """
    found: dict[tuple[str, ...], _Rows] = {}
    for at, run in enumerate(ids):
        values = tuple(column[at] for column in columns.values())
        rows = found.setdefault(tuple(map(_identify, values)), _Rows(values))
        number = numbers[at]
        if isinstance(number, (int, float)) and np.isfinite(float(number)):
            rows.runs.append(run)
            rows.numbers.append(float(number))
            rows.pairs.append(_identify(pairs[at]) if pairs else "")
        else:
            rows.without += 1
    names = list(columns)
    # A run without a number, which is not shown, makes no difference.
    rated = [one for one in found.values() if one.runs] or [*found.values()]
    told = [[_identify(one.values[at]) for one in rated] for at, _ in enumerate(names)]
    differing = order_by_difference(told)
    shown = [cut_alike([_show(one.values[at]) for one in found.values()]) for at in differing]
    groups = [
        _make_group(names, {at: shown[place][number] for place, at in enumerate(differing)}, *one)
        for number, one in enumerate(found.items())
    ]
    return sorted(groups, key=lambda one: -len(one.sample))


def thin_points(values: Numbers, limit: int) -> Numbers:
    """Return at most so many of the values, evenly spread over their order, with both ends."""
    if len(values) <= limit:
        return values
    ordered: Numbers = np.sort(values)
    spread = np.linspace(0, len(ordered) - 1, limit)
    return np.asarray(ordered[spread.round().astype(int)], dtype=np.float64)


def _make_group(
    names: Sequence[str], shown: Mapping[int, str], key: tuple[str, ...], rows: _Rows
) -> RunGroup:
    facts = tuple((names[at], rows.values[at]) for at in shown)
    label = ", ".join(f"{_shorten(names[at])}={told}" for at, told in shown.items()) or "all runs"
    whole = json.dumps([[name, part] for name, part in zip(names, key, strict=True)])
    return RunGroup(
        id=hashlib.blake2b(whole.encode("utf-8", "replace"), digest_size=5).hexdigest(),
        facts=facts,
        runs=tuple(rows.runs),
        sample=Sample(
            label=label, values=np.asarray(rows.numbers, dtype=np.float64), pairs=tuple(rows.pairs)
        ),
        without=rows.without,
    )


def _identify(value: Any) -> str:
    """Return a text that is the same for equal values: 1 and 1.0 are, 1 and True are not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{type(value).__name__}:{value!r}" if isinstance(value, bool) else repr(value)


def _shorten(name: str) -> str:
    return name.partition(".")[2] or name


def _show(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
