"""Media on their whole way without processes: captured, encoded, written as the agent does."""

from __future__ import annotations

from typing import Any

from hpctrack.agents.encode import Encoded, encode
from hpctrack.client.media import capture
from hpctrack.store.schema import EventKind
from tests.stores import NodeWriter


def encode_value(value: object, key: str = "k", step: int = 0) -> list[Encoded]:
    """Return what the agent makes of a value."""
    captured = capture(value, key, step)
    assert captured is not None
    found: list[Encoded] = []
    for one in captured:
        found += encode(one.description, memoryview(b"".join(one.payload)))
    return found


def encode_one(value: object) -> Encoded:
    """Return the value itself, which comes behind its attachments."""
    return encode_value(value)[-1]


def write_media(
    writer: NodeWriter,
    value: object,
    key: str = "k",
    step: int = 0,
    *,
    rank: int = 0,
    **more: Any,
) -> None:
    """Write a value as the agent's recorder does, each payload once."""
    for one in encode_value(value, key, step):
        if one.digest not in writer.names:
            writer.names[one.digest] = -1
            offset = writer.file.add_bytes(one.body, one.place)
            where = {
                "digest": one.digest,
                "place": int(one.place),
                "offset": offset,
                "size": len(one.body),
            }
            writer.event(EventKind.PAYLOAD, where, rank=rank)
        if not one.is_attachment:
            writer.event(EventKind.MEDIA, {**one.description, **more}, rank=rank)
