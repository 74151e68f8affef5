"""Several runs side by side: what is the same, what differs, and by how much. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpctrack_server.components.run.patch import PatchFile
from hpctrack_server.components.text import format_number, format_value, is_number

TITLES = {
    "config": "Configuration",
    "summary": "Summary",
    "command": "Command",
    "git": "Git",
    "packages": "Packages",
    "modules": "Modules",
    "environment": "Environment",
    "job": "Job",
    "hardware": "Hardware",
    "libraries": "Libraries",
    "container": "Container",
}

ABSENT = "(none)"
LARGE_SHARE = 10.0
"""More than so many times the base is told as a factor."""


class Compared(Protocol):
    """One thing of several runs, as the store compares them."""

    @property
    def section(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def values(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def is_same(self) -> bool: ...  # noqa: D102
    @property
    def is_text(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of one run; ``delta`` is against the first one, in words."""

    text: str
    title: str = ""
    delta: str = ""
    is_changed: bool = False
    is_absent: bool = False
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class DiffRow:
    """A line of the table; ``patches`` are of texts, by the run's place."""

    key: str
    cells: tuple[Cell, ...]
    is_same: bool
    is_text: bool = False
    patches: tuple[tuple[int, tuple[PatchFile, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """What belongs together."""

    name: str
    title: str
    rows: tuple[DiffRow, ...] = field(default=())

    @property
    def differing(self) -> int:
        """How many lines differ."""
        return sum(not one.is_same for one in self.rows)


Patches = Mapping[tuple[str, str], Sequence[tuple[int, tuple[PatchFile, ...]]]]
"""By section and key of a text: what differs from the first run's, by the run's place."""


def make_sections(rows: Sequence[Compared], patches: Patches) -> tuple[Section, ...]:
    """Return the table by sections, in their order."""
    found: dict[str, list[DiffRow]] = {}
    for one in rows:
        made = make_row(one, tuple(patches.get((one.section, one.key), ())))
        found.setdefault(one.section, []).append(made)
    return tuple(
        Section(name, TITLES.get(name, name.capitalize()), tuple(lines))
        for name, lines in found.items()
    )


def make_row(one: Compared, patches: tuple[tuple[int, tuple[PatchFile, ...]], ...]) -> DiffRow:
    """Return a line."""
    base = one.values[0]
    cells = tuple(_make_cell(value, base, is_text=one.is_text) for value in one.values)
    return DiffRow(one.key, cells, one.is_same, one.is_text, patches)


def _make_cell(value: Any, base: Any, *, is_text: bool) -> Cell:
    if isinstance(value, str) and value == ABSENT:
        return Cell("\N{EN DASH}", "not there", is_changed=base != ABSENT, is_absent=True)
    is_changed = repr(value) != repr(base) and not _is_equal_number(value, base)
    if is_text:
        lines = str(value).count("\n") + 1 if value else 0
        return Cell(f"{lines:,} line{'s' * (lines != 1)}", is_changed=is_changed)
    return Cell(
        format_value(value),
        str(value)[:1000],
        delta=describe_delta(value, base) if is_changed else "",
        is_changed=is_changed,
        is_number=is_number(value),
    )


def _is_equal_number(value: Any, base: Any) -> bool:
    return is_number(value) and is_number(base) and bool(value == base)


def describe_delta(value: Any, base: Any) -> str:
    """Say how far a number is from another; nothing for what is none.

    Examples
    --------
    >>> describe_delta(0.9, 0.6), describe_delta(5, 0), describe_delta("a", 1)
    ('+0.3 (+50 %)', '+5', '')
    """
    if not (is_number(value) and is_number(base)):
        return ""
    try:
        value, base = float(value), float(base)
    except OverflowError:  # a whole number can be too large for a float
        return ""
    step = value - base
    if not math.isfinite(step) or step == 0:
        return ""
    # 0.30000000000000004 helps nobody.
    shown = ("+" if step > 0 else "\N{MINUS SIGN}") + format_number(float(f"{abs(step):.6g}"))
    if not base:
        return shown
    share = step / abs(base)
    if abs(share) >= LARGE_SHARE:
        factor = value / base
        return f"{shown} ({format_number(float(f'{factor:.3g}'))} \N{MULTIPLICATION SIGN})"
    return f"{shown} ({_percent(share)})"


def _percent(share: float) -> str:
    sign = "+" if share > 0 else "\N{MINUS SIGN}"
    return f"{sign}{100 * abs(share):.3g} %"
