"""Stores in memory: hundreds of pushes with all their syncs take a minute there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sync_proofs.stores import Source, make_source

MEMORY = Path("/dev/shm")


def make_folder() -> Path:
    parent = MEMORY if os.access(MEMORY, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="hpctrack-proof-", dir=parent))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of this test's own."""
    found = make_folder()
    yield found
    shutil.rmtree(found)


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    """A store with one thing of every kind."""
    found = make_folder()
    yield make_source(found / "source")
    shutil.rmtree(found)
