"""What the compare page is about: which runs, their order of colours, and which metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack_server.components.text import is_number
from hpctrack_server.data.index.query import RunQuery, Scope, SortKey

RUNS_DEFAULT = 20
RUNS_MAX = 10_000
"""A rail of more runs would be longer than anybody scrolls; the filter finds the others."""

FACTS = ("id", "name", "state", "created", "user")
"""What the rail shows of a run, beside one value of the reader's choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsWanted:
    """What an address asks for.

    Parameters
    ----------
    query : RunQuery
    value_key : str
        The column that the rail shows; empty for none.
    """

    query: RunQuery
    value_key: str = ""

    @classmethod
    def parse(cls, arguments: Mapping[str, str], picked: Sequence[str] = ()) -> RunsWanted:
        """Read the parameters of an address: ``runs``, or ``filter, search, sort, limit``.

        Parameters
        ----------
        arguments : mapping
        picked : sequence of str, optional
            Ids that were too many for an address.
        """
        named = picked or arguments.get("runs", "").split(",")
        ids = tuple(dict.fromkeys(one for one in named if one))
        limit = arguments.get("limit", "")
        is_count = limit.isascii() and limit.isdigit() and len(limit) < 9  # noqa: PLR2004
        count = int(limit) if is_count else RUNS_DEFAULT
        query = RunQuery(
            filter=arguments.get("filter", ""),
            search=arguments.get("search", ""),
            ids=ids[:RUNS_MAX],
            sort=SortKey.parse(arguments.get("sort", "")),
            count=min(len(ids), RUNS_MAX) if ids else max(1, min(count, RUNS_MAX)),
            # Who names a run, as a run's own page does, means it: archived ones too.
            scope=Scope.ALL if ids else Scope.ACTIVE,
        )
        return cls(query=query, value_key=arguments.get("value", ""))


def describe_run(row: Mapping[str, Any], value_key: str, stamp: str = "") -> dict[str, Any]:
    """Return a run as the rail needs it.

    ``value`` is a number, a text, or None; ``stamp`` tells when its charts are old.
    """
    described = {key: row.get(key) for key in FACTS}
    value = row.get(value_key) if value_key else None
    described["stamp"] = stamp
    described["value"] = value if is_number(value) or value is None else str(value)
    return described


def choose_value_key(metrics: list[str], keys: set[str]) -> str:
    """Return the column that tells most about a run: a validation metric, else a loss.

    Parameters
    ----------
    metrics : list of str
        Names of metrics.
    keys : set of str
        Columns that some run has.
    """
    there = [name for name in metrics if f"summary.{name}" in keys]
    words = ("val", "eval", "test", "loss", "acc", "score", "reward")
    for word in words:
        for name in there:
            if word in name.casefold():
                return f"summary.{name}"
    return f"summary.{there[0]}" if there else ""
