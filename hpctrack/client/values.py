"""From what a user logs to (name, number) pairs, without importing anybody's library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
        item = getattr(value, "item", None)
        return float(item() if callable(item) else value)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - see below
        # A user's object may raise anything here (a CUDA error, for one); none of it is ours.
        raise NotANumberError(str(error)) from None


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
