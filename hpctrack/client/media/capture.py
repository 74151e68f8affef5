"""From a value in ``run.log`` to what travels to the agent."""

from __future__ import annotations

import json
from typing import Any

from hpctrack.client.media.recognition import to_media
from hpctrack.client.media.snapshot import is_array
from hpctrack.client.media.table import Table
from hpctrack.client.media.value import (
    DESCRIPTION_MAX_BYTES,
    Captured,
    Media,
    Piece,
    check_size,
)
from hpctrack.core.names import metric_name_problem
from hpctrack.errors import UsageError

ITEMS_MAX = 1000
"""Media in one list under one key."""


def capture(value: Any, key: str, step: int, *, run: str = "") -> list[Captured] | None:
    """Turn a value that is no number into what the agent is to be sent.

    Parameters
    ----------
    value : object
        Media, a list of media, or a plain value that is recognised.
    key : str
        The name under which it is logged.
    step : int
        The step, 64 bits.
    run : str
        The run's id: incremental tables remember what was sent to which.

    Returns
    -------
    list of Captured, or None
        One for each of a list; None if the value is nothing that we know.

    Raises
    ------
    UsageError
        The value cannot be recorded; the message says why, to be read after the key, and the
        hint what to do.

    Notes
    -----
    Media have been copied when they were made; here a plain image or dataframe is copied, and a
    plain figure drawn. Nothing is imported that the program has not.
    """
    if isinstance(value, (list, tuple)):
        items = [to_media(one) for one in value]
        found = [one for one in items if one is not None]
        if not found:
            _refuse_plain(value)
            return None
        if len(found) < len(items):
            raise UsageError("it is a list of media and other things", hint="log them apart")
        if len(found) > ITEMS_MAX:
            raise UsageError(f"a list has {len(found):,} media, at most {ITEMS_MAX:,}")
        total = len(found)
        return [_capture_one(one, key, step, run, (n, total)) for n, one in enumerate(found)]
    media = to_media(value)
    if media is None:
        _refuse_plain(value)
        return None
    return [_capture_one(media, key, step, run, None)]


def _capture_one(
    media: Media, key: str, step: int, run: str, place: tuple[int, int] | None
) -> Captured:
    problem = metric_name_problem(key)
    if problem:
        raise UsageError(f"its key cannot be used: {problem}")
    piece: Piece = media.piece(f"{run}\n{key}") if isinstance(media, Table) else media.piece()
    check_size(piece.size_bytes, media.kind, "log less at once, or a file by its path")
    facts = {**piece.facts, "key": key, "step": step, "parts": [len(one) for one in piece.parts]}
    if place is not None:
        facts["meta"] = {**facts["meta"], "index": place[0], "of": place[1]}
    if len(json.dumps(facts)) > DESCRIPTION_MAX_BYTES:
        raise UsageError("it has too many layers, or too long names")
    return Captured(facts, list(piece.parts), piece.warnings)


def _refuse_plain(value: Any) -> None:
    """Name what a user probably wanted to log.

    Raises
    ------
    UsageError
        The value is an array or sequence of several elements, or text.
    """
    hint = "wrap it in hpctrack.Histogram, Image or Table, or log its mean"
    if is_array(value):
        shape = tuple(getattr(value, "shape", ()))
        if shape not in {(), (1,)} and any(one != 1 for one in shape):
            raise UsageError(f"it is an array of shape {shape}, not a number", hint=hint)
    elif isinstance(value, (list, tuple)):
        raise UsageError(f"it is a {type(value).__name__} of {len(value)}", hint=hint)
    elif isinstance(value, (str, bytes, bytearray)):
        raise UsageError(
            "it is text, not a number",
            hint="wrap it in hpctrack.Text, or set it in run.summary or run.config",
        )
