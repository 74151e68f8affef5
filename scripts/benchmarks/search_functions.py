"""Functions whose minima are known, to be searched by engines in environments of their own.

Only the standard library: W&B's engine lives beside other packages than ours. The spaces are
written as sweep files write them, so that both engines read the same text.

References
----------
S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments: Test Functions and
Datasets, sfu.ca/~ssurjano (Branin, Hartmann 6-D, Ackley, Rosenbrock, Levy).
B. Ru et al., Bayesian Optimisation over Multiple Continuous and Categorical Inputs, ICML 2020
(func2C).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFunction:
    """One function to be minimised.

    Parameters
    ----------
    name : str
        In tables and on the command line.
    value : callable
        Takes the parameters; without noise.
    space : mapping
        ``parameters`` of a sweep file.
    minimum : float
        The lowest value there is, as published.
    best : mapping
        Parameters that have it.
    noise : float
        Standard deviation of what is added to each observation.
    title : str
        What it is, in a few words.
    """

    name: str
    value: Callable[[Parameters], float]
    space: dict[str, dict[str, Any]]
    minimum: float
    best: dict[str, Any]
    noise: float = 0.0
    title: str

    def observe(self, parameters: Parameters, *, seed: int, number: int) -> float:
        """Return what a trial would log.

        The noise belongs to the seed and the trial's number: every engine meets the same.
        """
        value = self.value(parameters)
        if not self.noise:
            return value
        return value + random.Random(f"{self.name}/{seed}/{number}").gauss(0.0, self.noise)  # noqa: S311

    def regret(self, parameters: Parameters) -> float:
        """Return how far a point is above the minimum; rounding of the minimum gives no credit."""
        return max(0.0, self.value(parameters) - self.minimum)


def branin(parameters: Parameters) -> float:
    """Return Branin's function; three minima."""
    x, y = parameters["x1"], parameters["x2"]
    bend = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HEIGHTS = (1.0, 1.2, 3.0, 3.2)
_WIDTHS = (
    (10, 3, 17, 3.5, 1.7, 8),
    (0.05, 10, 17, 0.1, 8, 14),
    (3, 3.5, 1.7, 10, 17, 8),
    (17, 8, 0.05, 10, 0.1, 14),
)
_CENTRES = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def hartmann6(parameters: Parameters) -> float:
    """Return Hartmann's function of six variables; six minima, one of them global."""
    point = _vector(parameters)
    return -sum(
        height
        * math.exp(-sum(a * (x - p) ** 2 for a, x, p in zip(widths, point, centre, strict=True)))
        for height, widths, centre in zip(_HEIGHTS, _WIDTHS, _CENTRES, strict=True)
    )


def ackley(parameters: Parameters) -> float:
    """Return Ackley's function: a narrow hole in a wavy plain."""
    point = _vector(parameters)
    radius = math.sqrt(sum(x * x for x in point) / len(point))
    waves = sum(math.cos(2 * math.pi * x) for x in point) / len(point)
    return -20 * math.exp(-0.2 * radius) - math.exp(waves) + 20 + math.e


def rosenbrock(parameters: Parameters) -> float:
    """Return Rosenbrock's function: a curved valley, values over six decades."""
    point = _vector(parameters)
    return sum(100 * (after - x * x) ** 2 + (1 - x) ** 2 for x, after in itertools.pairwise(point))


def levy(parameters: Parameters) -> float:
    """Return Levy's function: waves in a bowl."""
    point = [1 + (x - 1) / 4 for x in _vector(parameters)]
    first, last = point[0], point[-1]
    middle = sum((w - 1) ** 2 * (1 + 10 * math.sin(math.pi * w + 1) ** 2) for w in point[:-1])
    end = (last - 1) ** 2 * (1 + math.sin(2 * math.pi * last) ** 2)
    return math.sin(math.pi * first) ** 2 + middle + end


def func2c(parameters: Parameters) -> float:
    """Return the sum of two surfaces, each chosen by a category."""
    x, y = 2 * parameters["x1"], 2 * parameters["x2"]
    return _SURFACES[parameters["first"]](x, y) + _SURFACES[parameters["second"].rstrip("23")](x, y)


def _valley(x: float, y: float) -> float:
    return (100 * (y - x * x) ** 2 + (1 - x) ** 2) / 300


