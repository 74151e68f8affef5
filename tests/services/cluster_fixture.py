"""Fixtures for tests that need a real Slurm cluster; a pytest plugin for tests/conftest.py.

Tests that use them carry ``@pytest.mark.slurm``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.capabilities import check_part

from .cluster import Cluster, Options, Place, list_interpreter_folders, list_missing
from .cluster.requirements import list_hierarchies

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT: Final = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of three nodes that sees the checkout and the running interpreter.

    The test session shares it: leave its machines on, plugged in and idle. When a test failed, the
    last lines of Slurm's logs are printed at the end.
    """
    yield from _bring_up(request, make_options())


@pytest.fixture(scope="module")
def accounting_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Another one with slurmdbd and MariaDB, and cgroups where the host has their version 1."""
    check_part("slurm", list_missing(accounting=True))
    has_cgroups = bool(list_hierarchies())
    yield from _bring_up(request, Options(keep=_list_kept(), accounting=True, cgroups=has_cgroups))


def make_options() -> Options:
    """Return what the shared cluster consists of."""
    return Options(keep=_list_kept())


def _list_kept() -> tuple[str, ...]:
    return (str(CHECKOUT), *list_interpreter_folders())


def _bring_up(request: pytest.FixtureRequest, options: Options) -> Iterator[Cluster]:
    failed_before = request.session.testsfailed
    with Cluster(options=options) as made:
        yield made
        if request.session.testsfailed > failed_before:
            capture = request.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                print("\n" + made.tail_logs("slurm*.log", lines=30))


@pytest.fixture
def cluster_scratch(cluster: Cluster, request: pytest.FixtureRequest) -> Place:
    """A fresh folder of alice's in the scratch that login and compute nodes share."""
    return cluster.make_scratch(re.sub(r"\W+", "-", request.node.name)[:60])
