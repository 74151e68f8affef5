"""Names of groups that can be told apart where there is little room. Pure."""

from __future__ import annotations

from collections.abc import Sequence

LONG_CHARS = 40
"""A value that is longer fills the room alone."""

LOOKED_AT, TELLING_MAX = 300, 8
"""Groups and rounds: more would take long and be read by nobody."""

SHOWN_MAX_CHARS = 60
KEPT_CHARS = 9
"""Of what is alike, before the first difference."""

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def order_by_difference(columns: Sequence[Sequence[str]]) -> list[int]:
    """Return the places of the columns in which groups differ, what tells most of them apart first.

    Parameters
    ----------
    columns : sequence of sequence of str
        The value of each group as it is shown. Each next column is the one that tells most groups
        apart that are still alike, of equally good ones that with shorter values; those that tell
        nothing more come last.

    Examples
    --------
    >>> order_by_difference([["a", "a", "a"], ["x", "x", "y"], ["1", "2", "3"]])
    [2, 1]
    """
    left = [place for place, values in enumerate(columns) if len(set(values)) > 1]
    seen = {place: columns[place][:LOOKED_AT] for place in left}
    told: Sequence[object] = [()] * len(seen[left[0]]) if left else []
    ordered: list[int] = []

    def judge(place: int) -> tuple[bool, int, int]:
        gain = len(set(zip(told, seen[place], strict=True)))
        width = max(map(len, seen[place]))
        return width <= LONG_CHARS, gain, -width

    while left and len(ordered) < TELLING_MAX and len(set(told)) < len(told):
        before = len(set(told))
        useful = [one for one in left if judge(one)[1] > before]
        if not useful:
            break
        best = max(useful, key=judge)
        told = [*zip(told, seen[best], strict=True)]
        ordered.append(best)
        left.remove(best)
    return ordered + left


def cut_alike(values: Sequence[str]) -> list[str]:
    """Return texts, long ones cut where they are alike and not where they differ.

    Examples
    --------
    >>> cut_alike(["lion", "x" * 80 + "a"])[0]
    'lion'
    >>> cut_alike(["/scratch/" * 9 + "a", "/scratch/" * 9 + "b"])
    ['…/scratch/a', '…/scratch/b']
    """
    long = [one for one in values if len(one) > SHOWN_MAX_CHARS]
    if not long:
        return list(values)
    # What the first and the last in order have in common, all have.
    ends = zip(min(values), max(values), strict=False)
    alike = next((at for at, (one, other) in enumerate(ends) if one != other), 0)
    start = max(0, alike - KEPT_CHARS)
    texts = [(ELLIPSIS if start else "") + one[start:] for one in values]
    return [
        one if len(one) <= SHOWN_MAX_CHARS else f"{one[:SHOWN_MAX_CHARS]}{ELLIPSIS}"
        for one in texts
    ]
