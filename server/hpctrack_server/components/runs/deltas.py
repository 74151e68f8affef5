"""How a number stands to that of the baseline. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hpctrack_server.components.text import format_number, is_number

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Delta:
    """A difference.

    Parameters
    ----------
    text : str
        With its sign, in percent where the baseline is not 0.
    title : str
        The difference itself, and the verdict in words.
    verdict : str
        ``better``, ``worse``, ``same``, or empty where nobody has said what is better.
    """

    text: str
    title: str
    verdict: str


def make_delta(value: Any, base: Any, goal: str) -> Delta | None:
    """Compare a value with the baseline's; None where there is nothing to compare.

    Parameters
    ----------
    value, base : any
        Only finite numbers can be compared.
    goal : str
        ``minimize``, ``maximize`` or empty.
    """
    if not (is_number(value) and is_number(base)):
        return None
    try:
        value, base = float(value), float(base)
    except OverflowError:
        return None
    difference = value - base
    if not (math.isfinite(value) and math.isfinite(base) and math.isfinite(difference)):
        return None
    if difference == 0:
        return Delta("=", "same as the baseline", "same")
    verdict = ""
    if goal in {"minimize", "maximize"}:
        verdict = "better" if (difference < 0) == (goal == "minimize") else "worse"
    share = difference / abs(base) if base else math.inf
    shown = _sign(share * 100, "%") if math.isfinite(share) else _sign(difference)
    title = f"{_sign(difference)} against the baseline's {format_number(base)}"
    return Delta(shown, f"{title}: {verdict}" if verdict else title, verdict)


def _sign(value: float, unit: str = "") -> str:
    size = abs(value)
    if unit and size >= 100:  # noqa: PLR2004 - more digits of a percentage say nothing
        text = f"{size:,.0f}" if size < 1e6 else f"{size:.0e}".replace("e+", "e")  # noqa: PLR2004
    elif unit:
        text = f"{size:.1f}" if size >= 0.05 else "<0.1"  # noqa: PLR2004
    else:
        text = format_number(size)
    return f"{'+' if value > 0 else MINUS}{text}{unit}"
