"""Sizes as people write them: ``50GB``, ``1.5 TiB``."""

from __future__ import annotations

import re
from typing import Any

import click

_FACTORS = {
    "": 1,
    **{letter: 1000 ** (number + 1) for number, letter in enumerate("kmgtp")},
    **{f"{letter}i": 1024 ** (number + 1) for number, letter in enumerate("kmgtp")},
}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d*)?)\s*(?P<unit>(?:[kmgtp]i?)?)b?\Z")


def parse_bytes(text: str) -> int | None:
    """Return a number of bytes; None if it cannot be understood.

    Examples
    --------
    >>> parse_bytes("50GB"), parse_bytes("1.5 TiB"), parse_bytes("2k"), parse_bytes("big")
    (50000000000, 1649267441664, 2000, None)
    """
    found = _SIZE.match(text.strip().lower())
    return int(float(found["number"]) * _FACTORS[found["unit"]]) if found else None


class ByteSize(click.ParamType[int]):
    """A number of bytes on the command line."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        found = value if isinstance(value, int) else parse_bytes(str(value))
        if found is None:
            self.fail(f"{value!r} is no size; write 50GB, 1.5TiB or 1000000", param, ctx)
        return found
