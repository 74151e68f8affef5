"""What a listing needs of a live run is read without keeping its points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hpctrack
from hpctrack.errors import NotFoundError
from hpctrack.store import node_reader
from hpctrack.store.definitions import summarize
from hpctrack.store.schema import EventKind
from hpctrack.store.seal import seal_run
from hpctrack.store.stored_run import StoredRun
from tests.stores import NodeWriter, write_run


def write_pieces(store: Path) -> Path:
    """Write points whose lowest rank comes late, with NaN, late steps and all kinds of summary."""
    rng = np.random.default_rng(3)
    writer = NodeWriter(store)
    session = writer.start(0, size=3)
    for name, kind in (("low", "min"), ("high", "max"), ("mid", "mean"), ("one", "first")):
        writer.event(EventKind.DEFINE, {"name": name, "summary": [kind]}, session=session)
    for rank in (2, 1, 0):
        for name in ("low", "high", "mid", "one", "loss"):
            values = rng.normal(size=50)
            values[::7] = np.nan
            writer.points(name, rank, rng.permutation(50).tolist(), values.tolist())
    writer.end(0, session)
    return writer.close().parent


def test_the_summary_of_pieces_is_that_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_reader, "PIECE_ROWS", 64)
    run = StoredRun(write_pieces(tmp_path))
    whole = summarize(run.columns(), run.told.definitions)
    assert run.summary == pytest.approx(whole)
    assert list(run.summary) == ["high", "loss", "low", "mid", "one"]
    assert run.metric_sizes() == dict.fromkeys(run.summary, 150)
    run.close()
    seal_run(run.folder)
    assert StoredRun(run.folder).summary == pytest.approx(whole)


def test_what_was_told_has_no_last_values_and_the_record_has(tmp_path: Path) -> None:
    run = StoredRun(write_run(tmp_path, ranks=1))
    assert "loss" not in run.told.summary
    assert "loss" in run.record.summary
    assert run.told.ranks == run.record.ranks


def test_an_exact_id_is_opened_without_a_look_at_other_runs(tmp_path: Path) -> None:
    write_run(tmp_path, run="wanted")
    other = write_run(tmp_path, run="other")
    for path in other.iterdir():
        path.write_bytes(b"nothing of ours")
    assert hpctrack.Store(tmp_path).run("wanted").id == "wanted"
    assert hpctrack.Store(tmp_path).run("other").id == "other"


@pytest.mark.parametrize("is_sealed", [False, True])
def test_the_hint_for_an_unknown_metric_names_the_nearest(tmp_path: Path, is_sealed: bool) -> None:
    folder = write_run(tmp_path)
    if is_sealed:
        seal_run(folder)
    with pytest.raises(NotFoundError) as failed:
        StoredRun(folder).metric("los")
    assert failed.value.hint == "did you mean loss?"
