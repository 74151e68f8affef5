"""The parameters of a configuration: chosen once, by whoever first needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import create_json, read_json
from hpctrack.sweeps.search.point import Point, PointState
from hpctrack.sweeps.sweep import Sweep

if TYPE_CHECKING:
    # Optuna takes a third of a second, which most commands need not pay.
    from hpctrack.sweeps.search.search import Search


def choose_point(
    sweep: Sweep, search: Search, configuration: int, *, is_new: bool = False
) -> Point:
    """Return a configuration's point, asking the search if nobody has.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    search : Search
        Who is asked.
    configuration : int
        0-based.
    is_new : bool, optional
        Nobody can have asked before: the search need not look.

    Raises
    ------
    StoreError
        It cannot be written down.
    SweepError
        The search has no point.
    """
    known = read_point(sweep, configuration)
    if known is not None:
        return known
    point = search.ask(configuration, is_new=is_new)
    told = {"configuration": configuration, "point": point.number, "parameters": point.parameters}
    if create_json(sweep.folder.point(configuration), told):
        return point
    winner = read_point(sweep, configuration)
    if winner is None:
        raise StoreFormatError(f"{sweep.folder.point(configuration)} came and went")
    if winner.number != point.number:
        # A worker with another repeat of the configuration was quicker: ours is not needed.
        search.tell(point.number, PointState.FAILED)
    return winner


def read_point(sweep: Sweep, configuration: int) -> Point | None:
    """Return a configuration's point; None if nobody has asked for it yet.

    Raises
    ------
    StoreFormatError
        The file cannot be read.
    """
    path = sweep.folder.point(configuration)
    try:
        value = read_json(path)
    except FileNotFoundError:
        return None
    try:
        return Point(int(value["point"]), dict(value["parameters"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreFormatError(f"{path} lacks or garbles {error}") from None
