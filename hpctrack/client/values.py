"""From what a user logs to pairs for the ring, without importing anybody's library.

The slow way of ``log``: new names, nesting, tensors, NaN, media, mistakes.
"""

from __future__ import annotations

from _collections_abc import Callable, Iterator, Mapping  # loaded; `collections.abc` is not
from itertools import count

from hpctrack.client.faults import Faults
from hpctrack.core import wire
from hpctrack.core.names import metric_name_problem
from hpctrack.core.ring import RingWriter
from hpctrack.errors import HpctrackError, UsageError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 16
"""Deeper nesting is a structure that contains itself."""

_SHOWN_NAME_CHARS = 60


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
    except Exception as error:
        if is_of_a_signal(error):
            raise
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


class Entries:
    """Turns what ``log`` is given into pairs for the ring, and into frames of media.

    Parameters
    ----------
    ring : RingWriter
        Where names go, so that they arrive before the first point that needs them.
    faults : Faults
        Where mistakes go.
    send : callable
        Takes the frame of something that is no number.
    run : str
        Which run of this process: an incremental table is sent to each from its first row.
    write : callable
        Calls what it is given while nobody else writes to the ring. Everything else here runs
        without a lock, because values may run code of the program.

    Attributes
    ----------
    numbers : dict of str to int
        The run's number for each metric of this rank.
    """

    def __init__(
        self,
        ring: RingWriter,
        faults: Faults,
        send: Callable[[bytes], object],
        *,
        run: str,
        write: Callable[[Callable[[], int | None]], int | None],
    ) -> None:
        self._ring = ring
        self._faults = faults
        self._send = send
        self._run = run
        self._write = write
        self._media = count(1)
        self.numbers: dict[str, int] = {}

    def add(self, pairs: list[float], key: object, value: object, step: int) -> None:
        """Take one item of a ``log`` call; what cannot be taken is counted and told."""
        name = f"a {type(key).__name__}"
        try:
            name = str(key)
            if isinstance(value, Mapping):
                for inner, item in iter_flat(value, f"{name}/"):
                    self._add_one(pairs, inner, item, step)
            else:
                self._add_one(pairs, name, value, step)
        except UsageError:
            raise  # strict
        except Exception as error:  # anybody's object; the rest of the call is sound
            if is_of_a_signal(error):
                raise
            shown = f"{name[:_SHOWN_NAME_CHARS]!r} at step {step}"
            why = f"{type(error).__name__}: {error}"
            self._faults.refuse(f"value:{name}", f"{shown} is not recorded: {why:.200}")

    def _add_one(self, pairs: list[float], name: str, value: object, step: int) -> None:
        number = self.numbers.get(name)
        shown = name if len(name) <= _SHOWN_NAME_CHARS else f"{name[:_SHOWN_NAME_CHARS]}..."
        if number is None:
            problem = metric_name_problem(name)
            if problem:
                self._faults.refuse(f"name:{name}", f"metric {shown!r} is not recorded: {problem}")
                return
        try:
            plain = to_number(value)
        except NotANumberError:
            self._add_media(name, shown, value, step)
            return
        if number is None:
            number = self._write(lambda: self._add_name(name))
            if number is None:
                return
        if plain - plain != 0:
            self._faults.tell("not-finite", f"{shown!r} is {plain} at step {step}", once=name)
        pairs += (number, plain)

    def _add_name(self, name: str) -> int | None:
        """Give a metric its number; None if the ring is full, then the next call tries again."""
        number = self.numbers.get(name)
        if number is not None:
            return number  # another thread was quicker
        number = len(self.numbers)
        if not self._ring.put_frame(wire.pack_name(number, name)):
            self._ring.drop(1)
            return None
        self.numbers[name] = number
        return number

    def _add_media(self, name: str, shown: str, value: object, step: int) -> None:
        # Most programs log numbers only, and should not pay for the rest.
        from hpctrack.client.media import capture  # noqa: PLC0415

        try:
            captured = capture(value, name, step, run=self._run)
        except HpctrackError as error:
            why = error.in_a_line()
            self._faults.refuse(f"value:{name}", f"{shown!r} at step {step} is not recorded: {why}")
            return
        if captured is None:
            kind = type(value).__name__
            self._faults.refuse(
                f"value:{name}", f"{shown!r} at step {step} is a {kind}, not a number"
            )
            return
        for one in captured:
            for warning in one.warnings:
                self._faults.warn_of(name, f"{shown!r} at step {step}", warning)
            told = {**one.description, "n": next(self._media)}
            self._send(wire.pack_media(told, one.payload))
