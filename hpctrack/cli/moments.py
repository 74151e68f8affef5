"""Moments as people write them: ``2026-11-28``, ``2026-11-28 14:00``, ``90m``, ``2d``."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import click

_AGO = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Moment(click.ParamType[dt.date]):
    """A date, or a date and a time, on the command line."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.date:
        """Return a date, or a datetime if a time was given."""
        if isinstance(value, dt.date):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            pass
        try:
            return dt.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date; write 2027-01-31 or 2027-01-31T18:00", param, ctx)


class Since(click.ParamType[float | dt.date]):
    """How long ago, or since when; the command gets a number of seconds ago, or a date."""

    name = "since"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | dt.date:
        """Return seconds ago, or a date."""
        if isinstance(value, (float, dt.date)):
            return value
        ago = _AGO.match(str(value).strip())
        if ago:
            return float(ago["number"]) * _SECONDS[ago["unit"]]
        try:
            return Moment().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no time; write 90m, 2d or 2026-11-28", param, ctx)


def find_wall_s(since: float | dt.date, now_wall_s: float) -> float:
    """Return the moment in seconds since 1970."""
    if isinstance(since, dt.datetime):
        return since.timestamp()
    if isinstance(since, dt.date):
        return dt.datetime(since.year, since.month, since.day).astimezone().timestamp()
    return now_wall_s - since
