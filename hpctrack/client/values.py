"""From what a user logs to (name, number) pairs, without importing anybody's library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hpctrack.errors import UsageError

MAX_DEPTH = 16
"""Deeper nesting is a structure that contains itself."""


class NotANumberError(TypeError):
    """The value has no form as one number."""


def to_number(value: object) -> float:
    """Return a value as a float.

    Takes Python numbers, anything with ``item()`` (numpy scalars, one-element arrays and tensors
    of any library, whatever the device) and anything with ``__float__``.

    Raises
    ------
    NotANumberError
        It is text, bytes, None, an array of several elements, or its conversion failed.
    """
    if value is None or isinstance(value, (str, bytes, bytearray, Mapping)):
        raise NotANumberError
    try:
        if type(value).__module__.startswith("numpy.ma") and _is_masked(value):
            return float("nan")
        item = getattr(value, "item", None)
        return float(item() if callable(item) else value)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - see below
        # A user's object may raise anything here (a CUDA error, for one); none of it is ours.
        raise NotANumberError(str(error)) from None


def _is_masked(value: Any) -> bool:
    """Tell whether the one element of a masked array is not there: its ``item()`` is 0.0."""
    mask = getattr(value, "mask", False)
    return getattr(value, "size", 0) == 1 and bool(mask.all() if hasattr(mask, "all") else mask)


def leave_out_media(
    value: Any, path: tuple[str, ...], refuse: Callable[[Exception], None]
) -> tuple[Any, bool]:
    """Return a plain value without what only ``run.log`` can take, and whether anything is left.

    Parameters
    ----------
    value : object
        Mappings in it are dictionaries.
    path : tuple of str
        The keys that lead to it, for messages.
    refuse : callable
        Told of each that is left out.
    """
    found = find_media(value, is_deep=not isinstance(value, dict))
    if found is not None:
        verb = "is" if found is value else "holds"
        kind = type(found).__name__
        text = f"{'.'.join(path)!r} {verb} an {kind}: left out"
        refuse(UsageError(text, hint="log media with run.log"))
        return None, False
    if not isinstance(value, dict):
        return value, True
    pruned = {}
    for key, item in value.items():
        kept, is_kept = leave_out_media(item, (*path, key), refuse)
        if is_kept:
            pruned[key] = kept
    return pruned, True


def find_media(value: object, depth: int = 0, *, is_deep: bool = True) -> object:
    """Return a picture, table or the like that a value is or holds; None if there is none."""
    if getattr(type(value), "hpctrack_media", False) is True:
        return value
    if not is_deep or depth > MAX_DEPTH:
        return None
    inner = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return None
    found = (find_media(one, depth + 1) for one in inner)  # type: ignore[attr-defined]
    return next((one for one in found if one is not None), None)


def iter_flat(
    data: Mapping[Any, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of nested mappings, the parts of a name joined by ``/``."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            yield from iter_flat(value, f"{name}/", depth + 1)
        else:
            yield name, value
