"""A sweep as a table, as a data frame, and as columns for a page."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import hpctrack
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sweeps.results.dashboard import make_dashboard
from hpctrack.sweeps.results.export import (
    Row,
    choose_format,
    encode_rows,
    make_columns,
    make_rows,
    save_file,
)
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.results.sweep_results import SweepResults
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialState
from tests.unit.sweeps.results.made_sweeps import make_sweep, run_all, say, write_run

ODD: dict[str, Any] = {
    "state": {"values": ["on, off", 'say "x"', "two\nlines"]},
    "mixed": {"values": [1, "auto", None]},
    "shape": {"values": [[1, 2]]},
    "net": {"parameters": {"depth": {"values": [1, 2]}}},
}


def make_odd(tmp_path: Path) -> Sweep:
    sweep = make_sweep(tmp_path, parameters=ODD)
    for number in range(12):
        say(sweep, number, TrialState.FINISHED, loss=float(number))
    say(sweep, 12, TrialState.FAILED, exit_code=3, message="no such file")
    write_run(sweep, 0, {"loss": [0.0]})
    return sweep


def test_there_is_a_row_for_each_trial_and_names_do_not_collide(tmp_path: Path) -> None:
    rows = make_rows(read_status(make_odd(tmp_path)))
    assert len(rows) == 13
    assert len({tuple(row) for row in rows}) == 1
    first, last = rows[0], rows[12]
    assert first["state"] == "finished"
    assert first["params.state"] in {"on, off", 'say "x"', "two\nlines"}
    assert first["params.net.depth"] in {1, 2}
    assert (first["run"], rows[1]["run"]) == ("s-0000", None)
    assert (last["state"], last["exit_code"], last["message"]) == ("failed", 3, "no such file")
    assert last["metrics.loss"] is None


def test_csv_survives_commas_quotes_and_line_feeds(tmp_path: Path) -> None:
    rows = make_rows(read_status(make_odd(tmp_path)))
    back = list(csv.DictReader(io.StringIO(encode_rows(rows, "csv").decode())))
    assert [row["params.state"] for row in back] == [row["params.state"] for row in rows]
    assert back[3]["metrics.loss"] == "3.0"
    assert back[12]["metrics.loss"] == ""
    assert json.loads(back[0]["params.shape"]) == [1, 2]


def test_json_has_null_for_what_is_no_number(tmp_path: Path) -> None:
    rows: list[Row] = [{"a": math.nan, "b": [math.inf, 1]}, {"a": 1.5, "b": None}]
    back = json.loads(encode_rows(rows, "json", id="s"))
    assert back == {"id": "s", "rows": [{"a": None, "b": [None, 1]}, {"a": 1.5, "b": None}]}


def test_parquet_has_the_same_columns_with_types(tmp_path: Path) -> None:
    rows = make_rows(read_status(make_odd(tmp_path)))
    path = tmp_path / "trials.parquet"
    save_file(path, encode_rows(rows, "parquet"))
    table = pq.read_table(path)
    assert table.column_names == list(rows[0])
    assert table.column("metrics.loss").to_pylist() == [row["metrics.loss"] for row in rows]
    assert str(table.schema.field("trial").type) == "int64"
    assert set(table.column("params.mixed").to_pylist()) <= {"1", "auto", None, "None"}
    assert [one for one in tmp_path.iterdir() if one.name.startswith(".trials")] == []


def test_columns_that_mix_types_become_text_and_numbers_stay() -> None:
    rows: list[Row] = [
        {"a": 1, "b": 1, "c": True, "d": 1},
        {"a": 2.5, "b": "x", "c": None, "d": None},
    ]
    assert make_columns(rows) == {
        "a": [1.0, 2.5], "b": ["1", "x"], "c": [True, None], "d": [1, None],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "output", "wanted"),
    [
        (None, None, "csv"),
        (None, "a.json", "json"),
        (None, "a.PQ", "parquet"),
        ("json", "a.csv", "json"),
    ],
)
def test_the_format_is_the_argument_or_the_files(
    given: str | None, output: str | None, wanted: str
) -> None:
    assert choose_format(given, Path(output) if output else None) == wanted


def test_what_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say"):
        choose_format(None, Path("trials.xlsx"))
    with pytest.raises(UsageError, match="terminal"):
        choose_format("parquet", None)
    with pytest.raises(UsageError, match="cannot write"):
        save_file(tmp_path / "nowhere" / "a.csv", b"")


def test_pandas_has_a_row_for_each_trial(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    losses = run_all(sweep, 20, pruned=(3,))
    results = hpctrack.sweep_results("s")
    frame = results.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert frame["metrics.loss"].tolist() == losses
    assert frame["params.lr"].dtype.kind == "f"
    assert frame.loc[frame["state"] == "pruned", "trial"].tolist() == [3]
    finished = frame[frame["state"] == "finished"]
    assert finished.loc[finished["metrics.loss"].idxmin(), "trial"] == results.best.number


def test_results_are_found_as_people_name_them(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    run_all(sweep, 3)
    write_run(sweep, 1, {"loss": [3.0, 2.0]})
    for results in (
        hpctrack.sweep_results("digits/s"),
        hpctrack.sweep_results("s", store=tmp_path / "store", project="digits"),
    ):
        assert len(results) == 3
        assert [one.number for one in results] == [0, 1, 2]
        assert "3 trials" in repr(results)
    with pytest.raises(NotFoundError, match="no sweep 'x'"):
        hpctrack.sweep_results("x")
    frame = results.curves_to_pandas()
    assert frame["value"].tolist() == [3.0, 2.0]
    assert frame["trial"].tolist() == [1, 1]


def test_the_best_run_is_a_run(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    say(sweep, 0, TrialState.FINISHED, loss=0.1)
    say(sweep, 1, TrialState.FINISHED, loss=0.2)
    results = SweepResults(sweep)
    with pytest.raises(NotFoundError, match="trial 0 of sweep s has no run"):
        results.best_run()
    write_run(sweep, 0, {"loss": [0.1]})
    run = results.best_run()
    assert run.id == "s-0000"
    assert run.metric("loss").rank(0).value.tolist() == [0.1]
    run.close()


def test_results_stay_as_they_were_read_until_refreshed(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path)
    results = SweepResults(sweep)
    assert len(results) == 0
    say(sweep, 0, TrialState.FINISHED, loss=0.1)
    assert len(results) == 0
    results.refresh()
    assert len(results) == 1


def test_a_page_gets_plain_columns(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, run_cap=40)
    run_all(sweep, 30, pruned=(4,))
    say(sweep, 30, TrialState.RUNNING, started_wall_s=2000.0)
    write_run(sweep, 4, {"loss": [3.0, math.nan, 2.0]})
    page = SweepResults(sweep).to_dashboard()
    assert json.loads(json.dumps(page, allow_nan=False)) == json.loads(json.dumps(page))
    axes = {one["name"]: one for one in page["parallel"]}
    assert axes["lr"]["is_log"]
    assert not axes["depth"]["is_log"]
    assert axes["depth"]["is_whole"]
    assert axes["optimizer"]["choices"] == ["adam", "sgd"]
    assert set(axes["optimizer"]["values"]) == {0, 1}
    assert axes["loss"]["role"] == "metric"
    assert all(len(one["values"]) == 31 for one in page["parallel"])
    assert page["trials"]["state"].count("pruned") == 1
    (curve,) = page["curves"]
    assert (curve["values"], curve["stopped_at"]) == ([3.0, None, 2.0], 3)
    assert len(page["timeline"]) == 31
    assert page["timeline"][0]["worker"] == "50_0"
    assert next(one for one in page["timeline"] if one["end_wall_s"] is None)["trial"] == 30
    assert page["best"][0]["metrics"]["loss"] == SweepResults(sweep).best.metric
    assert page["importance"]["parameters"][0]["name"] == "lr"


def test_a_page_about_a_sweep_that_has_not_begun_is_empty_not_an_error(tmp_path: Path) -> None:
    page = make_dashboard(read_status(make_sweep(tmp_path)))
    assert page["best"] == page["curves"] == page["timeline"] == []
    assert "too few" in page["importance"]["error"]
