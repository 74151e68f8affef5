"""Reading parameters of an address."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TypeVar

from hpctrack.errors import UsageError
from hpctrack_server.pages.guarded import Guarded

Choice = TypeVar("Choice", bound=StrEnum)

SHOWN_CHARS = 40


class Asked(Guarded):
    """A request whose parameters are numbers, choices and names."""

    def name(self, name: str) -> str:
        """Return a parameter with the blanks at its ends: a metric's name may have them."""
        value = self.get_query_argument(name, "", strip=False)
        if not value:
            raise UsageError(f"the parameter {name!r} is missing")
        return value

    def number(self, name: str) -> float | None:
        """Return a finite number, or None if it is not there."""
        value = self.query(name)
        if not value:
            return None
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise UsageError(f"the parameter {name!r} is {value[:SHOWN_CHARS]!r}, not a number")
        return found

    def whole(self, name: str, default: int, *, low: int, high: int) -> int:
        """Return a whole number, no further than two limits."""
        found = self.number(name)
        return default if found is None else int(min(max(found, low), high))

    def choice(self, kind: type[Choice], name: str, default: Choice) -> Choice:
        """Return one of a few words."""
        value = self.query(name, default)
        try:
            return kind(value)
        except ValueError:
            raise UsageError(
                f"the parameter {name!r} is {value[:SHOWN_CHARS]!r}",
                hint=f"use one of {', '.join(kind)}",
            ) from None

    def send_arrays(self, body: bytes) -> None:
        """Answer with the bytes of `data.matrix.packing`."""
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(body)
