"""A short run of `tests.foreign_fuzz`; the long one is started by hand, and at night."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.foreign_fuzz import Victim, run
from tests.unit.store.sealed_kinds import few_metrics, long_series

CASES = 300


@pytest.mark.slow
def test_what_the_reader_of_bytes_takes_is_harmless_to_the_library(tmp_path: Path) -> None:
    made = [make(tmp_path / make.__name__).read_bytes() for make in (few_metrics, long_series)]
    count = run([Victim(data) for data in made], 6, CASES)
    assert count.total() == CASES
    assert count[""] > CASES / 20
    assert count["unknown"] > CASES / 3
