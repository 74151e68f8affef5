"""Which columns a filter asks for, and whether there are such. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hpctrack_server.language.errors import QueryError, find_nearest
from hpctrack_server.language.tokens import quote_name
from hpctrack_server.language.tree import And, Column, Compare, Condition, Not, Or


def iter_columns(condition: Condition) -> Iterator[tuple[Column, bool]]:
    """Yield the columns of a filter, and whether each could have been meant as a text."""
    if isinstance(condition, Not):
        yield from iter_columns(condition.part)
    elif isinstance(condition, (And, Or)):
        for one in condition.parts:
            yield from iter_columns(one)
    else:
        yield condition.column, False
        if isinstance(condition, Compare) and isinstance(condition.value, Column):
            yield condition.value, True


def check_columns(condition: Condition, known: Collection[str]) -> None:
    """Refuse a filter that asks for a column that no run has.

    Raises
    ------
    QueryError
        There is none; the hint names the nearest ones.
    """
    for column, is_operand in iter_columns(condition):
        if column.key in known:
            continue
        if is_operand:
            raise QueryError(
                f"no run has a column {column.key[:80]!r}", at=column.at, end=column.end,
                hint=f'put text in quotes: "{column.key[:40]}"',
            )  # fmt: skip
        raise no_such_column(column.key, known, at=column.at, end=column.end)


def no_such_column(key: str, known: Collection[str], *, at: int = 0, end: int = 0) -> QueryError:
    """Return the error about a column that no run has."""
    nearest = " or ".join(quote_name(one) for one in find_nearest(key, known))
    hint = f"did you mean {nearest}?" if nearest else "columns are state, config.X, summary.X, ..."
    return QueryError(f"no run has a column {key[:80]!r}", at=at, end=end, hint=hint)
