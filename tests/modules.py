"""A small neural-network module with the interface that ``run.watch`` needs, and nothing else.

It behaves as PyTorch's does where it matters: hooks are called with the gradient in the backward
pass, in reverse order, and a handle takes one away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Hook = Callable[["Tensor"], Any]


class Tensor:
    """Numbers in nested lists."""

    def __init__(self, values: list[Any], *, requires_grad: bool = False) -> None:
        self.values = values
        self.requires_grad = requires_grad
        self.hooks: dict[int, Hook] = {}

    def detach(self) -> Tensor:
        return Tensor(self.values)

    def tolist(self) -> list[Any]:
        return self.values

    def register_hook(self, hook: Hook) -> Handle:
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        number = max(self.hooks, default=0) + 1
        self.hooks[number] = hook
        return Handle(self.hooks, number)


class Handle:
    """Takes a hook away."""

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        self._hooks.pop(self._number, None)


class Module:
    """A model: named parameters, and a backward pass that calls their hooks."""

    def __init__(self, **parameters: Tensor) -> None:
        self._parameters = parameters
        self.training = True
        self.hooks: dict[int, Callable[[Module, tuple[Any, ...], Any], Any]] = {}

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Handle:
        number = max(self.hooks, default=0) + 1
        self.hooks[number] = hook
        return Handle(self.hooks, number)

    def __call__(self, *inputs: Any) -> Any:
        for hook in list(self.hooks.values()):
            assert hook(self, inputs, None) is None

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._parameters.items()

    def backward(self, gradient: float) -> None:
        for parameter in reversed(list(self._parameters.values())):
            for hook in list(parameter.hooks.values()):
                assert hook(Tensor([gradient, -gradient, 0.0])) is None
