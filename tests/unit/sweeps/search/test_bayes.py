"""`method: bayes`: what it means where torch is, and where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import IntDistribution
from optuna.samplers import TPESampler

from hpctrack.sweeps.search import samplers
from hpctrack.sweeps.search.dimensions import NO_VALUE, make_knobs
from hpctrack.sweeps.search.point import PointState
from hpctrack.sweeps.search.samplers import STARTUP, count_spread, make_sampler
from hpctrack.sweeps.search.search import Search
from hpctrack.sweeps.search.study import translated
from hpctrack.sweeps.search.warped import WarpedSampler
from hpctrack.sweeps.sweep import Sweep, create_sweep, make_sweep

BOX = {name: {"min": 0.0, "max": 1.0} for name in ("x", "y")}


def _make(folder: Path, **changes: Any) -> Sweep:
    config = {
        "method": "bayes",
        "command": ["true"],
        "metric": {"name": "loss"},
        "parameters": BOX,
        "seed": 7,
        **changes,
    }
    return make_sweep(folder, {k: v for k, v in config.items() if v is not None})


def _choose(sweep: Sweep) -> Any:
    with translated():
        return make_sampler(sweep, 0)


@pytest.fixture
def with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that torch is here; nothing of it is called before the model chooses."""
    monkeypatch.setattr(samplers, "_is_here", lambda _package: True)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "_is_here", lambda package: package != "torch")


@pytest.mark.usefixtures("with_torch")
def test_with_torch_it_is_a_gaussian_process_after_a_few_points(tmp_path: Path) -> None:
    assert count_spread(_make(tmp_path)) == STARTUP
    assert isinstance(_choose(_make(tmp_path)), WarpedSampler)
    assert count_spread(_make(tmp_path, sampler={"n_startup_trials": 9})) == 9
    assert count_spread(_make(tmp_path, method="tpe")) == 0


@pytest.mark.usefixtures("without_torch")
def test_without_torch_it_is_tpe(tmp_path: Path) -> None:
    assert count_spread(_make(tmp_path)) == 0
    assert isinstance(_choose(_make(tmp_path)), TPESampler)


@pytest.mark.usefixtures("with_torch")
def test_several_metrics_or_conditions_are_left_to_tpe(tmp_path: Path) -> None:
    conditional = {**BOX, "z": {"min": 0.0, "max": 1.0, "when": {"kind": "a"}}}
    several = _make(tmp_path, metric=[{"name": "loss"}, {"name": "size"}])
    for sweep in (
        _make(tmp_path, parameters={"kind": {"values": ["a", "b"]}, **conditional}),
        several,
    ):
        assert count_spread(sweep) == 0
        assert isinstance(_choose(sweep), TPESampler)


@pytest.mark.usefixtures("with_torch")
def test_workers_that_begin_together_share_the_points_of_one_sequence(tmp_path: Path) -> None:
    config = _make(tmp_path).file.plain
    sobol = create_sweep(tmp_path / "sobol", {**config, "method": "sobol"})
    bayes = create_sweep(tmp_path / "bayes", config)
    with Search.open(sobol) as other, Search.open(bayes) as search:
        # Nothing has finished yet: all eight are asked for by workers that have just started.
        points = [search.ask(n) for n in range(8)]
        assert [one.parameters for one in points] == [other.ask(n).parameters for n in range(8)]
        quarters = {(one.parameters["x"] < 0.5, one.parameters["y"] < 0.5) for one in points[:4]}
        assert len(quarters) == 4
        assert search.ask(2) == points[2]


@pytest.mark.gp
def test_the_gaussian_process_finds_the_bottom_of_a_bowl(tmp_path: Path) -> None:
    with Search.open(create_sweep(tmp_path, _make(tmp_path).file.plain)) as search:
        losses = []
        for n in range(18):
            point = search.ask(n)
            x, y = point.parameters["x"], point.parameters["y"]
            losses.append((x - 0.3) ** 2 + 100 * (y - 0.8) ** 4)
            search.tell(point.number, PointState.FINISHED, [losses[-1]])
        assert min(losses) < 1e-3
        again = search.ask(18)  # two at a time
        assert search.ask(19).parameters != again.parameters


@pytest.mark.parametrize(
    ("values", "is_ranked"),
    [
        ([64, 16, 32], True),
        ([1e-3, 1, 0.1], True),
        ([16, 32], False),
        ([16, 32, "auto"], False),
        ([1, 2, True], False),
        ([1, 2, [3]], False),
        ([1.0, 2.0, float("inf")], False),
    ],
)
def test_listed_numbers_are_ranked_and_other_values_are_a_choice(
    tmp_path: Path, values: list[Any], is_ranked: bool
) -> None:
    sweep = _make(tmp_path, parameters={"size": {"values": values}})
    (knob,) = make_knobs(sweep.file.space.dimensions)
    assert isinstance(knob.distribution, IntDistribution) == is_ranked
    for one in values:
        decoded = knob.decode(knob.encode(one))
        assert (decoded, type(decoded)) == (one, type(one))
    assert knob.encode("other") is NO_VALUE
    if is_ranked:
        assert [knob.decode(n) for n in range(len(values))] == sorted(values)
