"""What a run is made of, and the code that it ends with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpctrack.client.channel import Channel
from hpctrack.client.console import Console
from hpctrack.client.ranks import RankInfo
from hpctrack.core.ring import RingWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is fixed when a run begins."""

    id: str
    name: str
    project: str
    path: str
    rank: RankInfo


@dataclass(slots=True, kw_only=True)
class Recording:
    """What a run that records has, and one that is disabled has not."""

    channel: Channel
    ring: RingWriter
    console: Console
    hello: dict[str, Any]


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code that a program ending with this error has."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1
