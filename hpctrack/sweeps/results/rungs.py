"""Where a rule looks at trials: the iterations that a chart of curves marks. Pure."""

from __future__ import annotations

from hpctrack.sweeps.schema.early_block import EarlyStop
from hpctrack.sweeps.search.hyperband import (
    DEFAULT_ETA,
    DEFAULT_S,
    bands_from_max,
    bands_from_min,
)

ASHA_FACTOR = 4
"""Optuna's ``reduction_factor``."""


def find_rungs(early: EarlyStop | None, longest: int) -> list[int]:
    """Return the iterations, up to the longest trial's, at which a rule compares trials.

    Rules that look at every iteration, such as median, have none.
    """
    if early is None:
        return []
    options = early.options
    eta = float(options.get("eta", options.get("reduction_factor", 0)) or 0)
    bands: tuple[int, ...] = ()
    if early.kind == "hyperband" and "min_iter" in options:
        bands = bands_from_min(int(options["min_iter"]), eta or DEFAULT_ETA)
    elif early.kind == "hyperband" and "max_iter" in options:
        s = float(options.get("s", DEFAULT_S))
        bands = bands_from_max(int(options["max_iter"]), eta or DEFAULT_ETA, s)
    elif early.kind == "asha" and isinstance(options.get("min_iter"), int):
        bands = bands_from_min(options["min_iter"], eta or ASHA_FACTOR)
    return sorted({one for one in bands if 0 < one <= longest})
