"""From what a user logs to pairs for the ring, and what the user is told of what cannot be.

The slow way of ``log``: new names, nesting, tensors, NaN, media, without importing anybody's
library. Mistakes are told once, counted, and never raised.
"""

from __future__ import annotations

import sys
from _collections_abc import Callable, Iterator, Mapping  # loaded; `collections.abc` is not
from _operator import index  # what `operator` is made of
from _thread import RLock
from itertools import count

from hpctrack.core import wire
from hpctrack.core.names import clean, metric_name_problem
from hpctrack.core.ring import RingWriter
from hpctrack.errors import HpctrackError, UsageError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_DEPTH = 16
"""Deeper nesting is a structure that contains itself."""

_SHOWN_NAME_CHARS = 60

TOLD_MAX = 20
"""Different texts of one kind that are told; a loop over made-up names must not fill a log."""

TEXT_MAX_CHARS = 2000
"""What is printed of one notice: somebody may have passed a file's content in the place of its
name."""

_LEFT_OUT = r"(?s:(?:a row|a table takes|column) .*\((\d+) times\))"
"""What a `Table` says of rows and columns that are not recorded."""


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


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code that a program ending with this error has."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def read_exit_code(given: object) -> int:
    """Return the exit code that a program means: None is success, what is no number is none."""
    if given is None:
        return 0
    try:
        return index(given)  # type: ignore[arg-type]
    except Exception as error:
        if is_of_a_signal(error):
            raise
        return 1


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


def show(value: object, max_chars: int = 60) -> str:
    """Return a value for a message, whatever its ``repr`` does."""
    try:
        return repr(value)[:max_chars]
    except Exception as error:
        if is_of_a_signal(error):
            raise
        return f"<{type(value).__name__}>"


class Notices:
    """Prints each notice once.

    Parameters
    ----------
    label : str
        Put before the text, such as ``rank 3``; empty for a run of one rank.
    quiet : bool
        Print warnings and errors only.
    """

    def __init__(self, label: str = "", *, quiet: bool = False) -> None:
        self._label = f" [{label}]" if label else ""
        self._quiet = quiet
        self._told: set[str] = set()

    def say(self, text: str) -> None:
        """Print a line of good news."""
        if not self._quiet:
            self._print(clean(text))

    def warn_once(self, key: str, text: str) -> bool:
        """Print a warning the first time ``key`` comes; return whether this was the first."""
        if key in self._told:
            return False
        self._told.add(key)
        self._print(f"warning: {clean(text)}")
        return True

    def _print(self, text: str) -> None:
        if len(text) > TEXT_MAX_CHARS:
            text = f"{text[:TEXT_MAX_CHARS]}..."
        stream = sys.stderr
        if stream is None:  # pythonw and some embedded interpreters have none
            return
        try:
            stream.write(f"hpctrack{self._label}: {text}\n")
            stream.flush()
        except (OSError, ValueError) as error:
            if is_of_a_signal(error):
                raise
            # Else it is a closed terminal, which must not stop the training.


class Faults:
    """The mistakes of one run in one rank.

    Parameters
    ----------
    notices : Notices
        How the user is told.
    strict : bool
        Raise instead.
    record : callable
        Takes code and text of a warning, for the run's own record.
    """

    def __init__(
        self, notices: Notices, *, strict: bool, record: Callable[[str, str], None]
    ) -> None:
        self._notices = notices
        self._strict = strict
        self._record = record
        self._told: dict[str, set[str]] = {}
        self._lock = RLock()
        self.refused: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many values and calls were refused or failed."""
        return sum(self.refused.values())

    def refuse(self, key: str, text: str) -> None:
        """Count something that cannot be recorded, and say so once.

        Parameters
        ----------
        key : str
            What is said once; the part before ``:`` is what is counted.
        text : str
            What, where and what to do.

        Raises
        ------
        UsageError
            Only if strict.
        """
        if self._strict:
            raise UsageError(text)
        what = key.partition(":")[0]
        self._count(what)
        self.tell(f"refused-{what}", text, once=key)

    def refuse_late(self, key: str, text: str) -> None:
        """Say once that something came too late: no record can count it any more.

        Raises
        ------
        UsageError
            Only if strict.
        """
        if self._strict:
            raise UsageError(text)
        self._notices.warn_once(f"late {key}", text)

    def tell(self, code: str, text: str, *, once: str = "") -> None:
        """Warn the user, once, and write the same into the run."""
        key = once or text
        with self._lock:
            told = self._told.setdefault(code, set())
            if key in told or len(told) > TOLD_MAX:
                return
            told.add(key)
        if len(told) > TOLD_MAX:
            text = f"{text}; more of the kind are counted and not named"
        if self._notices.warn_once(f"{code} {key}", text):
            self._record(code, text)

    def warn_of(self, name: str, where: str, text: str) -> None:
        """Tell what a value that is recorded has lost; rows of a table that are not are counted.

        Parameters
        ----------
        name : str
            The value's key: each kind of warning is told once for it.
        where : str
            Put before the text.
        text : str
            As media give it; numbers in it make no other kind.
        """
        import re  # noqa: PLC0415 - media have loaded it; who logs numbers only does without

        found = re.fullmatch(_LEFT_OUT, text)
        if found:
            self._count("table", int(found[1]))
        self.tell("media", f"{where}: {text}", once=f"{name} {re.sub(r'[0-9]+', '#', text)}")

    def _count(self, what: str, times: int = 1) -> None:
        with self._lock:  # values are read by many threads at once
            self.refused[what] = self.refused.get(what, 0) + times

    def forget(self) -> None:
        """In a forked child: the lock may be held by a thread of the parent."""
        self._lock = RLock()

    def trouble(self, where: str, error: Exception) -> None:
        """Take an error that must not reach the training.

        Raises
        ------
        Exception
            The same, if strict, and if a signal handler of the program has raised it.
        """
        if self._strict or is_of_a_signal(error):
            raise error
        self._count(where)
        text = (
            error.message
            if isinstance(error, HpctrackError)
            else f"{type(error).__name__}: {error}"
        )
        self._notices.warn_once(f"trouble {where} {type(error)}", f"{where}() failed: {text}")


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
