"""What tests of telemetry share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[None]:
    """Take root's right away to read everything; the test's own folder stays reachable."""
    if os.geteuid() != 0:
        yield
        return
    changed = []
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode
        if folder != Path(tempfile.gettempdir()) and not mode & 0o001:
            changed.append((folder, mode))
            folder.chmod(mode | 0o011)
    os.chown(tmp_path, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for folder, mode in changed:
            folder.chmod(mode)
