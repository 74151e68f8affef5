"""Counts as people read them."""

from __future__ import annotations


def show_count(number: int, noun: str) -> str:
    """Return ``1 run`` or ``2,000 runs``.

    Examples
    --------
    >>> show_count(1, "rank"), show_count(2000, "step")
    ('1 rank', '2,000 steps')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
