"""What looks after a store, on one that real receivers have filled."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hpctrack.store.seal import seal_run
from hpctrack.store.store import Store
from hpctrack.sync.sending.push import push
from hpctrack.sync.upkeep.audit import iter_events
from hpctrack.sync.upkeep.backup import back_up
from hpctrack.sync.upkeep.collection import collect
from hpctrack.sync.upkeep.manifest import check_backup
from hpctrack.sync.upkeep.quotas import list_usage, measure_project, set_quota
from hpctrack.sync.upkeep.reindexing import reindex
from hpctrack.sync.upkeep.store_check import check_store
from tests.stores import NodeWriter, write_run

pytestmark = pytest.mark.slow

FRESH_S = 3600.0
"""A run whose last sign of life is old counts as lost: a busy machine takes its time."""


def test_a_store_with_sealed_and_live_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    seal_run(write_run(source, project="digits", run="sealed"))
    writer = NodeWriter(source, project="digits", run="live", wall_s=time.time() + FRESH_S)
    writer.start(0)
    writer.points("loss", 0, range(100), [0.5] * 100)
    writer.flush()
    target.mkdir()
    set_quota(target, "digits", 10_000_000)
    push(source, str(target))
    backups = [back_up(target, tmp_path / "backups").path]
    writer.points("loss", 0, range(100, 200), [0.5] * 100)
    writer.flush()
    push(source, str(target))
    backups.append(back_up(target, tmp_path / "backups").path)
    for store, steps in ((backups[0], 100), (backups[1], 200), (target, 200)):
        assert [one.is_intact for one in check_store(store)] == [True] * 3
        run = Store(store).run("live")
        assert (run.state, len(run.history())) == ("running", steps)
    assert list(check_backup(backups[1])) == []
    actions = {(one["action"], one["kind"]) for one in iter_events(target)}
    assert {("published", "run"), ("appended", "live")} <= actions
    assert collect(target).freed == []
    assert (reindex(target).runs, reindex(target).broken) == (2, 0)
    assert list_usage(target) == {"digits": measure_project(target, "digits")}
    writer.close()
