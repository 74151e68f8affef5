"""The way of one captured value through the encoders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpctrack.agents.encode.dimensions import read_dimensions
from hpctrack.agents.encode.distribution import encode_histogram
from hpctrack.agents.encode.pictures import encode_frames, encode_indices, encode_pixels
from hpctrack.agents.encode.points import encode_points
from hpctrack.agents.encode.request import (
    Request,
    check_meta,
    make_request,
    read_source,
)
from hpctrack.agents.encode.rows import encode_table
from hpctrack.agents.encode.sounds import encode_samples
from hpctrack.client.media.formats import TEXTS
from hpctrack.core.names import metric_name_problem
from hpctrack.errors import ProtocolError
from hpctrack.store.schema import Place

Result = tuple[bytes, str, dict[str, Any]]

TYPES = frozenset(
    {"image", "audio", "video", "text", "html", "markdown", "table", "histogram", "object3d"}
    | {"molecule", "figure", "plot"}
)
"""What a reader knows to show."""

ATTACHMENT = "attachment"
"""The type of what belongs to other media and is found by its digest there."""

_ENCODERS: dict[str, Callable[[Request], Result]] = {
    "pixels": encode_pixels,
    "frames": encode_frames,
    "indices": encode_indices,
    "samples": encode_samples,
    "histogram": encode_histogram,
    "points": encode_points,
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """One thing to write.

    Parameters
    ----------
    description : dict
        Of the MEDIA event: ``key, step, type, format, digest, size, meta``. Its type is
        `ATTACHMENT` if the bytes belong to other media (a mask, a cell's picture): such a thing
        needs a payload and no event.
    place : Place
        `Place.TEXT` if it compresses well, else `Place.BLOBS`.
    body : bytes
    digest : str
        SHA-256 of the body, hexadecimal.
    """

    description: dict[str, Any]
    place: Place
    body: bytes
    digest: str

    @property
    def is_attachment(self) -> bool:
        """Whether it is to be written without an event."""
        return bool(self.description["type"] == ATTACHMENT)


def encode(description: Mapping[str, Any], payload: memoryview) -> list[Encoded]:
    """Encode what a rank has captured.

    Parameters
    ----------
    description : mapping
        As `hpctrack.client.media.capture` made it.
    payload : memoryview
        The parts of its payload, one after the other.

    Returns
    -------
    list of Encoded
        Attachments first, then the value: whoever finds the value finds all of it.

    Raises
    ------
    ProtocolError
        The description and the payload make no sense, or a file that the rank has named cannot be
        read. Nothing else is raised, whatever comes.

    Notes
    -----
    The same input gives the same output, files aside. About 30 MB/s of pictures on one core; zlib
    and numpy let other threads run meanwhile.
    """
    try:
        return _encode(description, payload)
    except ProtocolError:
        raise
    except Exception as error:
        raise ProtocolError(
            f"a captured value cannot be encoded: {type(error).__name__}: {error}"
        ) from error


def _encode(description: Mapping[str, Any], payload: memoryview) -> list[Encoded]:
    key, step = description["key"], description["step"]
    if not isinstance(key, str) or metric_name_problem(key):
        raise ProtocolError("the key of a value is not a name")
    if type(step) is not int or not -(2**63) <= step < 2**63:
        raise ProtocolError(f"the step of a value is {step!r:.40}")
    made: dict[str, Encoded] = {}
    request = make_request(description, payload)
    body, told = _encode_value(request, made)
    described = {"key": key, "step": step, **told}
    check_meta(json.dumps(described, allow_nan=False))
    own = Encoded(described, _place_of(told["format"]), body, told["digest"])
    return [*made.values(), own]


def _encode_value(request: Request, made: dict[str, Encoded]) -> tuple[bytes, dict[str, Any]]:
    """Encode a value and its attachments; the latter are added to ``made``."""
    kind = request.word("type")
    if kind not in TYPES:
        raise ProtocolError(f"the type {kind:.40} is not known")

    def encode_cell(cell: Request) -> dict[str, Any]:
        if cell.facts.get("encode") == "table":
            raise ProtocolError("a table has a table in a cell")
        data, told = _encode_value(cell, made)
        _add(made, data, told["format"])
        return {key: value for key, value in told.items() if key != "type"}

    if request.facts.get("encode") == "table":
        body, form, extra = encode_table(request, encode_cell)
    else:
        body, form, extra = _encode_one(request)
        attached = {}
        for one in request.attachments():
            data, attached_form, more = _encode_one(one)
            digest = _add(made, data, attached_form)
            attached[one.word("name")] = {
                "digest": digest, "format": attached_form, "size": len(data), **more,
            }  # fmt: skip
        if attached:
            extra["attachments"] = attached
    meta = {**request.meta, **extra}
    digest = hashlib.sha256(body).hexdigest()
    told = {"type": kind, "format": form, "digest": digest, "size": len(body), "meta": meta}
    return body, told


def _encode_one(request: Request) -> Result:
    how = request.word("encode")
    if how == "copy":
        return _copy(request)
    if how not in _ENCODERS:
        raise ProtocolError(f"the encoding {how:.40} is not known")
    return _ENCODERS[how](request)


def _copy(request: Request) -> Result:
    source, form = request.facts.get("source"), request.format
    body = read_source(source) if source else bytes(request.body)
    found = read_dimensions(body, form)
    return body, form, {"width": found[0], "height": found[1]} if found else {}


def _add(made: dict[str, Encoded], body: bytes, form: str) -> str:
    digest = hashlib.sha256(body).hexdigest()
    described = {"type": ATTACHMENT, "format": form, "digest": digest, "size": len(body)}
    made.setdefault(digest, Encoded(described, _place_of(form), body, digest))
    return digest


def _place_of(form: str) -> Place:
    return Place.TEXT if form in TEXTS else Place.BLOBS
