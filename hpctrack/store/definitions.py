"""What ``define_metric`` said, applied when a run is read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpctrack.client.definitions import SUMMARIES, Definition

if TYPE_CHECKING:
    from hpctrack.store.columns import Columns
    from hpctrack.store.schema import FloatArray, IntArray


def join_definitions(said: Iterable[Mapping[str, Any]]) -> tuple[Definition, ...]:
    """Put together what was said of each name, the last word last.

    Parameters
    ----------
    said : iterable of mapping
        Bodies of `EventKind.DEFINE` events; what makes no sense is passed over.
    """
    found: dict[str, Definition] = {}
    for one in said:
        name = str(one.get("name", ""))
        if not name:
            continue
        before = None if one.get("overwrite") else found.get(name)
        found[name] = _apply(before or Definition(name), one)
    return tuple(found.values())


def _apply(definition: Definition, said: Mapping[str, Any]) -> Definition:
    changes: dict[str, Any] = {
        key: kind(said[key])
        for key, kind in (("step_metric", str), ("goal", str), ("hidden", bool))
        if key in said
    }
    if isinstance(said.get("summary"), (list, tuple)):
        changes["summary"] = tuple(one for one in said["summary"] if one in SUMMARIES)
    return replace(definition, **changes)


def find_definition(definitions: Sequence[Definition], name: str) -> Definition:
    """Return how a metric is to be read: its own definition, else the longest glob's that fits."""
    best = Definition(name)
    best_size = -1
    for one in definitions:
        if one.name == name:
            return one
        stem = one.name[:-1]
        if one.name.endswith("*") and name.startswith(stem) and len(stem) > best_size:
            best, best_size = replace(one, name=name), len(stem)
    # A glob that takes in its own step metric does not mean to draw that against itself.
    return replace(best, step_metric="") if best.step_metric == name else best


def leave_out_hidden(definitions: Sequence[Definition], names: Iterable[str]) -> list[str]:
    """Return the names that nobody has said to be hidden."""
    if not any(one.hidden for one in definitions):
        return list(names)
    return [name for name in names if not find_definition(definitions, name).hidden]


def summarize(
    metrics: Mapping[str, Columns], definitions: Sequence[Definition] = ()
) -> dict[str, Any]:
    """Return each metric's summary over the points of the lowest rank that logged it.

    Parameters
    ----------
    metrics : mapping of str to Columns
        All points; superseded ones are left out here.
    definitions : sequence of Definition
        Without one, a metric's summary is its value at the highest step.

    Returns
    -------
    dict
        A number, or ``{"min": ..., "max": ...}`` where several were asked for; nothing for a
        metric whose summary is ``none``.
    """
    import numpy as np  # noqa: PLC0415 - who only reads what was said stays small

    found: dict[str, Any] = {}
    for name, columns in metrics.items():
        wanted = find_definition(definitions, name) if definitions else Definition(name)
        kinds = [one for one in wanted.summary or ("last",) if one != "none"]
        current = columns.current()
        if not len(current) or not kinds:
            continue
        # Columns are sorted by rank: the first ones are the lowest rank's.
        count = int(np.searchsorted(current.rank, current.rank[0], side="right"))
        steps, values = current.step[:count], current.value[:count]
        each = {kind: _aggregate(kind, steps, values, wanted.goal) for kind in kinds}
        found[name] = each[kinds[0]] if len(kinds) == 1 else each
    return found


def _aggregate(kind: str, steps: IntArray, values: FloatArray, goal: str) -> float:
    """Return one value of a series; NaN does not count where another value does."""
    import numpy as np  # noqa: PLC0415 - as in `summarize`

    if kind == "last":
        # Of several values at the highest step the one that was logged last.
        return float(values[len(steps) - 1 - int(np.argmax(steps[::-1]))])
    if kind == "first":
        return float(values[int(np.argmin(steps))])
    if kind == "best":
        kind = "max" if goal == "maximize" else "min"
    finite = values[~np.isnan(values)]
    if not len(finite):
        return float("nan")
    return float(getattr(np, kind)(finite))
