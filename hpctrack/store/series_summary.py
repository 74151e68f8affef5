"""A metric's summary, worked out from pieces of its lowest rank's points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hpctrack.client.definitions import Definition
from hpctrack.store.columns import Columns
from hpctrack.store.definitions import find_definition, summarize
from hpctrack.store.schema import FloatArray, IntArray

KEPT_POINTS = 262144
"""A series up to this long is kept whole and summarised as readers do it."""


class SeriesSummary:
    """Collects the points that count of the lowest rank of a metric.

    Of a long series it keeps only the points that a summary can be: first, last, lowest and
    highest; and the sum, for the mean. Where only the last value is wanted, it keeps that alone.

    Parameters
    ----------
    name : str
        The metric.
    definitions : sequence of Definition
        What the run said about its metrics.
    """

    def __init__(self, name: str, definitions: Sequence[Definition]) -> None:
        self._name = name
        self._definitions = definitions
        self._parts: list[tuple[IntArray, FloatArray]] = []
        self._held = 0
        self._is_long = False
        self._total = 0.0
        self._count = 0
        self._is_last_only = set(find_definition(definitions, name).summary or ("last",)) == {
            "last"
        }
        self._last: tuple[int, float] | None = None

    def add(self, step: IntArray, value: FloatArray) -> None:
        """Add points in the order of logging."""
        if self._is_last_only:
            self._keep_last(step, value)
            return
        self._parts.append((step.copy(), value.copy()))
        self._held += len(step)
        is_number = ~np.isnan(value)
        with np.errstate(invalid="ignore", over="ignore"):
            self._total += float(value[is_number].sum())
        self._count += int(is_number.sum())
        if self._held > KEPT_POINTS:
            self._condense()

    def result(self) -> dict[str, Any]:
        """Return the metric's entry of the summary, by its name; nothing if it has none."""
        if self._is_last_only:
            return {} if self._last is None else {self._name: self._last[1]}
        step, value = self._join()
        same = np.zeros(len(step), np.int64)
        columns = Columns(same, same, step, np.zeros(len(step)), value)
        found = summarize({self._name: columns}, self._definitions)
        if self._is_long and self._count and self._name in found:
            found[self._name] = self._with_mean(found[self._name])
        return found

    def _keep_last(self, step: IntArray, value: FloatArray) -> None:
        """Keep the value at the highest step; of several there the one that was logged last."""
        if len(step):
            at = len(step) - 1 - int(np.argmax(step[::-1]))
            if self._last is None or int(step[at]) >= self._last[0]:
                self._last = int(step[at]), float(value[at])

    def _with_mean(self, summary: Any) -> Any:
        kinds = find_definition(self._definitions, self._name).summary
        mean = self._total / self._count
        if isinstance(summary, dict):
            return {**summary, "mean": mean} if "mean" in summary else summary
        return mean if "mean" in kinds else summary

    def _join(self) -> tuple[IntArray, FloatArray]:
        steps = [np.zeros(0, np.int64), *(step for step, _value in self._parts)]
        values = [np.zeros(0), *(value for _step, value in self._parts)]
        return np.concatenate(steps), np.concatenate(values)

    def _condense(self) -> None:
        step, value = self._join()
        last = len(step) - 1 - int(np.argmax(step[::-1]))
        kept = {int(np.argmin(step)), last}
        if not np.isnan(value).all():
            kept |= {int(np.nanargmin(value)), int(np.nanargmax(value))}
        which = sorted(kept)
        self._parts = [(step[which], value[which])]
        self._held = len(which)
        self._is_long = True
