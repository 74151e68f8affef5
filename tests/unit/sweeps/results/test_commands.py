"""The commands about what a sweep has found, as typed."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from hpctrack.cli.main import run
from hpctrack.cli.sweep.drawing import draw_bar, draw_spark, find_scale
from hpctrack.sweeps.control import Wish, write_control
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialState
from tests.programs import wait_for
from tests.unit.sweeps.results.made_sweeps import make_sweep, run_all, say, write_run

Captured = pytest.CaptureFixture[str]

COMMANDS = ["status", "watch", "best", "importance", "curves", "early-stop-cost", "export"]


def read(capsys: Captured, *words: str) -> str:
    capsys.readouterr()
    assert run(["sweep", *words]) == 0
    return capsys.readouterr().out


def read_json(capsys: Captured, *words: str) -> Any:
    return json.loads(read(capsys, *words, "--json"))


def make_with_curves(tmp_path: Path, count: int = 12) -> Sweep:
    sweep = make_sweep(tmp_path, run_cap=count)
    for number in range(count):
        values = [number / count + 1 / at for at in range(1, 10)]
        is_pruned = number % 5 == 4
        values = values[:3] if is_pruned else values
        state = TrialState.PRUNED if is_pruned else TrialState.FINISHED
        say(sweep, number, state, loss=values[-1], iterations=len(values), duration_s=30.0)
        write_run(sweep, number, {"loss": values})
    return sweep


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_speaks_of_a_sweep_that_is_not_there(
    capsys: Captured, command: str
) -> None:
    text = read(capsys, command, "--help")
    assert f"hpctrack sweep {command}" in text.partition("Examples:")[2]
    for option in ("--store", "--project", "--json"):
        assert option in text
    assert run(["sweep", command, "nosuch"]) == 3
    assert "no sweep 'nosuch'" in capsys.readouterr().err


def test_status_tells_progress_cost_and_what_is_left(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path, run_cap=20)
    run_all(sweep, 10, pruned=(2, 3, 4))
    say(sweep, 10, TrialState.RUNNING, host="elsewhere")
    say(sweep, 11, TrialState.FAILED, exit_code=1, log_tail="Traceback\nValueError: lr is odd\n")
    say(sweep, 12, TrialState.STOPPED)
    write_control(sweep.folder, Wish.PAUSE)
    capsys.readouterr()
    assert run(["sweep", "status", "s"]) == 0
    out, err = capsys.readouterr()
    assert "7 finished, 1 failed, 3 pruned, 1 stopped, 7 not begun" in out.replace(
        "1 running, ", ""
    )
    assert "12 of 20 over, about" in out
    assert "left" in out
    assert "paused: nothing new begins" in out
    assert "GPU-minutes" in out
    assert "early stopping saved about 2 GPU-minutes (" in out
    assert "; 20% of the iterations)" in out
    assert "best  loss" in out
    assert "trial 11 failed: ValueError: lr is odd" in err


def test_status_says_that_nobody_has_logged_the_metric(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED)
    assert "no trial has logged a number as 'loss'" in read(capsys, "status", "s")
    say(sweep, 1, TrialState.FINISHED, loss=1.0)
    assert "no trial has logged" not in read(capsys, "status", "s")


def test_status_shows_the_last_trials_and_all_when_asked(tmp_path: Path, capsys: Captured) -> None:
    run_all(make_sweep(tmp_path, run_cap=130), 120)
    short = read(capsys, "status", "s")
    assert "the last 100 of 120 trials" in short
    assert "s-0019" not in short
    assert len(read(capsys, "status", "s", "--all").splitlines()) == 120 + 5


def test_best_gives_the_line_to_paste_and_the_run(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path)
    words = ("/usr/bin/env", "python", "train.py", "--note=a b")
    say(sweep, 0, TrialState.FINISHED, loss=0.25, command=words)
    say(sweep, 1, TrialState.FINISHED, loss=0.5)
    write_run(sweep, 0, {"loss": [0.25]})
    out = read(capsys, "best", "s")
    config = json.dumps(sweep.parameters(0))
    words_then = "/usr/bin/env python train.py '--note=a b'"
    line = f"cd {tmp_path} && HPCTRACK_SWEEP_CONFIG='{config}' {words_then}"
    assert "loss 0.25 (minimize)" in out
    assert "trial 0, run digits/s-0000" in out
    assert line in out.splitlines()
    found = read_json(capsys, "best", "s")
    assert (found["number"], found["command_line"], found["metric"]) == (0, line, 0.25)
    assert found["parameters"]["batch"] == 64


def test_best_of_repeats_is_a_mean_with_its_spread(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path, seeds=3, run_cap=6)
    for number, loss in enumerate([0.1, 0.2, 0.3, 0.5, 0.5, 0.5]):
        say(sweep, number, TrialState.FINISHED, loss=loss)
    out = read(capsys, "best", "s")
    assert "loss 0.2 +- 0.1 over 3 repeats (minimize)" in out
    assert "configuration 0, trials 0, 1, 2" in out
    assert "best repeat: trial 0" in out
    found = read_json(capsys, "best", "s")
    assert found["judged_by"]["metrics"]["loss"] == pytest.approx(0.2)
    assert found["judged_by"]["spreads"]["loss"] == pytest.approx(0.1)


def test_best_of_several_metrics_is_the_front(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path, metric=[{"name": "loss"}, {"name": "time"}])
    for number, (loss, time) in enumerate([(1.0, 1.0), (0.5, 2.0), (2.0, 2.0)]):
        say(sweep, number, TrialState.FINISHED, values={"loss": loss, "time": time})
    out = read(capsys, "best", "s")
    assert "2 configurations are not beaten in loss (minimize), time (minimize)" in out
    assert "trial 1: cd " in out
    found = read_json(capsys, "best", "s")
    assert [one["number"] for one in found["front"]] == [1, 0]
    assert found["number"] == 1


def test_importance_is_a_table_with_bars(tmp_path: Path, capsys: Captured) -> None:
    run_all(make_sweep(tmp_path), 40, pruned=(1,))
    capsys.readouterr()
    assert run(["sweep", "importance", "s", "--method", "ped-anova"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "what decides loss (minimize), of 39 configurations"
    assert lines[2].startswith("lr ")
    assert "█" in lines[2]
    assert "1 of 40 configurations" in err
    found = read_json(capsys, "importance", "s", "--method", "ped-anova")
    assert found["parameters"][0]["name"] == "lr"
    assert run(["sweep", "importance", "s", "--metric", "no"]) == 3


def test_importance_of_too_few_trials_is_an_error_with_a_hint(
    tmp_path: Path, capsys: Captured
) -> None:
    run_all(make_sweep(tmp_path), 3)
    assert run(["sweep", "importance", "s"]) == 2
    err = capsys.readouterr().err
    assert "3 finished trials are too few" in err
    assert "it takes 10" in err


def test_curves_are_drawn_to_one_scale_the_best_first(tmp_path: Path, capsys: Captured) -> None:
    make_with_curves(tmp_path, 30)
    lines = read(capsys, "curves", "s").splitlines()
    assert lines[1].split()[:3] == ["0", "finished", "9"]
    assert lines[1].split()[-1].endswith("▁")
    assert lines[-1] == "the best 20 of 30; --all shows all"
    assert len(read(capsys, "curves", "s", "--all").splitlines()) == 31
    found = read_json(capsys, "curves", "s")
    assert len(found["curves"]) == 30
    assert len(found["curves"][4]["values"]) == 3
    assert run(["sweep", "curves", "s", "--fast"]) == 3
    assert "has a curve" in capsys.readouterr().err


def test_early_stop_cost_tells_correlation_and_regret(tmp_path: Path, capsys: Captured) -> None:
    make_with_curves(tmp_path, 20)
    capsys.readouterr()
    assert run(["sweep", "early-stop-cost", "s", "--workers", "2"]) == 0
    out, err = capsys.readouterr()
    assert "by 16 trials that ran to it" in out
    assert "with 2 trials at a time" in out
    assert "hyperband,min_iter=1,eta=3" in out
    assert "4 trials were stopped early in truth" in err
    found = read_json(capsys, "early-stop-cost", "s", "--rule", "median,n_startup_trials=3")
    assert found["replays"][0]["rule"] == "median,n_startup_trials=3"
    assert found["rungs"][0]["spearman"] == pytest.approx(1.0)
    stops_all = read(capsys, "early-stop-cost", "s", "--rule", "threshold,upper=0")
    assert stops_all.splitlines()[-1].split()[-3:] == ["none", "-", "-"]
    assert run(["sweep", "early-stop-cost", "s", "--rule", "medan"]) == 2
    assert "unknown type 'medan'" in capsys.readouterr().err


def test_export_writes_a_file_or_prints(tmp_path: Path, capsys: Captured) -> None:
    make_with_curves(tmp_path)
    text = read(capsys, "export", "s")
    assert text.startswith("trial,configuration,repeat,state,run,project,params.lr")
    assert len(text.splitlines()) == 13
    assert len(read_json(capsys, "export", "s")["rows"]) == 12
    capsys.readouterr()
    assert run(["sweep", "export", "s", "-o", "t.parquet"]) == 0
    assert capsys.readouterr().err == "wrote 12 rows to t.parquet\n"
    assert Path("t.parquet").read_bytes()[:4] == b"PAR1"
    rows = read_json(capsys, "export", "s", "--curves")["rows"]
    assert len(rows) == 10 * 9 + 2 * 3
    assert rows[0] == {
        "trial": 0, "configuration": 0, "state": "finished", "iteration": 1, "step": 0,
        "value": 1.0, "metric": "loss",
    }  # fmt: skip
    assert run(["sweep", "export", "s", "--format", "parquet"]) == 2
    assert "-o FILE" in capsys.readouterr().err


def test_watching_a_sweep_that_is_over_ends_at_once(tmp_path: Path, capsys: Captured) -> None:
    run_all(make_sweep(tmp_path, run_cap=5), 5)
    (line,) = read(capsys, "watch", "s").splitlines()
    assert "5 of 5 over" in line
    assert "best  loss" in line
    told = json.loads(read(capsys, "watch", "s", "--json"))
    assert told["counts"]["finished"] == 5
    assert "trials" not in told


def test_watching_prints_what_changes_until_the_end(tmp_path: Path, capsys: Captured) -> None:
    sweep = make_sweep(tmp_path, run_cap=2)
    say(sweep, 0, TrialState.RUNNING, host="elsewhere")
    words = ["sweep", "watch", "s", "--json", "--interval", "0.2"]
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(words)))
    seen: list[dict[str, Any]] = []

    def has_seen(count: int) -> bool:
        seen.extend(json.loads(line) for line in capsys.readouterr().out.splitlines())
        return len(seen) >= count

    thread.start()
    wait_for(lambda: has_seen(1))
    say(sweep, 0, TrialState.FINISHED, loss=1.0)
    wait_for(lambda: has_seen(2))
    say(sweep, 1, TrialState.PRUNED, loss=2.0)
    thread.join(180)
    assert codes == [0]
    assert has_seen(3)
    assert [one["over"] for one in seen] == [0, 1, 2]


def test_bars_and_sparks_say_what_they_are_given() -> None:
    assert draw_bar(0.5, 4) == "██  "
    assert draw_bar(0.53, 4) == "██▏ "
    assert draw_bar(2.0, 3) == "███"
    assert draw_bar(float("nan"), 3) == "   "
    assert draw_bar(0.5, 4, is_fine=False) == "##  "
    assert draw_spark([0.0, 0.5, 1.0], 10, low=0.0, high=1.0) == "▁▅█"
    assert draw_spark([0.0, float("nan"), 9.0], 10, low=0.0, high=1.0) == "▁·█"
    assert len(draw_spark(list(range(1000)), 40, low=0, high=1000)) == 40
    assert draw_spark([1.0], 5, low=1.0, high=1.0, is_fine=False) == "+"
    assert draw_spark([], 5, low=0, high=1) == ""
    assert find_scale([[1.0] * 50, [2.0] * 49, [1e9]]) == (1.0, 2.0)
    assert find_scale([[float("nan")]]) == (0.0, 1.0)
