"""A trial of a real training: handwritten digits, a network of two layers, plain numpy.

The test that starts it as a program also imports it, to train every configuration to the end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import hpctrack

EPOCHS = 24
BATCH = 64
TEST_ROWS = 360


def train(config: Mapping[str, Any], data: Path) -> Iterator[float]:
    """Yield the share of right answers on rows that were not trained on, after each epoch."""
    table = np.load(data)
    rng = np.random.default_rng(0)
    table = table[rng.permutation(len(table))]
    x, y = table[:, :-1] / 16.0, table[:, -1].astype(np.int64)
    x_test, y_test, x, y = x[:TEST_ROWS], y[:TEST_ROWS], x[TEST_ROWS:], y[TEST_ROWS:]
    hidden = int(config["hidden"])
    weights = [
        rng.normal(0, np.sqrt(2 / 64), (64, hidden)),
        np.zeros(hidden),
        rng.normal(0, np.sqrt(2 / hidden), (hidden, 10)),
        np.zeros(10),
    ]
    speed = [np.zeros_like(one) for one in weights]
    for _ in range(EPOCHS):
        order = rng.permutation(len(y))
        for begin in range(0, len(y), BATCH):
            rows = order[begin : begin + BATCH]
            for at, slope in enumerate(find_slopes(weights, x[rows], y[rows])):
                speed[at] = config["momentum"] * speed[at] - config["lr"] * slope
                weights[at] += speed[at]
        inner = np.maximum(x_test @ weights[0] + weights[1], 0)
        guess = (inner @ weights[2] + weights[3]).argmax(axis=1)
        yield float((guess == y_test).mean())


def find_slopes(weights: list[Any], x: Any, y: Any) -> list[Any]:
    """Return the gradients of the mean cross-entropy."""
    inner = np.maximum(x @ weights[0] + weights[1], 0)
    scores = inner @ weights[2] + weights[3]
    error = np.exp(scores - scores.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(y)), y] -= 1
    error /= len(y)
    back = (error @ weights[2].T) * (inner > 0)
    return [x.T @ back, back.sum(axis=0), inner.T @ error, error.sum(axis=0)]


def main() -> None:
    """Train, and stop when told to."""
    with hpctrack.init() as run:
        for epoch, accuracy in enumerate(train(run.config, Path(sys.argv[1]))):
            run.log({"accuracy": accuracy}, step=epoch)
            if run.should_stop():
                break


if __name__ == "__main__":
    main()
