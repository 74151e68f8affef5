"""Arrays as bytes, in the layout of `data.encode`, for ``decodeArrays`` in the browser. Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpctrack_server.data.encode import ALIGNMENT

Named = tuple[dict[str, Any], NDArray[Any]]
"""An array, and what the header says of it beside type and length."""


def pack_arrays(head: Mapping[str, Any], arrays: Sequence[Named]) -> bytes:
    """Return a header and arrays as bytes.

    Parameters
    ----------
    head : mapping
        JSON-able; numbers that are not finite become null.
    arrays : sequence of (dict, ndarray)
    """
    flat = [(about, np.ascontiguousarray(values).reshape(-1)) for about, values in arrays]
    entries = [
        {**about, "type": values.dtype.str[1:], "length": len(values)} for about, values in flat
    ]
    text = json.dumps({**head, "arrays": entries}, allow_nan=False).encode()
    text += b" " * (-(len(text) + 4) % ALIGNMENT)
    parts = [struct.pack("<I", len(text)), text]
    for _about, values in flat:
        body = values.tobytes()
        parts += [body, b"\0" * (-len(body) % ALIGNMENT)]
    return b"".join(parts)
