#!/usr/bin/env python3
"""Train a small neural network on handwritten digits, data-parallel over MPI, logged by hpctrack.

The data are the UCI optical digits that scikit-learn ships; the network is plain numpy. Every
rank holds a shard, gradients are averaged with an allreduce, and all ranks log into ONE run.

    mpiexec -n 4 python slurm/train_digits.py --epochs 8
    python slurm/train_digits.py --local --lr 0.2
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import hpctrack

Array = NDArray[np.float64]


def parse_arguments() -> argparse.Namespace:
    """Return the hyperparameters."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32, help="per rank")
    parser.add_argument("--lr", type=float, default=0.2)
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--project", default=None)
    parser.add_argument("--name", default=None)
    parser.add_argument("--local", action="store_true", help="no MPI: every rank trains alone")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait in each step")
    parser.add_argument("--print-points", action="store_true", help="print each logged value too")
    return parser.parse_args()


class Network:
    """Two layers with ReLU and softmax.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, hidden units, classes.
    seed : int
        Of the weights; the same on all ranks.
    """

    def __init__(self, sizes: tuple[int, int, int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        inputs, hidden, classes = sizes
        self.weights = [
            rng.normal(0, np.sqrt(2 / inputs), (inputs, hidden)),
            np.zeros(hidden),
            rng.normal(0, np.sqrt(2 / hidden), (hidden, classes)),
            np.zeros(classes),
        ]

    def forward(self, x: Array) -> tuple[Array, Array]:
        """Return activations and class probabilities, shapes (n, hidden) and (n, classes)."""
        w1, b1, w2, b2 = self.weights
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return hidden, odds / odds.sum(axis=1, keepdims=True)

    def gradients(self, x: Array, y: NDArray[np.int64]) -> tuple[float, list[Array]]:
        """Return the mean cross-entropy and its gradients."""
        hidden, p = self.forward(x)
        n = len(y)
        loss = float(-np.log(p[np.arange(n), y] + 1e-12).mean())
        error = p.copy()
        error[np.arange(n), y] -= 1
        error /= n
        back = (error @ self.weights[2].T) * (hidden > 0)
        return loss, [x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]

    def accuracy(self, x: Array, y: NDArray[np.int64]) -> float:
        """Return the share of right answers, 0 to 1."""
        return float((self.forward(x)[1].argmax(axis=1) == y).mean())


def find_digits() -> Path:
    """Return the file of digits that scikit-learn ships: 1797 rows of 64 pixels and a label.

    Importing scikit-learn for one file would cost every rank seconds, and MPICH failed to start
    under ``srun --mpi=pmi2`` when it was imported before MPI.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        sys.exit("train_digits: pip install scikit-learn, whose digits this learns")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def load_shard(rank: int, size: int, seed: int) -> tuple[Any, ...]:
    """Return this rank's training data and the common test data."""
    table = np.loadtxt(find_digits(), delimiter=",")
    x, y = table[:, :-1] / 16.0, table[:, -1].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(y))
    test, train = order[:360], order[360:]
    mine = train[rank::size]
    return x[mine], y[mine], x[test], y[test]


def find_communicator(*, is_local: bool) -> tuple[Any, int, int]:
    """Return MPI's world, rank and size; None, and what hpctrack found, for a local run."""
    if is_local:
        return None, 0, 1
    from mpi4py import MPI  # noqa: PLC0415 - importing it initialises MPI

    world = MPI.COMM_WORLD
    return world, world.Get_rank(), world.Get_size()


def average(world: Any, gradients: list[Array]) -> list[Array]:
    """Average gradients over all ranks, in one message."""
    if world is None or world.Get_size() == 1:
        return gradients
    flat = np.concatenate([one.ravel() for one in gradients])
    world.Allreduce(flat.copy(), flat)
    flat /= world.Get_size()
    cuts = np.cumsum([one.size for one in gradients])[:-1]
    return [
        part.reshape(one.shape) for part, one in zip(np.split(flat, cuts), gradients, strict=True)
    ]


def train(run: hpctrack.Run, options: argparse.Namespace, world: Any, rank: int, size: int) -> None:
    """Train and log loss, accuracy, gradient norm and step time of every step."""
    x, y, x_test, y_test = load_shard(rank, size, options.seed)
    network = Network((x.shape[1], int(run.config.hidden), 10), options.seed)
    speed = [np.zeros_like(one) for one in network.weights]
    rng = np.random.default_rng([options.seed, rank])
    batch = int(run.config.batch_size)
    # All ranks must do the same number of steps, or the last allreduce waits for ever.
    steps = max(1, (1797 - 360) // size // batch) * int(run.config.epochs)
    for step in range(steps):
        start = time.perf_counter()
        pick = rng.integers(0, len(y), batch)
        loss, gradients = network.gradients(x[pick], y[pick])
        gradients = average(world, gradients)
        norm = float(np.sqrt(sum(float((one**2).sum()) for one in gradients)))
        for index, gradient in enumerate(gradients):
            speed[index] = options.momentum * speed[index] - run.config.lr * gradient
            network.weights[index] += speed[index]
        if options.pause:
            time.sleep(options.pause)
        values = {
            "loss": loss,
            "accuracy": network.accuracy(x_test, y_test),
            "grad_norm": norm,
            "step_time_s": time.perf_counter() - start,
        }
        run.log(values, step=step)
        if options.print_points:
            for name, value in values.items():
                # One write per line, so that the lines of several ranks never mix.
                os.write(1, f"POINT {run.rank} {step} {name} {value!r}\n".encode())
    if rank == 0:
        run.summary["final_accuracy"] = network.accuracy(x_test, y_test)


def main() -> None:
    """Train."""
    options = parse_arguments()
    world, rank, size = find_communicator(is_local=options.local)
    wanted = ("epochs", "batch_size", "lr", "hidden", "momentum", "seed")
    config = {"dataset": "digits", **{key: getattr(options, key) for key in wanted}}
    with hpctrack.init(project=options.project, name=options.name, config=config) as run:
        if options.print_points:
            where = f"{os.uname().nodename} {os.getpid()}"
            os.write(1, f"RANK {run.rank} {where} {run.id} {run.project}\n".encode())
        train(run, options, world, rank, size)
    if rank == 0:
        print(f"digits: test accuracy {run.summary['final_accuracy']:.3f} on {size} ranks")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
