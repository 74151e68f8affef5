"""``run.watch``: histograms of gradients and parameters, without importing anybody's library.

A model is whatever has ``named_parameters()``, a parameter whatever has ``register_hook(fn)`` and
``detach()``: PyTorch's do. Parameters are seen when their gradients come; those that need none are
seen when the model computes, by ``register_forward_hook(fn)``. The arithmetic is PyTorch's too, if
the program has loaded it, so that a tensor on a GPU is counted there and 64 numbers come back;
otherwise values are counted here.
"""

from __future__ import annotations

import itertools
import math
import sys
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hpctrack.client import media
from hpctrack.client.values import Faults
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
    number: int
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
        self._known: dict[int, tuple[Callable[[], object], int]] = {}

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
            Backward passes from one histogram to the next, at least 1; for parameters that need no
            gradient, forward passes in training.
        idx : int, optional
            Number of the first model; names of model 1 begin with ``graph_1/``, those of model 0
            with nothing. Default: the one it had before, else the first that is free.

        Returns
        -------
        int
            Parameters that are watched now.

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
        parameters = getattr(criterion, "named_parameters", None)
        if callable(parameters) and any(True for _one in parameters()):
            chosen.append(criterion)
        watched = 0
        for place, model in enumerate(chosen):
            number = self._find_number(model) if idx is None else idx + place
            self._remember(model, number)
            watched += self._begin(model, number, KINDS[log], log_freq)
        return watched

    def unwatch(self, models: object = None) -> None:
        """Take the hooks away, from some models or from all."""
        chosen = models if isinstance(models, (list, tuple)) or models is None else [models]
        for one in list(self._watched):
            if chosen is None or any(one.model is model for model in chosen):
                for handle in one.handles:
                    handle.remove()
                self._watched.remove(one)

    def _find_number(self, model: object) -> int:
        """Return a model's number: what curves are called must not depend on who came before."""
        seen, number = self._known.get(id(model), (_nobody, 0))
        if seen() is model:
            return number
        taken = {one.number for one in self._watched}
        taken |= {number for alive, number in self._known.values() if alive() is not None}
        return next(number for number in itertools.count() if number not in taken)

    def _remember(self, model: object, number: int) -> None:
        try:
            self._known[id(model)] = weakref.ref(model), number
        except TypeError:
            self._known.pop(id(model), None)  # of somebody else, who had the same place in memory

    def _begin(self, model: Any, number: int, kinds: Sequence[str], log_freq: int) -> int:
        prefix = f"graph_{number}/" if number else ""
        watched = _Watched(model, number)
        self._watched.append(watched)
        trained: list[tuple[str, Any]] = []
        frozen: list[tuple[str, Any]] = []
        for one in model.named_parameters():
            (trained if getattr(one[1], "requires_grad", True) else frozen).append(one)
        for name, parameter in trained if kinds else ():
            hook = self._make_hook(parameter, f"{prefix}{name}", kinds, log_freq)
            watched.handles.append(parameter.register_hook(hook))
        on_forward = getattr(model, "register_forward_hook", None)
        has_forward = "parameters" in kinds and bool(frozen) and callable(on_forward)
        if has_forward and on_forward is not None:
            names = frozenset(name for name, _one in frozen)
            watched.handles.append(on_forward(_ForwardHook(self, prefix, names, log_freq)))
        if kinds and not trained:
            text = f"no parameter of {type(model).__name__} needs a gradient: "
            more = "only its parameters are logged" if has_forward else "there is nothing to watch"
            self._tell(f"nothing {number}", text + more)
        return (len(trained) if kinds else 0) + (len(frozen) if has_forward else 0)

    def _make_hook(
        self, parameter: Any, name: str, kinds: Sequence[str], log_freq: int
    ) -> Callable[[Any], None]:
        passes = itertools.count()

        def hook(gradient: Any) -> None:
            if next(passes) % log_freq:
                return
            try:
                tensors = {"gradients": gradient, "parameters": parameter}
                self._record({f"{kind}/{name}": tensors[kind] for kind in kinds})
            except Exception as error:  # noqa: BLE001 - nothing may reach the training
                self._trouble(error)

        return hook

    def record_parameters(self, model: Any, prefix: str, names: frozenset[str]) -> None:
        """Log some of a model's parameters; never raises."""
        try:
            found = {
                f"parameters/{prefix}{name}": one
                for name, one in model.named_parameters()
                if name in names
            }
            self._record(found)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._trouble(error)

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


def make_watcher(log: Callable[..., None], faults: Faults) -> Watcher:
    """Return a watcher whose histograms have the step of the next ``log`` call.

    Parameters
    ----------
    log : callable
        A run's ``log``.
    faults : Faults
        Where its mistakes go.
    """

    def log_histograms(found: dict[str, Histogram]) -> None:
        drawn = {key: media.Histogram(np_histogram=one) for key, one in found.items()}
        log(drawn, commit=False)

    return Watcher(
        log_histograms,
        lambda key, text: faults.tell("watch", text, once=key),
        lambda error: faults.trouble("watch", error),
    )


class _ForwardHook:
    """Logs parameters that no gradient reaches when their model computes in training.

    A model that is copied or pickled takes its hooks along: this one becomes a function of the
    standard library that does nothing, so that the copy can be loaded where nothing is tracked.
    """

    def __init__(self, watcher: Watcher, prefix: str, names: frozenset[str], log_freq: int) -> None:
        self._watcher = watcher
        self._prefix = prefix
        self._names = names
        self._log_freq = log_freq
        self._passes = 0
        compiler = getattr(sys.modules.get("torch"), "compiler", None)
        self._is_compiling: Callable[[], bool] = getattr(compiler, "is_compiling", bool)

    def __call__(self, model: Any, _inputs: Any, _output: Any) -> None:
        # In compiled code a counter would make a new version of it with every pass.
        if self._is_compiling():
            return
        if getattr(model, "training", True):
            self._passes += 1
            if (self._passes - 1) % self._log_freq == 0:
                self._watcher.record_parameters(model, self._prefix, self._names)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial, (sys.audit, "hpctrack.watch")


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


def _nobody() -> None:
    """Stand for the weak reference to a model that is not known."""
