"""Runs of very many metrics with few points each, such as a norm for every layer."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path

import h5py
import pytest

from hpctrack.agents import sealer
from hpctrack.agents.sealer import Sealer
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import StoreError
from hpctrack.store.seal import seal_run
from hpctrack.store.seal_steps import sum_metrics
from hpctrack.store.sealed_file import read_json
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter

CALLS_MAX = 25
"""Of h5py's Python code, for one metric: it was 212 before this was looked at."""


def write_many(store: Path, metrics: int, *, run: str = "r", odd: bool = False) -> Path:
    writer = NodeWriter(store, run=run)
    session = writer.start(0)
    for number in range(metrics):
        # Odd ones have steps of their own, so that nothing is shared with the one before.
        first = number if odd else 0
        steps = range(first, first + 3 + (number % 3 if odd else 0))
        writer.points(f"layer{number}/norm", 0, steps, [number + step / 10 for step in steps])
    writer.end(0, session)
    return writer.close().parent


def count_calls(folder: Path) -> int:
    """Seal a run; return how many calls of h5py's Python code that took."""
    profile = cProfile.Profile()
    profile.runcall(seal_run, folder)
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return sum(row[1] for (path, _line, _name), row in found.items() if "/h5py/_hl/" in path)


def test_sealing_a_small_metric_takes_few_calls(tmp_path: Path) -> None:
    few = count_calls(write_many(tmp_path, 20, run="few"))
    many = count_calls(write_many(tmp_path, 120, run="many"))
    assert (many - few) / 100 < CALLS_MAX


@pytest.mark.parametrize("odd", [False, True], ids=["shared steps", "steps of their own"])
def test_many_small_metrics_are_sealed_as_they_were(tmp_path: Path, odd: bool) -> None:
    folder = write_many(tmp_path, 50, odd=odd)
    run = StoredRun(folder)
    before = {name: run.metric(name).values.tolist() for name in run.metrics()}
    run.close()
    seal_run(folder)
    sealed = StoredRun(folder)
    assert {name: sealed.metric(name).values.tolist() for name in sealed.metrics()} == before
    assert len(before) == 50


def test_a_changed_byte_of_a_small_metric_is_found_when_it_is_read_back(tmp_path: Path) -> None:
    folder = write_many(tmp_path, 30, odd=True)
    seal_run(folder)
    path = folder / "run.h5"
    with h5py.File(path, "r") as file:
        entries = read_json(file, "index")["metrics"]
        offset = file["metrics"][entries[7][1]]["value"].id.get_chunk_info(0).byte_offset
    assert sum_metrics(path, entries, lambda _points: None)[0] == 30 * 4
    data = bytearray(path.read_bytes())
    data[offset + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="cannot be read back"):
        sum_metrics(path, entries, lambda _points: None)


def test_a_run_of_too_many_metrics_is_left_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealer, "AUTO_SEAL_MAX_METRICS", 10)
    few = write_many(tmp_path, 10, run="few")
    many = write_many(tmp_path, 11, run="many")
    work = Sealer(SYSTEM_CLOCK)
    work.add(few, None, wants_seal=True)
    work.add(many, next(many.glob("*.h5")), wants_seal=True)
    work.close()
    assert StoredRun(few).is_sealed
    assert not StoredRun(many).is_sealed
    assert StoredRun(many).state == "finished"
    assert seal_run(many).points == 33
