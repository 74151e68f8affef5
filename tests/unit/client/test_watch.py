"""Watching models, with and without a PyTorch that does the counting."""

from __future__ import annotations

import copy
import math
import pickle
import sys
from typing import Any

import numpy as np
import pytest

from hpctrack.client.watch import BINS, Histogram, Watcher, count_values
from hpctrack.errors import UsageError
from tests import small_torch
from tests.modules import Module, Tensor


class Heard:
    """What a watcher said."""

    def __init__(self) -> None:
        self.logged: list[dict[str, Histogram]] = []
        self.told: list[str] = []
        self.troubles: list[Exception] = []
        self.watcher = Watcher(
            self.logged.append, lambda _key, text: self.told.append(text), self.troubles.append
        )

    def names(self) -> list[str]:
        return sorted(name for one in self.logged for name in one)


def make_module() -> Module:
    return Module(
        weight=Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
        bias=Tensor([0.5], requires_grad=True),
        frozen=Tensor([1.0]),
    )


def test_gradients_are_logged_every_so_many_backward_passes() -> None:
    heard, module = Heard(), make_module()
    assert heard.watcher.watch(module, log_freq=3) == 2
    for _ in range(4):
        module.backward(1.0)
    assert heard.names() == ["gradients/bias"] * 2 + ["gradients/weight"] * 2
    counts, edges = heard.logged[0]["gradients/bias"]
    assert (sum(counts), len(counts), len(edges)) == (3, BINS, BINS + 1)
    assert (edges[0], edges[-1]) == (-1.0, 1.0)


def test_parameters_are_logged_too_if_asked_and_a_loss_with_its_own_as_well() -> None:
    heard, module = Heard(), make_module()
    loss = Module(scale=Tensor([2.0], requires_grad=True))
    assert heard.watcher.watch(module, loss, log="all") == 4
    assert len(loss.hooks) == 0
    for model in (module, loss):
        model(1.0)
        model.backward(1.0)
    assert heard.names() == [
        "gradients/bias",
        "gradients/graph_1/scale",
        "gradients/weight",
        "parameters/bias",
        "parameters/frozen",
        "parameters/graph_1/scale",
        "parameters/weight",
    ]
    (weight,) = [one["parameters/weight"] for one in heard.logged if "parameters/weight" in one]
    assert sum(weight[0]) == 4


def test_unwatch_takes_the_hooks_away() -> None:
    heard, one, other = Heard(), make_module(), make_module()
    heard.watcher.watch([one, other])
    heard.watcher.unwatch(one)
    one.backward(1.0)
    assert heard.logged == []
    heard.watcher.unwatch()
    other.backward(1.0)
    assert heard.logged == []
    assert heard.watcher.watch(one) == 2


def test_a_frozen_model_is_logged_when_it_computes_in_training() -> None:
    heard, frozen = Heard(), Module(weight=Tensor([1.0]))
    assert heard.watcher.watch(frozen, log="all", log_freq=2) == 1
    assert "no parameter of Module needs a gradient: only its parameters" in heard.told[0]
    for _ in range(3):
        frozen(1.0)
        frozen.training = False
        frozen(1.0)
        frozen.training = True
    assert heard.names() == ["parameters/weight"] * 2
    (hook,) = frozen.hooks.values()
    loaded = pickle.loads(pickle.dumps(hook))  # noqa: S301 - made here
    assert loaded(frozen, (), None) is None
    assert copy.deepcopy(hook)(frozen, (), None) is None
    assert b"hpctrack.client" not in pickle.dumps(hook)
    assert len(heard.logged) == 2
    heard.watcher.unwatch()
    assert heard.watcher.watch(frozen) == 0
    assert "there is nothing to watch" in heard.told[1]


def test_a_model_without_forward_hooks_is_logged_with_its_gradients() -> None:
    class Plain:
        weight = Tensor([1.0], requires_grad=True)

        def named_parameters(self) -> list[tuple[str, Tensor]]:
            return [("weight", self.weight)]

    heard, plain = Heard(), Plain()
    heard.watcher.watch(plain, log="parameters")
    for hook in plain.weight.hooks.values():
        hook(Tensor([1.0]))
    assert heard.names() == ["parameters/weight"]


def test_a_model_keeps_its_number_when_it_is_watched_again() -> None:
    heard, one, other, third = Heard(), make_module(), make_module(), make_module()
    heard.watcher.watch([one, other])
    heard.watcher.unwatch()
    heard.watcher.watch(other)
    heard.watcher.watch(third, idx=5)
    other.backward(1.0)
    third.backward(1.0)
    assert heard.names() == [
        f"gradients/graph_{number}/{name}" for number in (1, 5) for name in ("bias", "weight")
    ]


def test_gradients_that_are_no_numbers_are_told_and_not_logged() -> None:
    heard, module = Heard(), make_module()
    heard.watcher.watch(module)
    module.backward(math.nan)
    assert heard.names() == ["gradients/bias", "gradients/weight"]
    assert all(sum(counts) == 1 for one in heard.logged for counts, _edges in one.values())
    assert count_values(Tensor([math.nan, math.inf])) is None
    heard.watcher._record({"x": Tensor([])})
    assert heard.told == ["x has no finite value: no histogram"]


def test_nothing_is_raised_into_a_backward_pass() -> None:
    def fail(_histograms: dict[str, Any]) -> None:
        raise OSError("broken")

    troubles: list[Exception] = []
    module = make_module()
    Watcher(fail, lambda _key, _text: None, troubles.append).watch(module)
    module.backward(1.0)
    assert [str(one) for one in troubles] == ["broken", "broken"]


@pytest.mark.parametrize(
    ("model", "more", "part"),
    [
        (object(), {}, "cannot be watched"),
        (make_module(), {"log": "weights"}, "log is"),
        (make_module(), {"log_freq": 0}, "log_freq"),
    ],
)
def test_mistakes_are_named(model: object, more: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        Heard().watcher.watch(model, **more)


def test_a_model_is_watched_once() -> None:
    heard, module = Heard(), make_module()
    heard.watcher.watch(module)
    with pytest.raises(UsageError, match="already"):
        heard.watcher.watch(module)


@pytest.mark.parametrize(
    "values", [[2.0] * 7, [0.0] * 3, [-1.5], [1e-300, 2e-300], [0.1, 0.2, 0.7]]
)
def test_every_finite_value_is_in_a_bin_between_rising_edges(values: list[float]) -> None:
    found = count_values(Tensor([*values, math.nan]))
    assert found is not None
    counts, edges = found
    assert sum(counts) == len(values)
    assert edges[0] <= min(values) <= max(values) <= edges[-1]
    assert edges[0] < edges[-1]


def test_a_long_tensor_is_sampled() -> None:
    found = count_values(Tensor([float(number) for number in range(250_000)]))
    assert found is not None
    assert 80_000 < sum(found[0]) <= 100_000


def test_a_loaded_pytorch_does_the_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", small_torch)
    values = [0.125 * number for number in range(-20, 30)]
    tensor = small_torch.Tensor(np.array([*values, math.inf]).reshape(3, 17))
    assert count_values(tensor) == count_values(Tensor(values))
    assert count_values(small_torch.Tensor(np.array([math.nan]))) is None
    sparse = small_torch.Tensor(np.array([1.0, 2.0, 3.0]), is_sparse=True)
    found = count_values(sparse)
    assert found is not None
    assert sum(found[0]) == 3
    assert isinstance(found[0][0], int)
