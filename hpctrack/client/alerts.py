"""``run.alert``: what a person should see soon, said once in a while and not in a loop."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpctrack.core.wire import text_of
from hpctrack.errors import UsageError

if TYPE_CHECKING:
    import datetime as dt

LEVELS = ("info", "warning", "error")


class AlertLevel(StrEnum):
    """How urgent an alert is; ``run.alert(level=...)`` takes the words as well."""

    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


DEFAULT_WAIT_S = 60.0

TITLE_MAX_CHARS = 200
TEXT_MAX_CHARS = 10_000

_WORDS = {"warn": "warning", "critical": "error"}


class Alerts:
    """Makes alerts and holds back those that repeat. Per-rank.

    Parameters
    ----------
    mono_s : callable
        Seconds that never go back.
    """

    def __init__(self, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._last_s: dict[str, float] = {}
        self._held_back: dict[str, int] = {}
        self._last: dict[str, dict[str, Any]] = {}

    def make(
        self,
        title: str,
        text: str = "",
        *,
        level: object = "info",
        wait_duration: float | dt.timedelta | None = None,
    ) -> dict[str, Any] | None:
        """Return the event to record, or None if the same title was said a moment ago.

        Parameters
        ----------
        title : str
            What has happened, in a few words; alerts with the same one are one kind.
        text : str
            More about it.
        level : str
            ``INFO``, ``WARN`` or ``ERROR``, in any case; W&B's ``AlertLevel`` will do. None: the
            first.
        wait_duration : float or timedelta, optional
            Seconds for which the same title is held back; default `DEFAULT_WAIT_S`.

        Returns
        -------
        dict or None
            Body of a note: ``level, code, title, text``, and ``repeats``: how often it was held
            back before.

        Raises
        ------
        UsageError
            The level or the duration is none.
        """
        title = text_of(title)[:TITLE_MAX_CHARS]
        found = {
            "level": _read_level(level),
            "code": "alert",
            "title": title,
            "text": text_of(text)[:TEXT_MAX_CHARS],
        }
        now = self._mono_s()
        last_s = self._last_s.get(title)
        if last_s is not None and now - last_s < _read_wait(wait_duration):
            self._held_back[title] = self._held_back.get(title, 0) + 1
            self._last[title] = found
            return None
        self._last_s[title] = now
        repeats = self._held_back.pop(title, 0)
        return {**found, "repeats": repeats} if repeats else found

    def take_rest(self) -> list[dict[str, Any]]:
        """Return an event for each title that is held back at the end: the last of them, counted.

        ``repeats`` are those before it.
        """
        rest = [
            {**self._last[title], "repeats": count - 1} if count > 1 else self._last[title]
            for title, count in self._held_back.items()
        ]
        self._held_back.clear()
        return rest


def _read_level(level: object) -> str:
    word = "info" if level is None else str(getattr(level, "value", level)).lower()
    word = _WORDS.get(word, word)
    if word not in LEVELS:
        raise UsageError(f"the level of an alert is {level!r:.40}", hint="use INFO, WARN or ERROR")
    return word


def _read_wait(wait: float | dt.timedelta | None) -> float:
    if wait is None:
        return DEFAULT_WAIT_S
    # A program that made a timedelta has loaded the module; the others need not.
    seconds = getattr(wait, "total_seconds", None)
    try:
        return float(seconds() if callable(seconds) else wait)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"wait_duration is {wait!r:.40}", hint="give seconds or a timedelta"
        ) from None
