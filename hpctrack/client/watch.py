"""``run.watch``: histograms of gradients and parameters, without importing anybody's library.

A model is whatever has ``named_parameters()``, a parameter whatever has ``register_hook(fn)`` and
``detach()``: PyTorch's do. The arithmetic is PyTorch's too, if the program has loaded it, so that a
tensor on a GPU is counted there and 64 numbers come back; otherwise values are counted here.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import UsageError

BINS = 64
KINDS: dict[str | None, tuple[str, ...]] = {
    "gradients": ("gradients",),
    "parameters": ("parameters",),
    "all": ("gradients", "parameters"),
    None: (),
}
COUNTED_HERE_MAX = 100_000
"""Values that are counted by the standard library; of a longer tensor every n-th one is."""

Histogram = tuple[list[int], list[float]]
"""Counts, and one more edge than counts."""


@dataclass(slots=True)
class _Watched:
    """One model."""

    model: object
    handles: list[Any] = field(default_factory=list)


class Watcher:
    """The models that a run watches. Per-rank.

    Parameters
    ----------
    log : callable
        Takes ``{name: (counts, edges)}``, without a step of its own.
    tell : callable
        Takes key and text of something that cannot be shown; says it once.
    trouble : callable
        Takes an error: nothing may be raised into a backward pass.
    """

    def __init__(
        self,
        log: Callable[[dict[str, Histogram]], None],
        tell: Callable[[str, str], None],
        trouble: Callable[[Exception], None],
    ) -> None:
        self._log = log
        self._tell = tell
        self._trouble = trouble
        self._watched: list[_Watched] = []
        self._begun = 0

    def watch(
        self,
        models: object,
        criterion: object = None,
        *,
        log: str | None = "gradients",
        log_freq: int = 1000,
        idx: int | None = None,
    ) -> int:
        """Begin to watch.

        Parameters
        ----------
        models : module, or sequence of them
            Anything with ``named_parameters()``.
        criterion : module, optional
            A loss with parameters of its own is watched as one more model.
        log : {"gradients", "parameters", "all"} or None
            What is recorded, below ``gradients/`` and ``parameters/``.
        log_freq : int
            Backward passes from one histogram to the next, at least 1.
        idx : int, optional
            Number of the first model; names of models after the first begin with ``graph_1/``.

        Returns
        -------
        int
            Parameters that are watched now; those that need no gradient are not.

        Raises
        ------
        UsageError
            There is nothing to watch, it is watched already, or an argument is wrong.
        """
        if log not in KINDS:
            raise UsageError(f"log is {log!r:.40}", hint="use gradients, parameters, all or None")
        if log_freq < 1:
            raise UsageError(
                f"log_freq is {log_freq!r:.40}", hint="give backward passes, 1 or more"
            )
        chosen = list(models) if isinstance(models, (list, tuple)) else [models]
        for model in chosen:
            if not callable(getattr(model, "named_parameters", None)):
                raise UsageError(
                    f"a {type(model).__name__} cannot be watched",
                    hint="it has no named_parameters(), as modules of PyTorch have",
                )
            if any(one.model is model for one in self._watched):
                raise UsageError("the model is watched already", hint="unwatch() it first")
        if callable(getattr(criterion, "named_parameters", None)):
            chosen.append(criterion)
        return sum(self._begin(model, KINDS[log], log_freq, idx) for model in chosen)

    def unwatch(self, models: object = None) -> None:
        """Take the hooks away, from some models or from all."""
        chosen = models if isinstance(models, (list, tuple)) or models is None else [models]
        for one in list(self._watched):
            if chosen is None or any(one.model is model for model in chosen):
                for handle in one.handles:
                    handle.remove()
                self._watched.remove(one)

    def _begin(self, model: Any, kinds: Sequence[str], log_freq: int, idx: int | None) -> int:
        number = self._begun + (idx or 0)
        self._begun += 1
        prefix = f"graph_{number}/" if number else ""
        watched = _Watched(model)
        if kinds:
            for name, parameter in model.named_parameters():
                if getattr(parameter, "requires_grad", True):
                    hook = self._make_hook(parameter, f"{prefix}{name}", kinds, log_freq)
                    watched.handles.append(parameter.register_hook(hook))
        self._watched.append(watched)
        return len(watched.handles)

    def _make_hook(
        self, parameter: Any, name: str, kinds: Sequence[str], log_freq: int
    ) -> Callable[[Any], None]:
        passes = 0

        def hook(gradient: Any) -> None:
            nonlocal passes
            passes += 1
            if (passes - 1) % log_freq:
                return
            try:
                tensors = {"gradients": gradient, "parameters": parameter}
                self._record({f"{kind}/{name}": tensors[kind] for kind in kinds})
            except Exception as error:  # noqa: BLE001 - nothing may reach the training
                self._trouble(error)

        return hook

    def _record(self, tensors: dict[str, Any]) -> None:
        found = {}
        for name, tensor in tensors.items():
            histogram = count_values(tensor)
            if histogram is None:
                self._tell(name, f"{name} has no finite value: no histogram")
            else:
                found[name] = histogram
        if found:
            self._log(found)


def count_values(tensor: Any) -> Histogram | None:
    """Return the histogram of a tensor's finite values.

    Parameters
    ----------
    tensor : tensor of any shape, type and device

    Returns
    -------
    list of int, list of float, or None
        Counts of `BINS` equal bins and their edges; None without a finite value.

    Notes
    -----
    Waits for the device: once in ``log_freq`` passes.
    """
    tensor = tensor.detach()
    if getattr(tensor, "is_sparse", False):
        tensor = tensor.coalesce().values()
    if callable(getattr(tensor, "to_local", None)):
        tensor = tensor.to_local()  # a sharded tensor: what this rank has of it
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(tensor, torch.Tensor):
        return _count_by_torch(torch, tensor)
    return _count_here(tensor)


def _count_by_torch(torch: Any, tensor: Any) -> Histogram | None:
    values = tensor.float().reshape(-1)
    values = values[torch.isfinite(values)]
    if not values.numel():
        return None
    low, high = values.min().item(), values.max().item()
    edges = _edges(low, high)
    counts = torch.histc(values, bins=BINS, min=edges[0], max=edges[-1])
    return [int(count) for count in counts.tolist()], edges


def _count_here(tensor: Any) -> Histogram | None:
    flat = list(_iter_flat(tensor.tolist()))
    stride = max(1, -(-len(flat) // COUNTED_HERE_MAX))
    values = [value for value in flat[::stride] if math.isfinite(value)]
    if not values:
        return None
    edges = _edges(min(values), max(values))
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, max(0, bisect_right(edges, value) - 1))] += 1
    return counts, edges


def _edges(low: float, high: float) -> list[float]:
    if low == high:
        # The same value everywhere is one bar of a width that can be seen.
        margin = abs(low) / 2 or 0.5
        low, high = low - margin, high + margin
    return [low + (high - low) * number / BINS for number in range(BINS)] + [high]


def _iter_flat(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for one in value:
            yield from _iter_flat(one)
    else:
        yield float(value)
