"""What a tail must be before it goes into a replica: it comes from a peer. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hpctrack.core.layout import NodeFileName
from hpctrack.errors import StoreFormatError
from hpctrack.store.tails import NodeState, Tail
from hpctrack.store.vocabulary import FORMAT_VERSION, LIVE_KIND, ROOT_ATTRIBUTES, TABLE_ROW_BYTES

TEXT_MAX_CHARS = 1024
"""Of an attribute of the root."""

_UUID = re.compile(r"[0-9A-Za-z-]{8,64}\Z")
_TEXTS = ("run", "project", "host", "made_by", "uuid")
_ROWS_MAX = 2**48


def check_tail(name: str, tail: Tail, *, project: str, run: str) -> None:
    """Make sure that a tail can be of a node file of a run.

    Raises
    ------
    StoreFormatError
        It cannot.
    """
    problem = (
        _look_at_facts(tail.facts, name, project, run)
        or _look_at_state(tail.state)
        or _look_at_pieces(tail)
    )
    if not problem and tail.facts["uuid"] != tail.state.uuid:
        problem = "it is of two files"
    if problem:
        raise StoreFormatError(f"the tail of {name!r} cannot be used: {problem}")


def _look_at_facts(facts: Mapping[str, Any], name: str, project: str, run: str) -> str:
    if facts.keys() != ROOT_ATTRIBUTES.keys():
        return "its attributes are others"
    problems = {
        "it is of no live file": facts["kind"] != LIVE_KIND or type(facts["format"]) is not int,
        "an attribute is no text": not all(isinstance(facts[key], str) for key in _TEXTS),
        "a number is none": any(type(facts[key]) is not int for key in ("node", "attempt")),
        "it was made at no time": not _is_time(facts["created_wall_s"]),
    }
    found = next((problem for problem, is_so in problems.items() if is_so), "")
    return found or _look_closer(facts, name, project, run)


def _look_closer(facts: Mapping[str, Any], name: str, project: str, run: str) -> str:
    parts = NodeFileName.parse(name)
    if parts is None:
        return "that is no name of a node file"
    problems = {
        f"it has format {facts['format']}, this hpctrack knows {FORMAT_VERSION}": not (
            0 < facts["format"] <= FORMAT_VERSION
        ),
        "an attribute is too long": any(len(facts[key]) > TEXT_MAX_CHARS for key in _TEXTS),
        "its uuid is none": not _UUID.match(facts["uuid"]),
        "it is of another run": (facts["project"], facts["run"]) != (project, run),
        "it is of another node or attempt": (facts["node"], facts["attempt"])
        != (parts.node, parts.attempt),
    }
    return next((problem for problem, is_so in problems.items() if is_so), "")


def _look_at_state(state: NodeState) -> str:
    times = (state.pulse_wall_s, state.closed_wall_s, state.as_of_wall_s)
    if not all(map(_is_time, times)):
        return "a sign of life is no time"
    are_rows = all(type(one) is int and 0 <= one < _ROWS_MAX for one in state.rows.values())
    return "" if are_rows and state.rows.keys() <= TABLE_ROW_BYTES.keys() else "it counts wrongly"


def _look_at_pieces(tail: Tail) -> str:
    for piece in tail.pieces:
        size = TABLE_ROW_BYTES.get(piece.table, 0)
        if not size:
            return "a table is unknown"
        if len(piece.data) % size:
            return "a row is not whole"
        if type(piece.start) is not int or not 0 <= piece.start < _ROWS_MAX:
            return "it counts wrongly"
    return ""


def _is_time(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and value >= 0  # type: ignore[arg-type,operator]
