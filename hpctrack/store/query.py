"""Choosing and ordering runs: W&B's filter dictionaries, over our keys. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpctrack.errors import UsageError
from hpctrack.store.definitions import find_definition

if TYPE_CHECKING:
    from hpctrack.store.stored_run import StoredRun

Matcher = Callable[["StoredRun"], bool]

_MISSING = object()

_FACTS: dict[str, Callable[[StoredRun], Any]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "project": lambda run: run.project,
    "state": lambda run: str(run.state),
    "user": lambda run: run.plain_brief.user,
    "group": lambda run: run.plain_brief.group,
    "job_type": lambda run: run.plain_brief.job_type,
    "sweep": lambda run: run.plain_brief.sweep,
    "trial": lambda run: run.plain_brief.trial,
    "tags": lambda run: list(run.brief.tags),
    "size": lambda run: run.plain_brief.size,
    "created": lambda run: run.plain_brief.created_wall_s,
    "created_at": lambda run: run.plain_brief.created_wall_s,
    "ended": lambda run: run.plain_brief.ended_wall_s,
    "display_name": lambda run: run.name,
    "fork": lambda run: str(run.plain_brief.fork.get("run", "")),
    "attempts": lambda run: run.plain_brief.attempts,
    "archived": lambda run: run.archived,
    "deleted": lambda run: run.deleted,
}

_ALIASES = {
    "displayName": "name",
    "createdAt": "created",
    "jobType": "job_type",
    "username": "user",
}
"""W&B's other words for the same."""

_TIMES = frozenset({"created", "created_at", "ended"})
"""Keys that are seconds, and may be compared with a date as text too."""

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda have, want: bool(have == want),
    "$ne": lambda have, want: bool(have != want),
    "$gt": lambda have, want: have is not _MISSING and bool(have > want),
    "$gte": lambda have, want: have is not _MISSING and bool(have >= want),
    "$lt": lambda have, want: have is not _MISSING and bool(have < want),
    "$lte": lambda have, want: have is not _MISSING and bool(have <= want),
    "$in": lambda have, want: any(_equals(have, one) for one in want),
    "$nin": lambda have, want: not any(_equals(have, one) for one in want),
    "$exists": lambda have, want: (have is not _MISSING) == bool(want),
    "$regex": lambda have, want: isinstance(have, str) and re.search(want, have) is not None,
}

_JOINS = ("$and", "$or", "$nor")


def lookup(run: StoredRun, key: str) -> Any:
    """Return what a key means for a run, or a marker that equals nothing.

    Keys are ``state``, ``user`` and so on, ``config.a.b``, ``summary.val/acc`` and, where the
    summary of a metric was defined, ``summary.loss.min``.
    """
    head, _, rest = key.partition(".")
    if head in {"summary", "summary_metrics"} and rest:
        return _look_into_summary(run, rest)
    if head == "config" and rest:
        return _dig(run.config, rest)
    key = _ALIASES.get(key, key)
    if key not in _FACTS:
        known = ", ".join(_FACTS)
        raise UsageError(f"unknown key {key!r}", hint=f"use config.X, summary.X or one of {known}")
    return _FACTS[key](run)


def _dig(values: Mapping[str, Any], path: str) -> Any:
    """Return a nested value; a key that holds the dots itself counts too."""
    value: Any = values
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return values.get(path, _MISSING)
        value = value[part]
    return value


def _look_into_summary(run: StoredRun, path: str) -> Any:
    """Return a summary value; ``loss.min`` also where a definition asks for the minimum alone."""
    found = _dig(run.summary, path)
    name, dot, kind = path.rpartition(".")
    if found is _MISSING and dot and name in run.summary:
        definition = find_definition(run.plain_brief.definitions, name)
        if definition.summary == (kind,):
            return run.summary[name]
    return found


