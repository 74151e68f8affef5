"""What all media have in common: a snapshot that is taken at once and travels later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from hpctrack.client.values import NotANumberError, to_number
from hpctrack.core.wire import MAX_BODY_BYTES
from hpctrack.errors import UsageError, is_of_a_signal

DESCRIPTION_MAX_BYTES = 60 * 1024
"""A description shares its frame with the payload and is read by everybody who lists media."""

PAYLOAD_MAX_BYTES = MAX_BODY_BYTES - 64 * 1024
"""What one frame to the agent leaves for bytes."""

CAPTION_MAX_CHARS = 2000
"""Captions are read with every listing; longer text is a `Text`."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A value as it was when it was given, not yet under any key.

    Parameters
    ----------
    facts : dict
        JSON-able: ``type, encode, format, meta`` and what the encoding needs.
    parts : tuple of bytes
        The snapshot; the first belongs to the value, the others to its attachments.
    warnings : tuple of str
        What the user should be told although the value is recorded.
    """

    facts: dict[str, Any]
    parts: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class Captured:
    """One value on its way to the agent.

    Parameters
    ----------
    description : dict
        JSON-able; the agent's ``encode`` understands it.
    payload : list of bytes
        To be sent one after the other; `size_bytes` in all.
    warnings : tuple of str
        What the user should be told although the value is recorded.
    """

    description: dict[str, Any]
    payload: list[bytes] = field(default_factory=list)
    warnings: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of the payload."""
        return sum(map(len, self.payload))


class Media:
    """Something to log that is no number.

    The bytes are copied when the object is made: what happens to the array or the file later does
    not matter. Nothing raises here, because nothing may raise into training: a value that cannot
    be used is kept as a problem, and ``run.log`` counts and names it.

    Notes
    -----
    Per-rank, like ``run.log``. Costs one copy of the data.
    """

    kind: ClassVar[str] = ""
    hpctrack_media: ClassVar[bool] = True  # how `client.values` knows them without an import
    _piece: Piece | None = None
    _problem: UsageError | None = None

    def _keep(self, make: Callable[[], Piece], unused: Mapping[str, object] | None = None) -> None:
        """Take the snapshot, or remember why it could not be taken.

        Parameters
        ----------
        make : callable
            Makes it.
        unused : mapping, optional
            Further arguments of the caller: told, and left out.
        """
        name = type(self).__name__
        try:
            self._piece = make()
            if unused:
                text = f"{name} knows no {', '.join(unused)}; left out"
                self._piece = replace(self._piece, warnings=(*self._piece.warnings, text))
        except UsageError as error:
            self._problem = error
        except Exception as error:  # a user's object may raise anything when it is read
            if is_of_a_signal(error):
                raise
            text = f"{name} cannot be made of what was given: {type(error).__name__}: {error}"
            self._problem = UsageError(text)

    @property
    def problem(self) -> UsageError | None:
        """Why this cannot be logged, or None."""
        return self._problem

    def piece(self) -> Piece:
        """Return the snapshot.

        Raises
        ------
        UsageError
            What was given cannot be used.
        """
        if self._problem is not None:
            raise self._problem
        if self._piece is None:
            raise UsageError(f"{type(self).__name__} is empty")
        return self._piece

    def __repr__(self) -> str:
        """Name the kind, the format and the size, or the problem."""
        name = type(self).__name__
        if self._piece is None:
            return f"<hpctrack.{name}: {self._problem.message if self._problem else 'empty'}>"
        return f"<hpctrack.{name} {self._piece.facts['format']}: {self._piece.size_bytes} bytes>"


def choose_data(data: object, others: dict[str, object]) -> object:
    """Return what was given, perhaps under W&B's name for it, which is taken out of ``others``."""
    other = others.pop("data_or_path", None)
    return other if data is None else data


def make_meta(caption: object = None, **more: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a description's ``meta`` without what is None, and what to warn of."""
    meta = {key: value for key, value in more.items() if value is not None}
    if caption is None:
        return meta, ()
    text = str(caption)
    meta["caption"] = text[:CAPTION_MAX_CHARS]
    if len(text) <= CAPTION_MAX_CHARS:
        return meta, ()
    return meta, (f"a caption of {len(text)} characters is cut to {CAPTION_MAX_CHARS}",)


def read_count(value: object, what: str, *, low: int, high: int) -> int:
    """Return a whole number the user gave.

    Raises
    ------
    UsageError
        It is none, or out of bounds.
    """
    try:
        number = to_number(value)
        if low <= number <= high and number == int(number):
            return int(number)
    except (NotANumberError, OverflowError, ValueError):
        pass
    raise UsageError(f"{what} is {value!r:.40}, not a whole number between {low} and {high}")


def read_choice(value: object, what: str, choices: Mapping[str, Any] | frozenset[str]) -> str:
    """Return a word the user chose, in lower case and without a leading dot.

    Raises
    ------
    UsageError
        It is none of the choices.
    """
    word = str(value).lower().lstrip(".")
    if word not in choices:
        raise UsageError(
            f"{what} {value!r:.40} is not known", hint=f"use one of {', '.join(sorted(choices))}"
        )
    return word


def check_size(size_bytes: int, what: str, hint: str) -> None:
    """Refuse what no frame can carry.

    Raises
    ------
    UsageError
        It is larger than `PAYLOAD_MAX_BYTES`.
    """
    if size_bytes > PAYLOAD_MAX_BYTES:
        raise UsageError(
            f"{what} has {size_bytes / 2**20:,.1f} MiB, at most {PAYLOAD_MAX_BYTES / 2**20:.1f} "
            "can be logged at once",
            hint=hint,
        )
