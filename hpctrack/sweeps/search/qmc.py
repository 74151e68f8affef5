"""Points that fill a space evenly: the same ones wherever they are worked out. Pure."""

from __future__ import annotations

from typing import Any

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.document import nearest

ENGINES = ("sobol", "halton")
OPTIONS = ("qmc_type", "scramble")


def fractions(count: int, *, seed: int, number: int, options: dict[str, Any]) -> list[float]:
    """Return a point of a sequence, as numbers in [0, 1).

    Parameters
    ----------
    count : int
        Of dimensions.
    seed : int
        Of the scrambling.
    number : int
        0-based, in the sequence; a Sobol sequence is balanced at powers of 2.
    options : dict
        ``qmc_type`` is "sobol" or "halton"; ``scramble`` is on unless it is False.

    Raises
    ------
    SweepError
        The options make no sense.
    """
    for name in options:
        if name not in OPTIONS:
            raise SweepError(f"sampler: unknown option {name!r}", hint=nearest(name, OPTIONS))
    kind = options.get("qmc_type", "sobol")
    if kind not in ENGINES:
        raise SweepError(f"sampler: unknown qmc_type {kind!r}", hint=nearest(str(kind), ENGINES))
    if count == 0:
        return []
    from scipy.stats import qmc  # noqa: PLC0415 - takes a second, and few sweeps need it

    make = qmc.Sobol if kind == "sobol" else qmc.Halton
    engine = make(count, scramble=options.get("scramble", True) is not False, rng=seed)
    if number:
        engine.fast_forward(number)
    return [float(one) for one in engine.random(1)[0]]
