"""From many values to the counts of a histogram."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hpctrack.agents.encode.request import Array, Request
from hpctrack.client.media.histogram import BINS_MAX


def encode_histogram(request: Request) -> tuple[bytes, str, dict[str, Any]]:
    """Count values in bins of equal width; return JSON, its format, and what to add to ``meta``.

    The JSON is ``{"counts": [n], "edges": [n + 1]}``; a value on an edge belongs to the bin to its
    right, but for the last. NaN and infinities are counted in ``meta`` only.
    """
    array = request.array().reshape(-1)
    bins = int(request.number("bins", 1, BINS_MAX))
    values = array.astype(np.float64)
    is_finite = np.isfinite(values)
    finite = values if is_finite.all() else values[is_finite]
    extra: dict[str, Any] = {"values": len(values), "bins": bins}
    if len(finite) < len(values):
        missing = int(np.isnan(values).sum())
        found = {"nan": missing, "infinite": len(values) - len(finite) - missing}
        extra |= {key: count for key, count in found.items() if count}
    counts, edges = count_bins(finite, bins)
    if len(finite):
        with np.errstate(over="ignore"):
            extra |= {"min": float(finite.min()), "max": float(finite.max())}
            mean = float(finite.mean())
        extra |= {"mean": mean} if np.isfinite(mean) else {}
    body = {"counts": counts.tolist(), "edges": edges.tolist()}
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode(), "json", extra


def count_bins(values: Array, bins: int) -> tuple[Array, Array]:
    """Return counts and edges; like numpy, but for values too close or too far apart for it."""
    if not len(values):
        return np.zeros(bins, np.int64), np.linspace(0.0, 1.0, bins + 1)
    low, high = float(values.min()), float(values.max())
    if high / 2 - low / 2 > np.finfo(float).max / 4:
        counts, edges = np.histogram(values / 4, bins)
        return counts, np.clip(edges * 4, low, high)
    try:
        return np.histogram(values, bins)
    except ValueError:
        # Fewer floats lie between the extremes than there are bins.
        room = max(abs(low), abs(high)) * 1e-9 or 1.0
        most = np.finfo(float).max
        with np.errstate(over="ignore"):
            return np.histogram(values, bins, (max(low - room, -most), min(high + room, most)))
