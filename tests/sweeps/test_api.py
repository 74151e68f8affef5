"""``hpctrack.sweep`` and ``hpctrack.agent``, with functions and with commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import hpctrack
from hpctrack import Store
from hpctrack.errors import NotFoundError, SweepError, SweepFileError, UsageError
from hpctrack.sweeps.sweep import load_sweep
from hpctrack.sweeps.worker.result import TrialResult, read_results

CONFIG = {"method": "grid", "parameters": {"a": {"values": [1, 2, 3]}}}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPCTRACK_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("HPCTRACK_LINGER_S", "0")
    return tmp_path / "store"


def results(store: Path, sweep: str) -> dict[int, TrialResult]:
    return read_results(load_sweep(store, sweep).folder)


def test_a_sweep_is_made_of_a_mapping_a_file_or_text(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "method: grid\nproject: digits\nparameters: {a: {values: [1, 2]}}\n"
    (tmp_path / "s.yaml").write_text(text)
    monkeypatch.setenv("HPCTRACK_PROJECT", "from-settings")
    for source, project in (
        (CONFIG, "from-settings"), (text, "digits"), (tmp_path / "s.yaml", "digits"),
        (str(tmp_path / "s.yaml"), "digits"),
    ):  # fmt: skip
        assert load_sweep(store, hpctrack.sweep(source)).project == project
    named = hpctrack.sweep(CONFIG, "somebody", "mine", store=tmp_path / "other")
    assert load_sweep(tmp_path / "other", named).project == "mine"


def test_what_is_no_sweep_is_refused() -> None:
    with pytest.raises(SweepFileError):
        hpctrack.sweep({"method": "grid"})
    with pytest.raises(UsageError, match="not function"):
        hpctrack.sweep(lambda: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="prior_runs"):
        hpctrack.sweep(CONFIG, prior_runs=["x"])
    with pytest.raises(NotFoundError):
        hpctrack.agent("nosuch", print)
    with pytest.raises(UsageError):
        hpctrack.agent(hpctrack.sweep(CONFIG), 3)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        hpctrack.agent(hpctrack.sweep(CONFIG), print, count=0)


def test_a_function_is_called_once_for_each_trial_and_is_its_run(store: Path) -> None:
    seen: list[dict[str, Any]] = []

    def train() -> None:
        run = hpctrack.init(config={"a": -1, "b": 7})
        seen.append({"id": run.id, "config": dict(run.config)})
        run.log({"loss": run.config["a"]})
        assert hpctrack.config["a"] == run.config["a"]
        os.environ["LEFT_BEHIND"] = "x"

    before = dict(os.environ)
    sweep = hpctrack.sweep(CONFIG, project="digits")
    hpctrack.agent(f"somebody/digits/{sweep}", train, count=2)
    assert [one["config"] for one in seen] == [{"a": 1, "b": 7}, {"a": 2, "b": 7}]
    hpctrack.agent(sweep, train, project="digits")
    assert [one["id"] for one in seen] == [f"{sweep}-000{number}" for number in range(3)]
    assert dict(os.environ) == before
    runs = Store(store).runs(order="id", project="digits")
    assert [(run.state, run.record.trial) for run in runs] == [
        ("finished", 0), ("finished", 1), ("finished", 2),
    ]  # fmt: skip
    assert [run.summary["loss"] for run in runs] == [1, 2, 3]
    assert {one.state.value for one in results(store, sweep).values()} == {"finished"}


def test_an_error_is_a_failed_trial_whose_log_ends_with_the_traceback(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(parameters: dict[str, Any]) -> None:
        hpctrack.init(project="elsewhere")
        if parameters["a"] == 2:
            raise ValueError("two is too much")
        if parameters["a"] == 3:
            sys.exit(5)

    sweep = hpctrack.sweep({**CONFIG, "max_retries": 0}, project="digits")
    hpctrack.agent(sweep, train)
    found = results(store, sweep)
    assert [(found[one].state.value, found[one].exit_code) for one in range(3)] == [
        ("finished", 0), ("failed", 1), ("failed", 5),
    ]  # fmt: skip
    assert found[1].message == "ValueError: two is too much"
    log = load_sweep(store, sweep).folder.log(1).read_text()
    assert log.startswith("Traceback")
    assert log.endswith("ValueError: two is too much\n")
    assert found[1].log_tail == log.rstrip()
    assert log in capsys.readouterr().err
    runs = Store(store).runs(order="id", project="digits")
    assert [run.state for run in runs] == ["finished", "failed", "failed"]


def test_an_early_end_is_a_success_of_its_own_kind(store: Path) -> None:
    def train() -> None:
        hpctrack.init()
        raise hpctrack.Pruned("worse than the median")

    sweep = hpctrack.sweep(CONFIG)
    hpctrack.agent(sweep, train, count=1)
    (result,) = results(store, sweep).values()
    assert (result.state.value, result.exit_code) == ("pruned", 0)
    assert result.why == "worse than the median"
    (run,) = Store(store).runs()
    assert run.state == "finished"


def test_ctrl_c_ends_the_agent(store: Path) -> None:
    calls = []

    def train() -> None:
        calls.append(hpctrack.init().id)
        raise KeyboardInterrupt

    sweep = hpctrack.sweep(CONFIG)
    hpctrack.agent(sweep, train)
    assert len(calls) == 1
    assert results(store, sweep)[0].exit_code == 130
    assert "HPCTRACK_RUN_ID" not in os.environ


def test_without_a_function_the_command_is_started(store: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import sys; open('ran', 'a').write(sys.argv[1])")
    sweep = hpctrack.sweep({**CONFIG, "program": "train.py"})
    hpctrack.agent(sweep, count=2)
    assert (tmp_path / "ran").read_text() == "--a=1--a=2"
    with pytest.raises(SweepError, match="no `program`"):
        hpctrack.agent(hpctrack.sweep(CONFIG))
