"""What pages that listen are told."""

from __future__ import annotations

import json
from typing import NamedTuple


class Event(NamedTuple):
    """One thing that pages are told, encoded once for all of them."""

    name: str
    body: bytes
    """JSON on one line."""


def make_event(name: str, said: object) -> Event:
    """Return an event that says something, in which NaN does not exist. Pure."""
    return Event(name, json.dumps(said, allow_nan=False).encode())
