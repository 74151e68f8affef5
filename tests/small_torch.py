"""As much of PyTorch as counting a tensor's values takes, on numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


class Tensor:
    """An array that answers to PyTorch's names."""

    def __init__(self, array: Any, *, is_sparse: bool = False) -> None:
        self.array = np.asarray(array)
        self.is_sparse = is_sparse

    def detach(self) -> Tensor:
        return self

    def coalesce(self) -> Tensor:
        return Tensor(self.array)

    def values(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        assert not self.is_sparse
        return Tensor(self.array.astype(np.float32))

    def reshape(self, *shape: int) -> Tensor:
        return Tensor(self.array.reshape(*shape))

    def __getitem__(self, which: Tensor) -> Tensor:
        return Tensor(self.array[which.array])

    def numel(self) -> int:
        return int(self.array.size)

    def min(self) -> Tensor:
        return Tensor(self.array.min())

    def max(self) -> Tensor:
        return Tensor(self.array.max())

    def item(self) -> Any:
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()


def isfinite(tensor: Tensor) -> Tensor:
    return Tensor(np.isfinite(tensor.array))


def histc(tensor: Tensor, *, bins: int, min: float, max: float) -> Tensor:  # noqa: A002 - PyTorch's names
    assert min < max
    counts, _edges = np.histogram(tensor.array, bins=bins, range=(min, max))
    return Tensor(counts.astype(np.float32))
