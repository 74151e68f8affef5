"""Numbers with units, dates and times in a filter. Pure."""

from __future__ import annotations

import datetime as dt
import math
import re

from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.tokens import Kind, Token
from hpctrack_server.language.tree import Value, ValueKind

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0

DURATIONS = {
    "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": MINUTE_S, "min": MINUTE_S, "h": HOUR_S, "hr": HOUR_S,
    "d": DAY_S, "w": 7 * DAY_S, "y": 365 * DAY_S,
}  # fmt: skip

FACTORS = {
    "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50,
    "%": 1e-2, "Wh": 1.0, "kWh": 1e3, "MWh": 1e6,
}  # fmt: skip

_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_PART = re.compile(r"(\d+)([A-Za-z]+)")


def read_number(token: Token) -> Value:
    """Return ``1e-3``, ``2h30m``, ``-7d``, ``10GiB`` or ``95%`` as a value.

    Raises
    ------
    QueryError
        The unit is unknown, or the number is too large.
    """
    found = _NUMBER.match(token.text)
    if found is None:
        raise QueryError(f"{token.text[:40]!r} is no number", at=token.at, end=token.end)
    digits, unit = found[0].replace("_", ""), token.text[found.end() :]
    number: float | int
    try:
        number = float(digits) if re.search(r"[.eE]", digits) else int(digits)
    except ValueError:  # more digits than Python reads
        number = math.inf
    if isinstance(number, int) and abs(number) >= 2**63:
        number = float(number) if len(digits) < 300 else math.inf  # noqa: PLR2004 - a float's range
    if not math.isfinite(number):
        raise QueryError("the number is too large", at=token.at, end=token.end)
    if not unit:
        return Value(ValueKind.NUMBER, number, token.at, token.end)
    if unit in FACTORS:
        value = number / 100 if unit == "%" else number * FACTORS[unit]
        return Value(ValueKind.NUMBER, value, token.at, token.end)
    return _read_duration(token, number, unit, at=token.at + found.end())


def _read_duration(token: Token, number: float, unit: str, *, at: int) -> Value:
    first = re.match(r"[A-Za-z%]+", unit)
    parts = [(1.0, first[0])] if first else []
    parts += [(float(count), one) for count, one in _PART.findall(unit)]
    for _count, one in parts:
        if one not in DURATIONS:
            raise QueryError(
                f"{one!r} is no unit", at=at, end=token.end,
                hint="durations have s, m, h, d, w; sizes kB, MB, GB or KiB, MiB, GiB",
            )  # fmt: skip
    rest_s = sum(count * DURATIONS[one] for count, one in parts[1:])
    seconds = abs(number) * DURATIONS[parts[0][1]] + rest_s
    is_negative = token.text.startswith("-")
    return Value(ValueKind.DURATION, -seconds if is_negative else seconds, token.at, token.end)


def read_date(token: Token) -> Value:
    """Return a date, which lasts a day, or a time; in UTC, unless it has a zone.

    Raises
    ------
    QueryError
        There is no such day or time.
    """
    wall_s = parse_time(token.text)
    if wall_s is None:
        raise QueryError(
            f"there is no such time as {token.text!r}", at=token.at, end=token.end,
            hint="write 2026-05-01 or 2026-05-01T12:00",
        )  # fmt: skip
    span_s = DAY_S if len(token.text) == len("2026-05-01") else 0.0
    return Value(ValueKind.TIME, wall_s, token.at, token.end, span_s)


def parse_time(text: str) -> float | None:
    """Return a date or time as UTC seconds, or None if it is none.

    Examples
    --------
    >>> parse_time("1970-01-02"), parse_time("1970-01-01T01:00+01:00"), parse_time("soon")
    (86400.0, 0.0, None)
    """
    try:
        moment = dt.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def read_named_time(token: Token, now_wall_s: float) -> Value:
    """Return ``now``, ``today`` or ``yesterday``."""
    midnight_s = now_wall_s - now_wall_s % DAY_S
    found = {
        "now": (now_wall_s, 0.0), "today": (midnight_s, DAY_S),
        "yesterday": (midnight_s - DAY_S, DAY_S),
    }  # fmt: skip
    wall_s, span_s = found[token.text]
    return Value(ValueKind.TIME, wall_s, token.at, token.end, span_s)


def read_value(token: Token, now_wall_s: float) -> Value | None:
    """Return what a token stands for, or None if it is no value.

    Raises
    ------
    QueryError
        It is one that cannot be.
    """
    if token.kind == Kind.NUMBER:
        return read_number(token)
    if token.kind == Kind.DATE:
        return read_date(token)
    if token.kind == Kind.TEXT:
        return Value(ValueKind.TEXT, token.text, token.at, token.end)
    if token.kind == Kind.KEYWORD and token.text in {"true", "false"}:
        return Value(ValueKind.FLAG, token.text == "true", token.at, token.end)
    if token.kind == Kind.KEYWORD and token.text in {"now", "today", "yesterday"}:
        return read_named_time(token, now_wall_s)
    return None
