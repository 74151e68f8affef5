"""Which columns the table has. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

CONFIG_COLUMNS = 5
SUMMARY_COLUMNS = 5
PIN, SPARK = "!", "~"

TITLES = {
    "id": "Id", "name": "Name", "state": "State", "lost": "Lost", "user": "User",
    "created": "Created", "ended": "Ended", "duration": "Duration", "ranks": "Ranks",
    "nodes": "Nodes", "attempts": "Attempts", "tags": "Tags", "notes": "Notes",
    "group": "Group", "sweep": "Sweep", "trial": "Trial", "job_type": "Job type",
    "energy_wh": "Energy (Wh)",
    "slurm.partition": "Partition", "slurm.account": "Account", "slurm.qos": "QOS",
    "slurm.job_id": "Job", "slurm.nodelist": "Node list",
}  # fmt: skip

KINDS = {
    "name": "name", "state": "state", "created": "time", "duration": "duration", "tags": "tags",
    "notes": "notes", "id": "id", "sweep": "sweep",
}  # fmt: skip
"""Columns that are drawn in a way of their own."""

RESULTS = frozenset({"duration", "energy_wh"})

FINAL_WORDS = frozenset({"val", "valid", "validation", "test", "eval"})
RESULT_WORDS = ("loss", "acc", "score", "error", "f1", "auc", "reward")

ALWAYS = ("name", "state", "user", "created", "duration")
IF_ANY = ("slurm.partition", "ranks")
IF_DIFFERENT = ("nodes", "attempts", "lost")


class Known(Protocol):
    """A column that the runs of a project have, see `hpctrack_server.data.index.query`."""

    @property
    def key(self) -> str: ...  # noqa: D102 - a fact of the class

    @property
    def kind(self) -> str: ...  # noqa: D102

    @property
    def count(self) -> int: ...  # noqa: D102

    @property
    def distinct(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column.

    Parameters
    ----------
    key : str
        In a row; of a small drawing the metric's name.
    title : str
        Its heading.
    kind : str
        How its cells are drawn: ``name``, ``state``, ``time``, ``duration``, ``tags``, ``notes``,
        ``number``, ``spark``, else ``text``.
    area : str
        ``fact``, ``config``, ``summary``, ``slurm``.
    goal : str
        ``minimize`` or ``maximize`` of a metric, else empty.
    is_pinned : bool
        It stays in view when the table is moved sideways.
    """

    key: str
    title: str
    kind: str
    area: str = "fact"
    goal: str = ""
    is_pinned: bool = False

    @property
    def is_number(self) -> bool:
        """Whether it is aligned to the right."""
        return self.kind in {"number", "duration"}

    @property
    def metric(self) -> str:
        """The name of the metric that it is about; empty if it is about none."""
        if self.area != "summary":
            return ""
        return self.key if self.kind == "spark" else self.key.removeprefix("summary.")

    @property
    def is_compared(self) -> bool:
        """Whether a baseline says something about it: of a setting a difference is no result."""
        return self.is_number and (self.area == "summary" or self.key in RESULTS)

    @property
    def is_largest_first(self) -> bool:
        """Which way it is sorted first: of a loss the smallest is the best."""
        return (self.is_number or self.kind == "time") and self.goal != "minimize"

    @property
    def spec(self) -> str:
        """How the address names it."""
        pin = PIN if self.is_pinned and self.key != "name" else ""
        return pin + (SPARK if self.kind == "spark" else "") + self.key


def choose_columns(known: Iterable[Known], wanted: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns that were asked for, else those that most runs have.

    Parameters
    ----------
    known : iterable of Known
        What the project's runs have.
    wanted : sequence of str
        As the address names them; what no run has is an empty column, and not left out.
    """
    kinds = {one.key: one for one in known}
    specs = wanted or list_default_keys(kinds.values())
    columns = [_make_column(one, kinds) for one in specs]
    name = next((one for one in columns if one.kind == "name"), None)
    name = name or _make_column("name", kinds)
    rest = [one for one in columns if one.key != "name" or one.kind == "spark"]
    pinned = [one for one in rest if one.is_pinned]
    return (name, *pinned, *(one for one in rest if not one.is_pinned))


def list_default_keys(known: Iterable[Known]) -> list[str]:
    """Return the fixed columns and the configuration and summary keys that most runs have.

    Of keys that are equally common, those that differ between the runs come first: a column
    that says the same in every row helps nobody. Of metrics, those that look like a result come
    before gradients and timings.
    """
    found = {one.key: one for one in known}
    facts = [*ALWAYS, *(key for key in IF_ANY if key in found)]
    facts += [key for key in IF_DIFFERENT if key in found and found[key].distinct > 1]
    config = _choose(found.values(), "config.", CONFIG_COLUMNS)
    summary = _choose(found.values(), "summary.", SUMMARY_COLUMNS)
    return [*facts, *config, *summary, "tags"]


def _choose(known: Iterable[Known], prefix: str, limit: int) -> list[str]:
    found = [one for one in known if one.key.startswith(prefix) and one.count]
    # Stable: else as they came. Settings are in the order of the configuration already.
    worth = rate_result if prefix == "summary." else (lambda _key: 0)
    found.sort(key=lambda one: (-one.count, one.distinct <= 1, -worth(one.key)))
    return [one.key for one in found[:limit]]


def rate_result(key: str) -> int:
    """Return how much a metric looks like what a run is judged by; more is more."""
    words = set(re.split(r"[^a-z0-9]+", key.casefold()))
    is_result = any(part in word for word in words for part in RESULT_WORDS)
    return 3 * bool(words & FINAL_WORDS) + 2 * is_result - 4 * ("system" in words)


def _make_column(spec: str, known: dict[str, Known]) -> Column:
    is_pinned = spec.startswith(PIN)
    key = spec.removeprefix(PIN)
    if key.startswith(SPARK):
        metric = key.removeprefix(SPARK)
        return Column(key=metric, title=metric, kind="spark", area="summary", is_pinned=is_pinned)
    area, _, rest = key.partition(".")
    area = area if rest and area in {"config", "summary", "slurm"} else "fact"
    found = known[key].kind if key in known else "text"
    kind = KINDS.get(key) or (found if found in {"number", "time"} else "text")
    return Column(
        key=key,
        title=TITLES.get(key) or (rest if area != "fact" else key.replace("_", " ").capitalize()),
        kind=kind,
        area=area,
        is_pinned=is_pinned or key == "name",
    )
