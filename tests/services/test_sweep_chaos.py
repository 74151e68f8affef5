"""A sweep finds what it finds, whoever of those that run it is killed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .cluster import Cluster, Place
from .sweep_chaos import SHARES, Chaos, run_undisturbed

pytestmark = pytest.mark.slurm

TRIALS, KILLS, SEED = 200, 20, 5


def test_two_hundred_trials_and_twenty_kills_end_as_if_nothing_had_happened(
    cluster: Cluster, cluster_scratch: Place, tmp_path: Path
) -> None:
    wanted = run_undisturbed(TRIALS, tmp_path / "undisturbed")
    assert len(wanted) == TRIALS
    chaos = Chaos(cluster, cluster_scratch, SEED, trials=TRIALS, kills=KILLS)
    try:
        chaos.run(timeout_s=400)
        assert [*chaos.iter_wrongs(wanted)] == []
        assert Counter(one.split()[0] for one in chaos.done) == SHARES
    finally:
        chaos.close()
