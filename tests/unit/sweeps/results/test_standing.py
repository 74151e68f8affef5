"""How good configurations are, and which wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sweeps.results.best import find_best, find_winners
from hpctrack.sweeps.results.command_line import make_command_line
from hpctrack.sweeps.results.standing import judge_configurations
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.worker.result import TrialState
from tests.unit.sweeps.results.made_sweeps import make_sweep, say, write_run


def test_a_configuration_is_judged_by_the_mean_of_its_repeats(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, seeds=3, run_cap=9)
    losses = [0.1, 0.9, 0.8, 0.4, 0.5, 0.6, 0.0]
    for number, loss in enumerate(losses):
        say(sweep, number, TrialState.FINISHED, loss=loss)
    say(sweep, 7, TrialState.RUNNING)
    status = read_status(sweep)
    standings = judge_configurations(status)
    assert [len(one.finished) for one in standings] == [3, 3, 1]
    assert standings[1].values["loss"] == pytest.approx(0.5)
    assert standings[1].spreads["loss"] == pytest.approx(0.1)
    assert standings[2].spreads == {}
    assert "seed" not in standings[1].parameters
    assert standings[1].parameters["batch"] == 64
    # Neither the lucky repeat of the first one wins, nor the third one, of which two are missing.
    assert find_winners(status)[0].configuration == 1
    assert find_best(status).number == 3


def test_of_several_metrics_the_front_wins(tmp_path: Path) -> None:
    metrics = [{"name": "loss"}, {"name": "speed", "goal": "maximize"}]
    sweep = make_sweep(tmp_path, metric=metrics)
    points = [(0.5, 10.0), (0.1, 1.0), (0.6, 9.0), (0.3, 5.0)]
    for number, (loss, speed) in enumerate(points):
        say(sweep, number, TrialState.FINISHED, values={"loss": loss, "speed": speed})
    say(sweep, 4, TrialState.FINISHED, values={"loss": 0.0})  # never said how fast
    say(sweep, 5, TrialState.PRUNED, values={"loss": 0.0, "speed": 99.0})
    status = read_status(sweep)
    assert [one.configuration for one in find_winners(status)] == [1, 3, 0]
    assert find_best(status).number == 1


def test_who_violates_a_constraint_on_results_does_not_win(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, constraints=["memory <= 10"])
    say(sweep, 0, TrialState.FINISHED, values={"loss": 0.1, "memory": 11.0})
    with pytest.raises(NotFoundError, match="fulfils its constraints"):
        find_best(read_status(sweep))
    say(sweep, 1, TrialState.FINISHED, values={"loss": 0.2, "memory": 9.0})
    assert find_best(read_status(sweep)).number == 1


def test_a_diverged_trial_never_wins(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, metric={"name": "loss", "goal": "maximize"})
    say(sweep, 0, TrialState.FINISHED, loss=float("inf"))
    say(sweep, 1, TrialState.FINISHED, loss=float("nan"))
    with pytest.raises(NotFoundError, match="'loss'"):
        find_best(read_status(sweep))
    say(sweep, 2, TrialState.FINISHED, loss=-3.0)
    assert find_best(read_status(sweep)).number == 2


def test_without_a_metric_nothing_wins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no metric"):
        find_winners(read_status(make_sweep(tmp_path, metric=None)))


def test_the_command_line_can_be_pasted(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path / "a b")
    words = ("/usr/bin/env", "python", "train.py", "--note=it's", "--lr=0.1")
    say(sweep, 0, TrialState.FINISHED, loss=1.0, command=words)
    say(sweep, 1, TrialState.FINISHED, loss=2.0)
    first, second = read_status(sweep).trials
    line = make_command_line(sweep, first)
    assert line.endswith("""/usr/bin/env python train.py '--note=it'"'"'s' --lr=0.1""")
    assert line.startswith("cd ")
    assert f"--lr={sweep.parameters(1)['lr']}" in make_command_line(sweep, second)


def test_parameters_of_a_program_that_had_a_run_also_go_in_front_of_the_command(
    tmp_path: Path,
) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=1.0, command=("python", "train.py"))
    (only,) = read_status(sweep).trials
    assert "HPCTRACK_SWEEP_CONFIG" not in make_command_line(sweep, only)
    write_run(sweep, 0, {"loss": [1.0]})
    (only,) = read_status(sweep).trials
    line = make_command_line(sweep, only)
    assert "HPCTRACK_SWEEP_CONFIG='{" in line
    assert line.endswith("python train.py")


def test_a_call_of_a_function_has_no_command_line(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, program=None)
    say(sweep, 0, TrialState.FINISHED, loss=1.0)
    (only,) = read_status(sweep).trials
    assert make_command_line(sweep, only) == ""


def test_where_all_trials_were_stopped_early_the_best_is_among_them(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    for number, loss in enumerate([3.0, 1.0]):
        say(sweep, number, TrialState.PRUNED, loss=loss)
    assert find_best(read_status(sweep)).number == 1
    say(sweep, 2, TrialState.FINISHED, loss=2.0)
    assert find_best(read_status(sweep)).number == 2
