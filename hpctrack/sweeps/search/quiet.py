"""Optuna says less: its log goes through ours, and its experiments are our affair."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import ExperimentalWarning


@contextmanager
def quietly() -> Iterator[None]:
    """Let Optuna log warnings only, to the root logger, and warn of nothing it may yet change."""
    if logging.getLogger("optuna").level < logging.WARNING:
        optuna.logging.set_verbosity(logging.WARNING)
        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
    with warnings.catch_warnings():
        # What is experimental, or on its way out, in the release that our tests run is known.
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
