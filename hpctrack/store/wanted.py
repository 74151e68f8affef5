"""Which run a user means: the same rule wherever one is asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from hpctrack.errors import UsageError

NAMED_MAX = 6
"""Runs that a message names."""


class Identified(Protocol):
    """A run as far as this rule needs it."""

    @property
    def project(self) -> str:
        """Its project."""
        ...

    @property
    def id(self) -> str:
        """Its id."""
        ...


Run = TypeVar("Run", bound=Identified)


def split_wanted(wanted: str, project: str | None) -> tuple[str, str | None]:
    """Return what is asked for and the project, which may stand before it: ``project/id``."""
    head, slash, tail = wanted.partition("/")
    return (tail, head) if slash else (wanted, project)


def iter_meant(
    runs: Sequence[Run], wanted: str, *, name_of: Callable[[Run], str]
) -> Iterator[list[Run]]:
    """Yield the runs that are meant, the surest first: by id, by name, by an id's beginning.

    Parameters
    ----------
    runs : sequence
        All that there are.
    wanted : str
    name_of : callable
        Asked only if no id is the one; empty for a run whose name is not known.
    """
    yield [one for one in runs if one.id == wanted]
    yield [one for one in runs if name_of(one) == wanted]
    yield [one for one in runs if one.id.startswith(wanted)]


def choose_one(found: Sequence[Run], wanted: str) -> Run:
    """Return the only one.

    Raises
    ------
    UsageError
        There are several; the hint names some.
    """
    if len(found) > 1:
        names = ", ".join(f"{one.project}/{one.id}" for one in found[:NAMED_MAX])
        raise UsageError(f"{wanted!r} means {len(found)} runs", hint=f"say which: {names}")
    return found[0]