def compile_filter(wanted: Mapping[str, Any] | Matcher | None) -> Matcher:
    """Turn a filter into a function of a run.

    Raises
    ------
    UsageError
        An operator or key is unknown.
    """
    if wanted is None:
        return lambda _run: True
    if not isinstance(wanted, Mapping):
        if callable(wanted):
            return wanted
        raise UsageError(
            f"a filter is a mapping or a function, not {type(wanted).__name__}",
            hint="one project's runs are runs(project=...)",
        )
    parts = [_compile_entry(key, value) for key, value in wanted.items()]
    return lambda run: all(part(run) for part in parts)


def _compile_entry(key: str, value: Any) -> Matcher:
    if key in _JOINS:
        parts = [compile_filter(one) for one in value]
        if key == "$nor":
            return lambda run: not any(part(run) for part in parts)
        join = all if key == "$and" else any
        return lambda run: join(part(run) for part in parts)
    if key == "$not":
        inner = compile_filter(value)
        return lambda run: not inner(run)
    if key.startswith("$"):
        _operator(key)  # says which there are
    key = _ALIASES.get(key, key)
    if isinstance(value, Mapping) and any(str(one).startswith("$") for one in value):
        tests = [_compile_test(key, name, operand) for name, operand in value.items()]
        return lambda run: all(test(run) for test in tests)
    want = _read_operand(key, "$eq", value)
    return lambda run: _equals(lookup(run, key), want)


def _compile_test(key: str, name: str, operand: Any) -> Matcher:
    if name == "$not":
        inner = _compile_entry(key, operand)
        return lambda run: not inner(run)
    test, want = _operator(name), _read_operand(key, name, operand)
    return lambda run: _test(test, lookup(run, key), want)


def _read_operand(key: str, name: str, operand: Any) -> Any:
    """Return what to compare with; a date becomes seconds, and nonsense an error."""
    if name in {"$in", "$nin"}:
        if isinstance(operand, str) or not isinstance(operand, Iterable):
            raise UsageError(f"{name} of {key!r} has {operand!r:.40}", hint="give a list")
        return [_read_operand(key, "$eq", one) for one in operand]
    try:
        if name == "$regex":
            re.compile(operand)
        elif key in _TIMES and isinstance(operand, str):
            return dt.datetime.fromisoformat(operand).timestamp()
    except (re.error, TypeError, ValueError) as error:
        raise UsageError(
            f"{name} of {key!r} has {operand!r:.40}: {error}",
            hint="give a pattern" if name == "$regex" else "write 2026-05-01T12:00, or seconds",
        ) from None
    return operand


def _operator(name: str) -> Callable[[Any, Any], bool]:
    if name not in _OPERATORS:
        known = ", ".join([*_OPERATORS, *_JOINS, "$not"])
        raise UsageError(f"unknown operator {name!r}", hint=f"use one of {known}")
    return _OPERATORS[name]


def _test(test: Callable[[Any, Any], bool], have: Any, want: Any) -> bool:
    try:
        return test(have, want)
    except TypeError:
        return False  # a text is neither above nor below a number


def _equals(have: Any, want: Any) -> bool:
    if isinstance(have, list) and not isinstance(want, list):
        return want in have
    return bool(have == want)


def compile_order(order: str | None) -> Callable[[Sequence[StoredRun]], list[StoredRun]]:
    """Turn ``-created`` and the like into a function that sorts runs."""
    text = order or "-created"
    is_descending = text.startswith("-")
    key = text.lstrip("+-")

    def sort(runs: Sequence[StoredRun]) -> list[StoredRun]:
        found = [(lookup(run, key), run) for run in runs]
        with_key = [(value, run) for value, run in found if _is_sortable(value)]
        without = [run for value, run in found if not _is_sortable(value)]
        with_key.sort(key=lambda one: (isinstance(one[0], str), one[0]), reverse=is_descending)
        return [run for _value, run in with_key] + without

    return sort


def _is_sortable(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, (int, float)) and value == value)  # noqa: PLR0124 - NaN