def _camel(x: float, y: float) -> float:
    humps = (4 - 2.1 * x**2 + x**4 / 3) * x**2 + x * y + (-4 + 4 * y**2) * y**2
    return humps / 10


def _beale(x: float, y: float) -> float:
    parts = (1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3)
    return sum(part**2 for part in parts) / 50


_SURFACES: dict[str, Callable[[float, float], float]] = {
    "valley": _valley,
    "camel": _camel,
    "beale": _beale,
}
_SECONDS = ("valley", "camel", "beale", "beale2", "beale3")
"""Func2C has five; the last three are the same surface."""


def _vector(parameters: Parameters) -> list[float]:
    return [float(parameters[f"x{n}"]) for n in range(1, len(parameters) + 1)]


def _box(low: float, high: float, count: int) -> dict[str, dict[str, Any]]:
    return {f"x{n}": {"min": float(low), "max": float(high)} for n in range(1, count + 1)}


_BRANIN_BOX = {"x1": {"min": -5.0, "max": 10.0}, "x2": {"min": 0.0, "max": 15.0}}
_BRANIN_BEST = {"x1": math.pi, "x2": 2.275}
_BRANIN_MINIMUM = 0.39788735772973816
_HARTMANN_BEST = {
    "x1": 0.20169, "x2": 0.150011, "x3": 0.476874, "x4": 0.275332, "x5": 0.311652, "x6": 0.6573,
}  # fmt: skip
_HARTMANN_MINIMUM = -3.322368011415511
_ONES = {f"x{n}": 1 for n in range(1, 6)}

FUNCTIONS: dict[str, SearchFunction] = {
    one.name: one
    for one in (
        SearchFunction(
            name="branin",
            title="Branin, 2 variables",
            value=branin,
            space=_BRANIN_BOX,
            minimum=_BRANIN_MINIMUM,
            best=_BRANIN_BEST,
        ),
        SearchFunction(
            name="hartmann6",
            title="Hartmann, 6 variables",
            value=hartmann6,
            space=_box(0, 1, 6),
            minimum=_HARTMANN_MINIMUM,
            best=_HARTMANN_BEST,
        ),
        # Not centred on the minimum: some samplers begin in the middle of the box.
        SearchFunction(
            name="ackley5",
            title="Ackley, 5 variables in [-5, 10]",
            value=ackley,
            space=_box(-5, 10, 5),
            minimum=0.0,
            best=dict.fromkeys(_ONES, 0.0),
        ),
        SearchFunction(
            name="rosenbrock4",
            title="Rosenbrock, 4 variables in [-5, 10]",
            value=rosenbrock,
            space=_box(-5, 10, 4),
            minimum=0.0,
            best=dict.fromkeys(("x1", "x2", "x3", "x4"), 1.0),
        ),
        SearchFunction(
            name="func2c",
            title="func2C: 2 categories (3 and 5 values), 2 variables",
            value=func2c,
            space={
                "first": {"values": ["valley", "camel", "beale"]},
                "second": {"values": list(_SECONDS)},
                **_box(-1, 1, 2),
            },
            minimum=-0.20632569068,
            best={"first": "camel", "second": "camel", "x1": 0.0449210, "x2": -0.3563282},
        ),
        SearchFunction(
            name="levy5-mixed",
            title="Levy: 2 integers, 1 of ten values, 2 variables in [-10, 10]",
            value=levy,
            space={
                "x1": {"min": -10, "max": 10},
                "x2": {"min": -10, "max": 10},
                "x3": {"values": [-9, -7, -5, -3, -1, 1, 3, 5, 7, 9]},
                "x4": {"min": -10.0, "max": 10.0},
                "x5": {"min": -10.0, "max": 10.0},
            },
            minimum=0.0,
            best=_ONES,
        ),
        SearchFunction(
            name="branin-noisy",
            title="Branin, noise of 1.0",
            value=branin,
            space=_BRANIN_BOX,
            minimum=_BRANIN_MINIMUM,
            best=_BRANIN_BEST,
            noise=1.0,
        ),
        SearchFunction(
            name="hartmann6-noisy",
            title="Hartmann, 6 variables, noise of 0.2",
            value=hartmann6,
            space=_box(0, 1, 6),
            minimum=_HARTMANN_MINIMUM,
            best=_HARTMANN_BEST,
            noise=0.2,
        ),
    )
}
"""In the order of the table. Chosen before anything was measured."""
