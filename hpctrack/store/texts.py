"""Texts of attributes, each of a length of its own.

Those of variable length lie in HDF5's global heap, which has no checksum: where a few zeros got
into it, the library looks for its end for ever (tried). These lie in the object's head, which has
one.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def text_array(text: str) -> NDArray[Any]:
    """Return what is written for a text; `hpctrack.store.hdf5.plain` reads it."""
    data = text.encode("utf-8", "surrogateescape")
    return np.array(data, f"S{max(1, len(data))}")


@cache
def text_type(size: int) -> Any:
    """Return the type in the file of texts of so many bytes."""
    return h5py.h5t.py_create(h5py.string_dtype("utf-8", size), logical=True)


def write_attribute(place: Any, name: str, value: object) -> None:
    """Create an attribute: a text or a number.

    Parameters
    ----------
    place : h5py.h5f.FileID or h5py.h5g.GroupID
    name : str
    value : str, int or float
    """
    if isinstance(value, str):
        array = text_array(value)
        kind = text_type(array.dtype.itemsize)
    else:
        array = np.asarray(value)
        kind = _number_type(array.dtype)
    h5py.h5a.create(place, name.encode(), kind, _SCALAR).write(array, kind)


def read_text(place: Any, name: str) -> str:
    """Return an attribute that `write_attribute` has made of a text."""
    attribute = h5py.h5a.open(place, name.encode())
    data = np.empty((), attribute.dtype)
    attribute.read(data)
    return bytes(data.item()).decode("utf-8", "replace")


_SCALAR = h5py.h5s.create(h5py.h5s.SCALAR)


@cache
def _number_type(dtype: np.dtype[Any]) -> Any:
    return h5py.h5t.py_create(dtype, logical=True)
