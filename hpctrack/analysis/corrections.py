"""Who asks many questions finds something: corrected p values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np


class Correction(StrEnum):
    """Against what the p values of several comparisons are corrected."""

    NONE = "none"
    BONFERRONI = "bonferroni"
    """One error in any of them. C. E. Bonferroni 1936."""
    HOLM = "holm"
    """The same promise, and never worse. S. Holm, Scandinavian Journal of Statistics 6 (1979)."""
    BH = "bh"
    """The share of errors among what is found. Y. Benjamini, Y. Hochberg, Journal of the Royal
    Statistical Society B 57 (1995) 289-300."""


def correct_p(p_values: Sequence[float], method: Correction) -> list[float]:
    """Return corrected p values, in the order given; NaN stays and does not count.

    Parameters
    ----------
    p_values : sequence of float
    method : Correction

    Examples
    --------
    >>> correct_p([0.01, 0.04, 0.03], Correction.HOLM)
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values, dtype=np.float64).reshape(-1)
    there = np.flatnonzero(~np.isnan(given))
    count = len(there)
    corrected = given.copy()
    if not count or method == Correction.NONE:
        return corrected.tolist()
    order = there[np.argsort(given[there], kind="stable")]
    ranks = np.arange(1, count + 1)
    if method == Correction.BONFERRONI:
        found = given[order] * count
    elif method == Correction.HOLM:
        found = np.maximum.accumulate(given[order] * (count - ranks + 1))
    else:
        found = np.minimum.accumulate((given[order] * count / ranks)[::-1])[::-1]
    corrected[order] = np.minimum(found, 1.0)
    return corrected.tolist()
