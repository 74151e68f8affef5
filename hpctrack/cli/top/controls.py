"""What a key does: the state of the screen, changed by pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class View(StrEnum):
    """What the body of the screen shows of a run."""

    OVERVIEW = "overview"
    RANKS = "ranks"
    GPUS = "gpus"
    METRICS = "metrics"
    SLOW = "slow"
    ALERTS = "alerts"
    CONSOLE = "console"


VIEWS = tuple(View)

INTERVALS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

SORTS: dict[str, tuple[str, ...]] = {
    "list": ("newest", "rate", "gpu", "silent", "name"),
    View.RANKS: ("rank", "highest", "lowest", "behind"),
    View.METRICS: ("name", "points"),
    View.GPUS: ("place", "idle", "busy"),
}
"""By the place where ``s`` is pressed: how rows can be ordered."""

GPU_SHOWN = ("util", "memory", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What is to be shown.

    Parameters
    ----------
    run : (str, str) or None
        Project and id; None shows the list.
    row : int
        The chosen row; the screen keeps it inside.
    metric : str
        The chosen metric; empty: the screen takes the first.
    rank : int
        Whose console is shown.
    typed : str or None
        A filter that is being typed; None if none is.
    """

    run: tuple[str, str] | None = None
    view: View = View.OVERVIEW
    row: int = 0
    metric: str = ""
    rank: int = 0
    gpu_shown: str = "util"
    sorts: tuple[tuple[str, str], ...] = ()
    filter: str = ""
    typed: str | None = None
    is_paused: bool = False
    interval_s: float = 2.0
    shows_help: bool = False
    is_over: bool = False

    @property
    def place(self) -> str:
        """Where the user is: ``list``, or the view of a run."""
        return "list" if self.run is None else str(self.view)

    @property
    def sort(self) -> str:
        """How the rows of this place are ordered."""
        return dict(self.sorts).get(self.place, SORTS.get(self.place, ("",))[0])


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rows on the screen stand for, which keys act on.

    Parameters
    ----------
    rows : int
        How many there are.
    page : int
        How many fit.
    run : (str, str) or None
    metric : str
    rank : int or None
        Of the chosen row.
    metrics : tuple of str
        All of them, in order.
    is_only : bool
        There is no list to go back to.
    """

    rows: int = 0
    page: int = 1
    run: tuple[str, str] | None = None
    metric: str = ""
    rank: int | None = None
    metrics: tuple[str, ...] = ()
    is_only: bool = False


def press(controls: Controls, key: str, choice: Choice, character: str = "") -> Controls:
    """Return the state after a key.

    Parameters
    ----------
    key : str
        Its name: ``down``, ``j``, ``enter``, ``slash``.
    choice : Choice
    character : str, optional
        What it types.
    """
    if controls.typed is not None:
        return _type(controls, key, character)
    if controls.shows_help:
        return replace(controls, shows_help=False, is_over=key == "q")
    if key in _MOVES:
        return replace(controls, row=_move(controls.row, _MOVES[key], choice))
    action = _ACTIONS.get(key) or _ACTIONS.get(character)
    return action(controls, choice) if action else controls


_MOVES = {
    "up": -1, "k": -1, "down": 1, "j": 1, "pageup": -2, "pagedown": 2,
    "home": -3, "end": 3,
}  # fmt: skip


def _move(row: int, how: int, choice: Choice) -> int:
    last = max(choice.rows - 1, 0)
    step = {1: 1, 2: choice.page, 3: last}[abs(how)] * (1 if how > 0 else -1)
    return max(0, min(last, row + step))


def _type(controls: Controls, key: str, character: str) -> Controls:
    typed = controls.typed or ""
    if key == "escape":
        return replace(controls, typed=None)
    if key == "enter":
        return replace(controls, typed=None, filter=typed, row=0)
    if key == "backspace":
        return replace(controls, typed=typed[:-1])
    return replace(controls, typed=typed + character) if character.isprintable() else controls


def _go(controls: Controls, view: View) -> Controls:
    return controls if controls.run is None else replace(controls, view=view, row=0)


def _turn(controls: Controls, step: int) -> Controls:
    place = VIEWS.index(controls.view)
    return _go(controls, VIEWS[(place + step) % len(VIEWS)])


def _back(controls: Controls, choice: Choice) -> Controls:
    if controls.filter:
        return replace(controls, filter="", row=0)
    if controls.run is not None and controls.view is not View.OVERVIEW:
        return _go(controls, View.OVERVIEW)
    if controls.run is not None and not choice.is_only:
        return replace(controls, run=None, row=0, metric="", rank=0)
    return controls


def _enter(controls: Controls, choice: Choice) -> Controls:
    if controls.run is None:
        if choice.run is None:
            return controls
        return replace(
            controls, run=choice.run, view=View.OVERVIEW, row=0, filter="", metric="", rank=0
        )
    if controls.view is View.METRICS and choice.metric:
        return replace(_go(controls, View.RANKS), metric=choice.metric, filter="")
    if controls.view is View.OVERVIEW:
        return _go(controls, View.RANKS)
    if choice.rank is not None:
        return replace(_go(controls, View.CONSOLE), rank=choice.rank, filter="")
    return controls


def _next_metric(controls: Controls, choice: Choice, step: int) -> Controls:
    if controls.run is None or not choice.metrics:
        return controls
    known = choice.metrics
    place = known.index(controls.metric) if controls.metric in known else -1
    return replace(controls, metric=known[(place + step) % len(known)])


def _sort(controls: Controls, _choice: Choice) -> Controls:
    known = SORTS.get(controls.place)
    if not known:
        return controls
    following = known[(known.index(controls.sort) + 1) % len(known)]
    return replace(
        controls, sorts=tuple({**dict(controls.sorts), controls.place: following}.items())
    )


def _show_gpus(controls: Controls, _choice: Choice) -> Controls:
    if controls.run is None:
        return controls
    if controls.view is not View.GPUS:
        return _go(controls, View.GPUS)
    place = GPU_SHOWN.index(controls.gpu_shown)
    return replace(controls, gpu_shown=GPU_SHOWN[(place + 1) % len(GPU_SHOWN)])


def _show_console(controls: Controls, choice: Choice) -> Controls:
    found = _go(controls, View.CONSOLE)
    has_rank = controls.view is View.RANKS and choice.rank is not None
    return replace(found, rank=choice.rank) if has_rank and choice.rank is not None else found


def _pace(controls: Controls, step: int) -> Controls:
    place = min(range(len(INTERVALS_S)), key=lambda at: abs(INTERVALS_S[at] - controls.interval_s))
    place = max(0, min(len(INTERVALS_S) - 1, place + step))
    return replace(controls, interval_s=INTERVALS_S[place])


def _next_rank(controls: Controls, step: int) -> Controls:
    return replace(controls, rank=max(0, controls.rank + step))


_ACTIONS: dict[str, Callable[[Controls, Choice], Controls]] = {
    "q": lambda controls, _choice: replace(controls, is_over=True),
    "ctrl+c": lambda controls, _choice: replace(controls, is_over=True),
    "?": lambda controls, _choice: replace(controls, shows_help=True),
    "question_mark": lambda controls, _choice: replace(controls, shows_help=True),
    "escape": _back,
    "backspace": _back,
    "left": lambda controls, choice: (
        _next_rank(controls, -1) if controls.place == View.CONSOLE else _back(controls, choice)
    ),
    "right": lambda controls, choice: (
        _next_rank(controls, 1) if controls.place == View.CONSOLE else _enter(controls, choice)
    ),
    "enter": _enter,
    "tab": lambda controls, _choice: _turn(controls, 1),
    "shift+tab": lambda controls, _choice: _turn(controls, -1),
    "m": lambda controls, choice: _next_metric(controls, choice, 1),
    "M": lambda controls, choice: _next_metric(controls, choice, -1),
    "o": lambda controls, _choice: _go(controls, View.OVERVIEW),
    "r": lambda controls, _choice: _go(controls, View.RANKS),
    "g": _show_gpus,
    "v": lambda controls, _choice: _go(controls, View.METRICS),
    "w": lambda controls, _choice: _go(controls, View.SLOW),
    "a": lambda controls, _choice: _go(controls, View.ALERTS),
    "c": _show_console,
    "s": _sort,
    "/": lambda controls, _choice: replace(controls, typed=controls.filter),
    "slash": lambda controls, _choice: replace(controls, typed=controls.filter),
    "p": lambda controls, _choice: replace(controls, is_paused=not controls.is_paused),
    "+": lambda controls, _choice: _pace(controls, 1),
    "plus": lambda controls, _choice: _pace(controls, 1),
    "-": lambda controls, _choice: _pace(controls, -1),
    "minus": lambda controls, _choice: _pace(controls, -1),
}
