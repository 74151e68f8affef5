"""What a MEDIA frame asks for, checked: a frame may come from anybody who has the socket."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack.client.media.formats import ALL
from hpctrack.client.media.source import FILE_MAX_BYTES
from hpctrack.client.media.value import DESCRIPTION_MAX_BYTES
from hpctrack.errors import ProtocolError

Array = NDArray[Any]

_DTYPE = re.compile(r"[<>|](b1|[iu][1248]|f(2|4|8|16))\Z")
_NAME_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """One value to encode.

    Parameters
    ----------
    facts : mapping
        The description, or that of an attachment or of a cell.
    parts : list of memoryview
        The bytes: the value's own, then its attachments'.
    """

    facts: Mapping[str, Any]
    parts: list[memoryview]

    @property
    def format(self) -> str:
        """The format that the rank expects."""
        found = self.facts.get("format")
        if not isinstance(found, str) or found not in ALL:
            raise ProtocolError(f"the format {found!s:.40} is not known")
        return found

    @property
    def meta(self) -> dict[str, Any]:
        """Caption and the like, to be passed on."""
        found = self.facts.get("meta", {})
        if not isinstance(found, dict):
            raise ProtocolError("meta is not an object")
        return found

    @property
    def body(self) -> memoryview:
        """The value's own bytes."""
        if not self.parts:
            raise ProtocolError("the value has no bytes")
        return self.parts[0]

    def word(self, key: str) -> str:
        """Return a short text of the description."""
        found = self.facts.get(key)
        if not isinstance(found, str) or not 0 < len(found) <= _NAME_MAX_CHARS:
            raise ProtocolError(f"{key} is not a short text")
        return found

    def number(self, key: str, low: float, high: float) -> float:
        """Return a number of ``meta`` or of the description."""
        found = self.facts.get(key, self.meta.get(key))
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise ProtocolError(f"{key} is not a number")
        if not low <= found <= high:
            raise ProtocolError(f"{key} is {found}, not between {low} and {high}")
        return found

    @property
    def order(self) -> str:
        """Return which dimension is which, a letter each."""
        return str(self._raw().get("order", ""))

    def array(self) -> Array:
        """Return the value's bytes as the array that they were.

        Raises
        ------
        ProtocolError
            Type, shape and number of bytes do not belong together.
        """
        raw, body = self._raw(), self.body
        dtype, shape = raw.get("dtype"), raw.get("shape")
        if not isinstance(dtype, str) or not _DTYPE.match(dtype):
            raise ProtocolError(f"the type {dtype!s:.40} is not one of numbers")
        if not isinstance(shape, list) or not all(type(one) is int and one >= 0 for one in shape):
            raise ProtocolError("the shape is not a list of sizes")
        kind = np.dtype(dtype)
        if math.prod(shape) * kind.itemsize != len(body):
            raise ProtocolError(f"{len(body)} bytes are not a {dtype} array of shape {shape}")
        return np.frombuffer(body, kind).reshape(shape)

    def attachments(self) -> Iterator[Request]:
        """Yield what comes with the value, each a request of its own."""
        found = self.facts.get("attachments", [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise ProtocolError("attachments are not a list of objects")
        own = 0 if self.facts.get("source") else 1
        if len(self.parts) != own + len(found):
            raise ProtocolError(f"{len(found)} attachments in {len(self.parts)} parts")
        for facts, part in zip(found, self.parts[own:], strict=True):
            if facts.get("attachments"):
                raise ProtocolError("an attachment has attachments")
            yield Request(facts, [part])

    def _raw(self) -> dict[str, Any]:
        raw = self.facts.get("raw")
        if not isinstance(raw, dict):
            raise ProtocolError("the description does not say what the bytes are")
        return raw


def make_request(facts: Mapping[str, Any], payload: memoryview) -> Request:
    """Cut a payload into the parts that its description names.

    Raises
    ------
    ProtocolError
        They do not fill it exactly, or a file that is named cannot be read.
    """
    sizes = facts.get("parts")
    if not isinstance(sizes, list) or not all(type(one) is int and one >= 0 for one in sizes):
        raise ProtocolError("parts are not a list of sizes")
    if sum(sizes) != len(payload):
        raise ProtocolError(f"parts of {sum(sizes)} bytes in a payload of {len(payload)}")
    parts, start = [], 0
    for size in sizes:
        parts.append(payload[start : start + size])
        start += size
    return Request(facts, parts)


def check_meta(text: str) -> None:
    """Refuse a description that every reader would have to carry.

    Raises
    ------
    ProtocolError
        It is larger than a rank would send.
    """
    if len(text) > 2 * DESCRIPTION_MAX_BYTES:
        raise ProtocolError(f"a description has {len(text)} characters")


def read_source(source: object) -> bytes:
    """Read a file that a rank has named because it was too large to send.

    Raises
    ------
    ProtocolError
        It is gone, is no regular file, or is larger than allowed.
    """
    path = source.get("path") if isinstance(source, dict) else None
    if not isinstance(path, str) or not os.path.isabs(path):  # noqa: PTH117 - a string from a frame
        raise ProtocolError("a file is not named by an absolute path")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123 - the handle is open already
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= FILE_MAX_BYTES:
                raise ProtocolError(f"{path} is not a file of 1 byte to 1 GiB")
            return file.read(found.st_size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProtocolError(f"{path} could not be read after it was logged: {reason}") from None
