"""Sealing by several processes before a push."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.core.layout import NodeFileName
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import Status
from hpctrack.sync.sending.sealers import order_sealed_first
from tests.unit.sync.made_stores import has_only_sealed, hash_files, log_runs


@pytest.mark.slow
def test_runs_are_sealed_by_others_and_offered_when_they_are(tmp_path: Path) -> None:
    store, target = tmp_path / "store", tmp_path / "target"
    names = [f"digits/r{number}" for number in range(4)]
    log_runs(store, *names, seal=False)
    log_runs(store, "digits/sealed")
    broken = store / "digits/broken"
    broken.mkdir()
    (broken / str(NodeFileName(0, 1, "00000000"))).write_bytes(b"not HDF5")
    folders = [store / name for name in (*names, "digits/sealed", "digits/broken")]
    ordered = list(order_sealed_first(folders, jobs=2, stale_after_s=60.0))
    assert ordered[0] == store / "digits/sealed"
    assert sorted(ordered) == sorted(folders)
    assert all(has_only_sealed(store / name) for name in names)
    result = push(store, str(target), jobs=2)
    assert {one.key.id: one.status for one in result.runs} == {
        **dict.fromkeys(["r0", "r1", "r2", "r3", "sealed"], Status.SENT),
        "broken": Status.SKIPPED,
    }
    there = hash_files(target)
    assert there == {name: one for name, one in hash_files(store).items() if "broken" not in name}


@pytest.mark.slow
def test_nobody_is_left_when_nobody_waits_for_the_rest(tmp_path: Path) -> None:
    store = tmp_path / "store"
    log_runs(store, "digits/a", "digits/b", seal=False)
    folders = order_sealed_first(
        [store / "digits/a", store / "digits/b"], jobs=1, stale_after_s=60.0
    )
    assert has_only_sealed(next(iter(folders)))
    folders.close()  # type: ignore[attr-defined]
