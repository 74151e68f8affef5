"""The ranks of a run at a glance: who is well, who is not, where and why. Pure."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

CELLS_MAX = 1024
"""Squares that a screen has room for; beyond it a square stands for several ranks."""

PROBLEMS_MAX = 200
BADNESS = ("finished", "running", "lost", "failed")
SIGNAL_BASE = 128
"""Shells report a process killed by signal n as 128 + n."""


class Rank(Protocol):
    """What the strip needs to know of a rank."""

    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def exit_code(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Cell:
    """One square: a rank, or several neighbours shown as the worst of them."""

    state: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStrip:
    """What the strip shows.

    Parameters
    ----------
    cells : tuple of Cell
    sentence : str
        The same in words.
    problems : tuple of (rank, reason)
        Ranks that failed or were lost, at most 200.
    hidden_problems : int
        How many more there are.
    """

    cells: tuple[Cell, ...]
    sentence: str
    problems: tuple[tuple[Rank, str], ...]
    hidden_problems: int


def make_rank_strip(ranks: Sequence[Rank], size: int) -> RankStrip:
    """Sum up the ranks.

    Parameters
    ----------
    ranks : sequence
        Those that have been heard of, by number.
    size : int
        How many the launcher announced.
    """
    per_cell = max(1, -(-len(ranks) // CELLS_MAX))
    groups = [ranks[start : start + per_cell] for start in range(0, len(ranks), per_cell)]
    bad = [(one, explain_end(one)) for one in ranks if str(one.state) in {"failed", "lost"}]
    return RankStrip(
        cells=tuple(_make_cell(group) for group in groups),
        sentence=_make_sentence(ranks, size),
        problems=tuple(bad[:PROBLEMS_MAX]),
        hidden_problems=max(0, len(bad) - PROBLEMS_MAX),
    )


def explain_end(rank: Rank) -> str:
    """Say in words how a rank ended."""
    code = rank.exit_code
    if code is None:
        return "gone without a word" if str(rank.state) == "lost" else ""
    number = -code if code < 0 else code - SIGNAL_BASE
    try:
        return f"exit code {code} ({signal.Signals(number).name})"
    except ValueError:
        return f"exit code {code}"


def _make_cell(group: Sequence[Rank]) -> Cell:
    worst = max(group, key=lambda one: BADNESS.index(str(one.state)))
    numbers = str(group[0].rank)
    if len(group) > 1:
        numbers += f" to {group[-1].rank}, the worst of them"
    return Cell(str(worst.state), f"rank {numbers}: {worst.state}, on {worst.host}")


def _make_sentence(ranks: Sequence[Rank], size: int) -> str:
    counts = Counter(str(one.state) for one in ranks)
    silent = size - len(ranks)
    parts = [f"{counts[state]:,} {state}" for state in reversed(BADNESS) if counts[state]]
    if silent > 0:
        parts.append(f"{silent:,} not heard of")
    return ", ".join(parts) or "none yet"
