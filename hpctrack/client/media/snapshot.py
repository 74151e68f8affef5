"""Copies of arrays of any library, without importing it."""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.client.media.value import check_size
from hpctrack.errors import UsageError

TOO_LARGE_HINT = "log a smaller part of it, or fewer bytes per element (uint8, float16)"

_KINDS = "biuf"
"""Booleans, integers and real numbers have a picture; complex numbers and objects have none."""

NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"

_MAX_DIMENSIONS = 6
"""Deeper lists contain themselves."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An array as it was.

    Parameters
    ----------
    dtype : str
        numpy's type string, such as ``<f4``.
    shape : tuple of int
    data : bytes
        The elements in C order.
    library : str
        Top-level package of the array's class.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes
    library: str = ""

    @property
    def raw(self) -> dict[str, Any]:
        """What the agent needs to see the array again."""
        return {"dtype": self.dtype, "shape": list(self.shape)}

    def __str__(self) -> str:
        """Say what it is, for messages."""
        return f"a {self.dtype[1:]} array of shape {self.shape}"


def take_snapshot(value: object, what: str) -> Snapshot:
    """Copy an array, a tensor, a sequence of numbers or one of arrays.

    Parameters
    ----------
    value : object
        Anything with ``__array_interface__``, ``__array__``, torch's ``detach().cpu().numpy()``,
        CuPy's ``get()``, the buffer protocol, or (nested) lists of numbers.
    what : str
        Names it in messages.

    Raises
    ------
    UsageError
        It is none of these, too large, or of a type that has no picture.

    Notes
    -----
    One copy. An array on a GPU is waited for: there is no other way to have its values.
    """
    library = type(value).__module__.partition(".")[0]
    if isinstance(value, (list, tuple)):
        return _from_sequence(value, what)
    host = _to_host(value)
    interface = getattr(host, "__array_interface__", None)
    if isinstance(interface, dict):
        return _from_interface(host, interface, what, library)
    if isinstance(value, (bytes, bytearray, str)):
        raise UsageError(f"{what} is {type(value).__name__}, not an array")
    try:
        view = memoryview(host)
    except TypeError:
        raise UsageError(
            f"{what} is of type {type(value).__name__}, not an array",
            hint="arrays, tensors and lists of numbers can be logged",
        ) from None
    check_size(view.nbytes, what, TOO_LARGE_HINT)
    dtype = _check_dtype(_dtype_of_format(view.format, view.itemsize), what)
    return Snapshot(dtype, tuple(view.shape or (len(view),)), view.tobytes(), library)


def is_array(value: object) -> bool:
    """Tell whether a value is an array or tensor of any library, by its class alone."""
    kind = type(value)
    names = ("__array_interface__", "__cuda_array_interface__", "__array__", "__dlpack__")
    return any(hasattr(kind, name) for name in names)


def _to_host(value: Any) -> Any:
    """Return something with ``__array_interface__``, if the value can be made so."""
    if type(value).__module__.startswith("numpy.ma") and value.mask.any():
        value = value.astype("float64").filled(math.nan)
    if isinstance(getattr(value, "__array_interface__", None), dict):
        return value
    if hasattr(value, "detach"):
        value = value.detach()
    if hasattr(value, "cpu"):
        value = value.cpu()
    elif hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    if "bfloat16" in str(getattr(value, "dtype", "")) and hasattr(value, "float"):
        value = value.float()
    for name in ("numpy", "__array__"):
        method = getattr(value, name, None)
        if callable(method) and not hasattr(value, "__array_interface__"):
            value = method()
    return value


def _from_interface(host: Any, interface: dict[str, Any], what: str, library: str) -> Snapshot:
    dtype, shape = str(interface["typestr"]), tuple(int(one) for one in interface["shape"])
    if dtype[1:2] == "V" and hasattr(host, "astype"):
        host = host.astype("float32")  # bfloat16 and float8 are strangers to numpy
        dtype = str(host.__array_interface__["typestr"])
    size = math.prod(shape) * int(_check_dtype(dtype, what)[2:])
    check_size(size, what, TOO_LARGE_HINT)
    data = host.tobytes() if hasattr(host, "tobytes") else memoryview(host).tobytes()
    if len(data) != size:
        raise UsageError(f"{what}: its {len(data)} bytes are not an array of shape {shape}")
    return Snapshot(dtype, shape, data, library)


def _check_dtype(dtype: str, what: str) -> str:
    if dtype[1:2] not in _KINDS or not dtype[2:].isdigit():
        raise UsageError(
            f"{what} holds elements of type {dtype!r}", hint="real numbers and booleans are taken"
        )
    return dtype


def _dtype_of_format(form: str, item_size: int) -> str:
    letter = form[-1:]
    kind = {"?": "b", "e": "f", "f": "f", "d": "f"}.get(letter)
    kind = kind or ("i" if letter in "bhilqn" else "u" if letter in "BHILQN" else "V")
    order = form[0] if form[0] in "<>" else NATIVE_ORDER
    return f"{'|' if item_size == 1 else order}{kind}{item_size}"


def _from_sequence(value: Sequence[Any], what: str) -> Snapshot:
    if value and is_array(value[0]) and getattr(value[0], "shape", ()) != ():
        parts = [take_snapshot(one, what) for one in value]
        if len({(one.dtype, one.shape) for one in parts}) > 1:
            raise UsageError(f"{what} is a list of arrays that differ in shape or type")
        check_size(sum(len(one.data) for one in parts), what, TOO_LARGE_HINT)
        first = parts[0]
        data = b"".join(one.data for one in parts)
        return Snapshot(first.dtype, (len(parts), *first.shape), data, first.library)
    shape, flat = _flatten(value, what)
    check_size(8 * len(flat), what, TOO_LARGE_HINT)
    for code, kind in (("q", "i8"), ("d", "f8")):
        try:
            return Snapshot(NATIVE_ORDER + kind, shape, array.array(code, flat).tobytes(), "list")
        except (TypeError, OverflowError):
            continue
    raise UsageError(f"{what} is a list with something that is not a number")


def _flatten(value: Sequence[Any], what: str) -> tuple[tuple[int, ...], Sequence[Any]]:
    shape: tuple[int, ...] = (len(value),)
    flat = value
    while flat and isinstance(flat[0], (list, tuple)):
        width = len(flat[0])
        if len(shape) >= _MAX_DIMENSIONS or any(
            not isinstance(one, (list, tuple)) or len(one) != width for one in flat
        ):
            raise UsageError(f"{what} is a nested list whose rows differ in length")
        flat = [item for one in flat for item in one]
        shape = (*shape, width)
    return shape, flat
