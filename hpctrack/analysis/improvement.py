"""How likely a run of one group is better than one of another. Pure."""

from __future__ import annotations

import numpy as np

from hpctrack.analysis.bootstrap import Estimate
from hpctrack.analysis.samples import Numbers

BISECTIONS = 60


def measure_improvement(
    first: Numbers, second: Numbers, *, is_higher_better: bool = True, confidence: float = 0.95
) -> Estimate:
    """Return P(a run of the first is better than one of the second), ties counted half.

    Parameters
    ----------
    first, second : ndarray of float64, shapes (n,) and (m,)
    is_higher_better : bool, optional
    confidence : float, optional

    Notes
    -----
    The estimate is Mann and Whitney's U over n m; R. Agarwal et al. (NeurIPS 2021) call it the
    probability of improvement. The interval is method 5 of R. G. Newcombe: Confidence intervals for
    an effect size measure based on the Mann-Whitney statistic, part 2. Statistics in Medicine 25
    (2006) 559-573: it inverts Hanley and McNeil's (1982) variance, with the mean of the two sizes
    in it, so that it keeps a width where the groups do not overlap at all. A bootstrap says
    100 % to 100 % there, of three runs too.
    """
    if not len(first) or not len(second):
        return Estimate(float("nan"))
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    tied = np.searchsorted(ordered, first, side="right") - below
    share = float((below + tied / 2).sum() / (len(first) * len(second)))
    share = share if is_higher_better else 1.0 - share
    if len(first) < 2 or len(second) < 2:  # noqa: PLR2004 - nothing is known of the spread
        return Estimate(share)
    return Estimate(
        share,
        _find_end(share, 0.0, (len(first), len(second)), confidence),
        _find_end(share, 1.0, (len(first), len(second)), confidence),
    )


def _find_end(share: float, end: float, sizes: tuple[int, int], confidence: float) -> float:
    """Return the farthest place, on the way to an end, that the share does not contradict."""
    from scipy.special import ndtri  # noqa: PLC0415 - pages that ask for nothing load nothing

    z = float(ndtri(0.5 + confidence / 2))
    near, far = share, end
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        if abs(middle - share) <= z * _spread(middle, sizes):
            near = middle
        else:
            far = middle
    return near


def _spread(share: float, sizes: tuple[int, int]) -> float:
    """Return Newcombe's standard error of a share."""
    first, second = sizes
    more = (first + second) / 2 - 1
    shape = 1 + more * ((1 - share) / (2 - share) + share / (1 + share))
    return float(np.sqrt(share * (1 - share) * shape / (first * second)))
