"""The slow way of ``log``: new names, nesting, tensors, NaN, media, mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpctrack.client.faults import Faults
from hpctrack.client.values import NotANumberError, iter_flat, to_number
from hpctrack.core import wire
from hpctrack.core.names import metric_name_problem
from hpctrack.core.ring import RingWriter
from hpctrack.errors import HpctrackError, UsageError

_SHOWN_NAME_CHARS = 60


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
    ) -> None:
        self._ring = ring
        self._faults = faults
        self._send = send
        self._run = run
        self._media = 0
        self.numbers: dict[str, int] = {}

    def add(self, pairs: list[float], name: str, value: object, step: int) -> None:
        """Take one item of a ``log`` call; what cannot be taken is counted and told."""
        try:
            if isinstance(value, Mapping):
                for inner, item in iter_flat(value, f"{name}/"):
                    self._add_one(pairs, inner, item, step)
            else:
                self._add_one(pairs, name, value, step)
        except UsageError:
            raise  # strict
        except Exception as error:  # noqa: BLE001 - anybody's object; the rest of the call is sound
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
            number = self._add_name(name)
            if number is None:
                self._ring.drop(1)
                return
        if plain - plain != 0:
            self._faults.tell("not-finite", f"{shown!r} is {plain} at step {step}", once=name)
        pairs += (number, plain)

    def _add_name(self, name: str) -> int | None:
        """Give a metric its number; None if the ring is full, then the next call tries again."""
        number = len(self.numbers)
        if not self._ring.put_frame(wire.pack_name(number, name)):
            return None
        self.numbers[name] = number
        return number

    def _add_media(self, name: str, shown: str, value: object, step: int) -> None:
        # Most programs log numbers only, and should not pay for the rest.
        from hpctrack.client.media import capture  # noqa: PLC0415

        try:
            captured = capture(value, name, step, run=self._run)
        except HpctrackError as error:
            hint = f"; {error.hint}" if error.hint else ""
            self._faults.refuse(
                f"value:{name}", f"{shown!r} at step {step} is not recorded: {error.message}{hint}"
            )
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
            self._media += 1
            self._send(wire.pack_media({**one.description, "n": self._media}, one.payload))
