"""Which rows of a table to read when there are more than anybody wants to look at. Pure."""

from __future__ import annotations

from collections.abc import Callable

BLOCK_ROWS = 2048


def spread_blocks(
    start: int, stop: int, limit: int, *, block: int = BLOCK_ROWS
) -> list[tuple[int, int]]:
    """Choose blocks of rows, evenly spread; the last rows are always among them.

    Parameters
    ----------
    start, stop : int
        The rows there are.
    limit : int
        How many to read at most; if there are no more, all are chosen.
    block : int, optional
        Rows of a block, at most.

    Returns
    -------
    list of (int, int)
        From the first on, below the second; increasing, without overlap.
    """
    total = stop - start
    if total <= 0 or limit <= 0:
        return []
    if total <= limit:
        return [(at, min(at + block, stop)) for at in range(start, stop, block)]
    block = min(block, limit)
    count = max(1, limit // block)
    if count == 1:
        return [(stop - block, stop)]
    last = stop - block
    starts = [start + (last - start) * number // (count - 1) for number in range(count)]
    return [(at, at + block) for at in starts]


def find_first(start: int, stop: int, is_late: Callable[[int], bool]) -> int:
    """Return the first row for which something is so that stays so; ``stop`` if there is none.

    Parameters
    ----------
    is_late : callable
        Asked for a few rows only, the count of halvings.
    """
    while start < stop:
        middle = (start + stop) // 2
        if is_late(middle):
            stop = middle
        else:
            start = middle + 1
    return start
