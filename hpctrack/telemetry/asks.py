"""Questions to a driver: asked while they are due, not any more once they are known to be in vain.

The same for all vendors: the library, its exceptions and the meaning of its codes are parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from hpctrack.telemetry.gpu_source import (
    Absence,
    Counter,
    DriverAbsentError,
    GpuLostError,
    GpuReading,
)

Pairs = tuple[tuple[str, float | Counter], ...]

ALWAYS: Final = 0.0
"""For ``Ask.every_s``: each time."""

SLOW_S: Final = 10.0
"""What changes by hand or with faults only: limits, link, pages, fans."""

FAILURES_MAX: Final = 5
"""Failures in a row, without a reason given, after which something is not asked for again."""


class Verdict(Enum):
    """What to do after a call that failed."""

    UNSUPPORTED = "never ask this device again"
    FORBIDDEN = "never ask again, and say why"
    NOTHING = "there is nothing to tell; ask again"
    FAILED = "ask again, but not for ever"
    LOST = "the device is gone"
    GONE = "the driver is gone"


_ABSENCES: Final = {
    Verdict.UNSUPPORTED: Absence.NOT_SUPPORTED,
    Verdict.FORBIDDEN: Absence.NO_PERMISSION,
}


class Patience:
    """Knows when something is not worth asking for any more.

    A failure that says "not supported" is final at once; one that does not say why may pass, but
    after `FAILURES_MAX` in a row the driver is not troubled with it again.

    Parameters
    ----------
    verdicts : mapping
        What the driver's codes mean; any other is `Verdict.FAILED`.
    vendor : str
        For messages.
    """

    def __init__(self, verdicts: Mapping[int, Verdict], vendor: str) -> None:
        self._verdicts = verdicts
        self._vendor = vendor
        self._failures: dict[str, int] = {}

    def judge(self, name: str, code: int, text: str) -> Absence | None:
        """Take a failure of a question.

        Returns
        -------
        Absence or None
            None: ask again.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The device, or the driver, is gone: ask nothing.
        """
        verdict = self._verdicts.get(code, Verdict.FAILED)
        if verdict is Verdict.LOST:
            raise GpuLostError(text)
        if verdict is Verdict.GONE:
            raise make_gone(self._vendor, text)
        if verdict is Verdict.FAILED:
            count = self._failures[name] = self._failures.get(name, 0) + 1
            return Absence.FAILING if count >= FAILURES_MAX else None
        if verdict is Verdict.NOTHING:
            self.forget(name)  # it is an answer
        return _ABSENCES.get(verdict)

    def forget(self, name: str) -> None:
        """Take an answer: the next failure is the first."""
        self._failures.pop(name, None)


def make_gone(vendor: str, text: str) -> DriverAbsentError:
    """Make the error for a driver that was there and is not any more."""
    gone = f"the {vendor} driver has gone ({text}): no GPU is recorded until it is back"
    return DriverAbsentError("gpu-driver-gone", gone, level="error")


class Ask(NamedTuple):
    """A question to a device.

    Parameters
    ----------
    name : str
        The first of the values that it yields, for saying what is absent.
    functions : tuple of callables
        Called with library and handle; the next one is tried if a library does not know one.
    every_s : float
        How often.
    on_slice : bool
        Whether a slice (MIG) can be asked too.
    on_sliced : bool
        Whether a GPU that is divided into slices can. What is used of it cannot be known then.
    """

    name: str
    functions: tuple[Callable[[Any, Any], Pairs], ...]
    every_s: float = ALWAYS
    on_slice: bool = False
    on_sliced: bool = True


class Asker:
    """Asks one device.

    Parameters
    ----------
    api : module
        The vendor's library.
    handle : object
        The device's.
    error : type
        What the library raises.
    find_code : callable
        From such an error to its number.
    patience : Patience

    Attributes
    ----------
    absences : dict
        What has been given up, and why.
    """

    def __init__(
        self,
        api: Any,
        handle: Any,
        *,
        error: type[Exception],
        find_code: Callable[[Any], int],
        patience: Patience,
    ) -> None:
        self._api = api
        self._handle = handle
        self._error = error
        self._find_code = find_code
        self._patience = patience
        self._asked: list[_Asked] = []
        self.absences: dict[str, Absence] = {}

    def add(self, asks: Iterable[Ask]) -> None:
        """Ask these too from now on."""
        self._asked += [_Asked(ask) for ask in asks]

    def read_into(self, reading: GpuReading, mono_s: float) -> None:
        """Ask what is due.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The device or the driver is gone.
        """
        for asked in tuple(self._asked):
            if mono_s >= asked.due_s:
                asked.due_s = mono_s + asked.ask.every_s
                while not self._ask(asked, reading):
                    pass

    def _ask(self, asked: _Asked, reading: GpuReading) -> bool:
        """Ask, and return False if another function is to be tried."""
        try:
            pairs = asked.function(self._api, self._handle)
        except (AttributeError, KeyError):  # the library is older, or newer, than we know
            return not self._turn_to_next(asked, Absence.NOT_SUPPORTED)
        except self._error as error:
            absence = self._patience.judge(asked.ask.name, self._find_code(error), str(error))
            return absence is None or not self._turn_to_next(asked, absence)
        self._patience.forget(asked.ask.name)
        _sort_into(reading, pairs)
        return True

    def _turn_to_next(self, asked: _Asked, absence: Absence) -> bool:
        if asked.try_next():
            return True
        self._asked.remove(asked)
        self.absences[asked.ask.name] = absence
        return False


class _Asked:
    """A question, when it is due, and which of its functions this library knows."""

    __slots__ = ("_place", "ask", "due_s", "function")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.due_s = -math.inf
        self._place = 0
        self.function = ask.functions[0]

    def try_next(self) -> bool:
        self._place += 1
        if self._place >= len(self.ask.functions):
            return False
        self.function = self.ask.functions[self._place]
        return True


def _sort_into(reading: GpuReading, pairs: Pairs) -> None:
    for name, value in pairs:
        if isinstance(value, Counter):
            reading.counters[name] = value
        else:
            reading.values[name] = value
