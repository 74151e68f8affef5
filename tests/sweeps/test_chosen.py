"""Points: chosen once for a configuration, and the search told once how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import create_json
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.chosen import choose_point, read_point
from hpctrack.sweeps.worker.ending import catch_up, tell_search
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result
from tests.programs import run_python
from tests.trials import LOSS, make_sweep

RACE = """
import json, os, sys
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.chosen import choose_point
sweep = load_sweep(sys.argv[1], "s")
go_read, go_write = os.pipe()
children = []
for number in range(4):
    child = os.fork()
    if not child:
        os.close(go_write)
        with Search.open(sweep) as search:
            os.read(go_read, 1)
            for configuration in range(5):
                point = choose_point(sweep, search, configuration)
                told = json.dumps([configuration, point.number, point.parameters])
                os.write(1, told.encode() + b"\\n")
        os._exit(0)
    children.append(child)
os.close(go_write)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def make(tmp_path: Path, **more: Any) -> Sweep:
    parameters = {"x": {"min": 0.0, "max": 1.0}}
    options: dict[str, Any] = {
        "method": "random",
        "parameters": parameters,
        "seed": 5,
        "metric": LOSS,
        **more,
    }
    return make_sweep(tmp_path, "true", **options)


def end(sweep: Sweep, number: int, state: TrialState, **values: float) -> None:
    write_result(sweep.folder, TrialResult(trial=number, state=state, values=values))


def records(search: Search) -> list[tuple[int, PointState, tuple[float, ...]]]:
    return [(one.configuration, one.state, one.values) for one in search.records()]


def test_processes_that_race_agree_on_the_points(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    raced = run_python(RACE, str(sweep.store))
    assert raced.returncode == 0, raced.stderr
    lines = raced.stdout.splitlines()
    assert len(lines) == 20
    assert len(set(lines)) == 5


def test_a_point_is_chosen_once_and_read_from_then_on(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    assert read_point(sweep, 0) is None
    with Search.open(sweep) as search:
        point = choose_point(sweep, search, 0)
        assert choose_point(sweep, search, 0) == point == read_point(sweep, 0)
        assert point.parameters == sweep.parameters(0)


def test_a_point_that_somebody_else_has_chosen_first_is_the_one(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    told = {"configuration": 3, "point": 7, "parameters": {"x": 0.5}}
    with Search.open(sweep) as search:
        create_json(sweep.folder.point(3), told)
        point = choose_point(sweep, search, 3)
        assert (point.number, point.parameters) == (7, {"x": 0.5})
        assert records(search) == []


def test_a_point_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    create_json(sweep.folder.point(0), {"point": "many"})
    with pytest.raises(StoreFormatError):
        read_point(sweep, 0)


def test_the_search_is_told_when_all_repeats_are_over(tmp_path: Path) -> None:
    sweep = make(tmp_path, seeds=2)
    with Search.open(sweep) as search:
        assert not tell_search(sweep, search, 0), "nobody has begun"
        choose_point(sweep, search, 0)
        end(sweep, 0, TrialState.FINISHED, loss=1.0)
        assert not tell_search(sweep, search, 0)
        end(sweep, 1, TrialState.RUNNING)
        assert not tell_search(sweep, search, 0)
        end(sweep, 1, TrialState.FINISHED, loss=2.0)
        assert tell_search(sweep, search, 0)
        assert tell_search(sweep, search, 0), "again does no harm"
        assert records(search) == [(0, PointState.FINISHED, (1.5,))]


def test_a_cap_may_cut_the_repeats_of_the_last_configuration(tmp_path: Path) -> None:
    sweep = make(tmp_path, seeds=3, run_cap=4)
    with Search.open(sweep) as search:
        choose_point(sweep, search, 1)
        end(sweep, 3, TrialState.FINISHED, loss=1.0)
        assert tell_search(sweep, search, 1)


def test_a_worker_that_starts_tells_what_the_dead_could_not(tmp_path: Path) -> None:
    sweep = make(tmp_path)
    with Search.open(sweep) as search:
        for configuration in range(4):
            choose_point(sweep, search, configuration)
        end(sweep, 0, TrialState.FINISHED, loss=1.0)
        end(sweep, 1, TrialState.FAILED)
        end(sweep, 2, TrialState.WAITING)
        assert catch_up(sweep, search) == {0, 1}
        assert records(search) == [
            (0, PointState.FINISHED, (1.0,)),
            (1, PointState.FAILED, ()),
            (2, PointState.RUNNING, ()),
            (3, PointState.RUNNING, ()),
        ]
        assert catch_up(sweep, search) == {0, 1}
