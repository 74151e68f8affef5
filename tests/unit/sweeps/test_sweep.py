"""Sweeps in a store, and which trials are given to whom."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from hpctrack.core.names import check_id
from hpctrack.errors import (
    InvalidNameError,
    NotFoundError,
    StoreError,
    StoreFormatError,
    SweepError,
    UsageError,
)
from hpctrack.sweeps.submission_record import (
    Worker,
    confirm,
    read_submissions,
    reserve,
    withdraw,
)
from hpctrack.sweeps.sweep import Sweep, create_sweep, list_sweeps, load_sweep
from tests.stores import FakeClock

GRID = {
    "method": "grid",
    "program": "train.py",
    "project": "digits",
    "parameters": {"a": {"values": [1, 2, 3]}, "b": {"values": ["x", "y"]}},
}
RANDOM = {
    "method": "random",
    "program": "train.py",
    "parameters": {"a": {"min": 0.0, "max": 1.0}},
}


def test_a_sweep_comes_back_as_it_was_made(tmp_path: Path) -> None:
    clock = FakeClock()
    made = create_sweep(tmp_path / "s", GRID, clock=clock.clock())
    found = load_sweep(tmp_path / "s", made.id)
    assert found == made
    assert found.project == "digits"
    assert found.directory == Path.cwd()
    assert found.created_wall_s == clock.now_s
    assert made.folder.record == tmp_path / "s/digits/.sweeps" / made.id / "sweep.json"
    stored = json.loads(made.folder.record.read_text())
    assert stored["file"] == GRID
    assert stored["seed"] == made.seed


def test_nothing_but_the_sweep_is_left_in_its_folder(tmp_path: Path) -> None:
    made = create_sweep(tmp_path, GRID)
    assert [path.name for path in made.folder.path.iterdir()] == ["sweep.json"]


def test_a_sweep_is_made_from_text_and_from_a_file(tmp_path: Path) -> None:
    text = "method: grid\nprogram: x\nparameters: {a: {value: 1}}\n"
    (tmp_path / "s.yaml").write_text(text)
    assert create_sweep(tmp_path, text).file == create_sweep(tmp_path, tmp_path / "s.yaml").file
    with pytest.raises(NotFoundError):
        create_sweep(tmp_path, "none.yaml")


def test_ids_are_eight_letters_and_digits_and_runs_sort_by_trial(tmp_path: Path) -> None:
    made = create_sweep(tmp_path, GRID)
    assert len(made.id) == 8
    assert made.id.isalnum()
    ids = [made.run_id(number) for number in (0, 2, 10, 999)]
    assert ids == sorted(ids)
    assert check_id(made.run_id(123456), what="run id")


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    create_sweep(tmp_path, GRID, sweep_id="mine")
    with pytest.raises(SweepError, match="there is a sweep 'mine'"):
        create_sweep(tmp_path, GRID, sweep_id="mine")
    with pytest.raises(InvalidNameError):
        create_sweep(tmp_path, GRID, sweep_id="../x")
    with pytest.raises(UsageError):
        create_sweep(tmp_path, GRID, sweep_id="x" * 60)


def test_a_seed_in_the_file_wins_and_another_is_drawn_once(tmp_path: Path) -> None:
    assert create_sweep(tmp_path, {**RANDOM, "seed": 5}).seed == 5
    one, two = create_sweep(tmp_path, RANDOM), create_sweep(tmp_path, RANDOM)
    assert one.seed != two.seed
    assert load_sweep(tmp_path, one.id).parameters(3) == one.parameters(3)


def test_sweeps_are_found_by_a_beginning_or_with_their_project(tmp_path: Path) -> None:
    create_sweep(tmp_path, GRID, sweep_id="abc1")
    create_sweep(tmp_path, GRID, sweep_id="abd2", project="other")
    assert load_sweep(tmp_path, "abc").id == "abc1"
    assert load_sweep(tmp_path, "other/abd2").project == "other"
    with pytest.raises(UsageError, match="means 2 sweeps"):
        load_sweep(tmp_path, "ab")
    with pytest.raises(NotFoundError):
        load_sweep(tmp_path, "zzz")
    with pytest.raises(NotFoundError):
        load_sweep(tmp_path / "no store", "abc1")
    with pytest.raises(InvalidNameError):
        load_sweep(tmp_path, "../abc1")
    assert {one.id for one in list_sweeps(tmp_path)} == {"abc1", "abd2"}
    assert [one.id for one in list_sweeps(tmp_path, project="other")] == ["abd2"]


@pytest.mark.parametrize(
    "broken", ["", "[]", "{", '{"format": 99}', '{"format": 1}', '{"format": 1, "file": []}']
)
def test_a_broken_sweep_is_named_and_hides_no_other(tmp_path: Path, broken: str) -> None:
    made = create_sweep(tmp_path, GRID, sweep_id="broken")
    create_sweep(tmp_path, GRID, sweep_id="good")
    made.folder.record.write_text(broken)
    with pytest.raises(StoreFormatError):
        load_sweep(tmp_path, "broken")
    assert [one.id for one in list_sweeps(tmp_path)] == ["good"]


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        create_sweep(tmp_path / "file", GRID)


def test_a_sweep_has_the_trials_it_has(tmp_path: Path) -> None:
    made = create_sweep(tmp_path, GRID)
    assert made.parameters(5) == {"a": 3, "b": "y"}
    for number in (-1, 6):
        with pytest.raises(SweepError, match="no trial"):
            made.parameters(number)


def test_submissions_are_numbered_and_withdrawn(tmp_path: Path) -> None:
    made = create_sweep(tmp_path, GRID)
    first = reserve(made, "local", tasks=2, limit=3)
    second = reserve(made, "slurm", tasks=1)
    assert (first.number, first.limit, second.number) == (1, 3, 2)
    withdraw(made, second)
    workers = (Worker(job="50", log="/l", pid=3, stamp="9"),)
    confirmed = confirm(made, first, workers)
    assert read_submissions(made) == [confirmed]


def test_two_who_submit_at_once_have_two_records(tmp_path: Path) -> None:
    made = create_sweep(tmp_path, {**RANDOM, "run_cap": 40})
    barrier = threading.Barrier(4)

    def submit(sweep: Sweep) -> None:
        barrier.wait()
        for _ in range(5):
            reserve(sweep, "local", tasks=2)

    threads = [threading.Thread(target=submit, args=(made,)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.number for one in read_submissions(made)] == list(range(1, 21))


def test_a_warm_start_from_nowhere_is_refused_when_the_sweep_is_made(tmp_path: Path) -> None:
    config = {
        "method": "tpe",
        "metric": {"name": "loss"},
        "parameters": {"lr": {"max": 1.0, "min": 0.0}},
    }
    first = create_sweep(tmp_path, config)
    with pytest.raises(NotFoundError, match="warm_start: no sweep 'nosuch'"):
        create_sweep(tmp_path, {**config, "warm_start": [first.id, "nosuch"]})
    assert create_sweep(tmp_path, {**config, "warm_start": first.id}).file.warm_start == (first.id,)
