"""The Statistics page, its API and its exports, over runs that differ in a seed."""

from __future__ import annotations

import csv
import http.client
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hpctrack_server.components.statistics_export import (
    escape_latex,
    format_interval,
    format_p,
    format_share,
)
from hpctrack_server.data.index.query import ColumnFacts, ColumnKind
from hpctrack_server.data.statistics.grouping import (
    choose_keys_but_seed,
    group_runs,
    guess_pair,
    thin_points,
)
from hpctrack_server.data.statistics.query import Goal, StatisticsQuery, guess_goal
from tests.seeds import write_groups, write_seeded
from tests.unit.server.conftest import HOST_NAME, HOSTILE, TOKEN, Live, serve

ODD = "=1+1 & 50% <b>_{x}"
GROUPS = {
    "sgd": [0.90, 0.91, 0.92, 0.90, 0.91, 0.93],
    "adam": [0.95, 0.96, 0.97, 0.95, 0.96, 0.98],
    ODD: [0.80, 0.81, 0.82],
}
PAGE = "/p/p/statistics"
API = "/api/v1/projects/p/statistics"


TASKS = {"pong": [0.2, 0.4, 0.6], "=breakout": [200.0, 400.0, 600.0], "'freeway'": [1.0, 1.0, 1.0]}
"""By task the returns of an algorithm that another one beats by a tenth everywhere."""


def write_tasks(store: Path) -> None:
    """Write two algorithms on three tasks; a third was run on one only, and one run says none."""
    for algorithm, factor in (("new", 1.1), ("old", 1.0)):
        for at, (task, values) in enumerate(TASKS.items()):
            for seed, value in enumerate(values):
                config = {"algorithm": algorithm, "game": task, "seed": seed}
                curve = [value * factor]
                write_seeded(store, f"{algorithm}-{at}-{seed}", config, curve, project="tasks")
    config = {"algorithm": "new", "seed": 9}
    write_seeded(store, "without", config, [0.1], project="tasks")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    store = tmp_path_factory.mktemp("seeds")
    write_groups(store, GROUPS)
    write_seeded(store, "without", {"optimizer": "sgd", "lr": 0.1, "seed": 9}, ())
    for number, name in enumerate(HOSTILE):
        config = {name: name, "seed": number}
        write_seeded(store, f"h-{number}", config, [0.5], project="hostile")
    write_tasks(store)
    write_groups(
        store, {f"o{n}": [0.5 + n / 100, 0.51 + n / 100] for n in range(9)}, project="many"
    )
    (store / "empty").mkdir()
    served = serve(store)
    yield served
    served.stop()


def post(live: Live, path: str, body: Any) -> tuple[int, Any]:
    """Send JSON without the header that changes need: this only reads."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=180)
    headers = {"Host": f"{HOST_NAME}:{live.port}", "Authorization": f"Bearer {TOKEN}"}
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def test_the_page_says_who_is_better_and_what_was_left_out(live: Live) -> None:
    answer = live.get(PAGE)
    assert answer.status == 200
    assert "15 runs in 3 groups" in answer.text
    assert "optimizer=adam" in answer.text
    assert "lr=" not in answer.text, "what all groups agree in tells nothing"
    assert "is worse than the baseline" in answer.text
    assert "1 run has no number" in answer.text
    assert ODD not in answer.text
    assert "&lt;b&gt;_{x}" in answer.text


def test_a_long_verdict_is_folded_and_opens(live: Live) -> None:
    page = live.get("/p/many/statistics").text
    shown, _, folded = page.partition('<details class="rest"><summary>and 3 more</summary>')
    verdict = shown.partition('aria-label="Verdict"')[2]
    assert verdict.count("<li>") == 5
    assert folded.partition("</details>")[0].count("<li>") == 3
    assert "more</summary>" not in live.get(PAGE).text


def test_the_api_answers_with_the_numbers_of_the_page(live: Live) -> None:
    status, found = post(live, API, {"metric": "summary.val/acc", "test": "mann-whitney"})
    assert status == 200
    assert [one["n"] for one in found["groups"]] == [6, 6, 3]
    assert found["groups"][0]["label"] == "optimizer=adam"
    assert found["pair"] == "config.seed"
    better = {one["label"]: one for one in found["comparisons"]}["optimizer=sgd"]
    assert better["improvement"]["value"] == 0.0
    assert better["p"] == pytest.approx(2 * better["p_plain"])
    assert found["matrix"][0][1] == 1.0
    assert found["matrix"][0][0] is None


def test_groups_pairs_and_baseline_can_be_chosen(live: Live) -> None:
    _, first = post(live, API, {"by": ["config.lr"]})
    assert [one["n"] for one in first["groups"]] == [15]
    assert "one group only" in first["verdict"][0]
    _, whole = post(live, API, {"test": "wilcoxon"})
    small = whole["groups"][-1]
    _, chosen = post(live, API, {"test": "wilcoxon", "baseline": small["id"]})
    assert chosen["baseline"] == small["id"]
    assert [one["pairs"] for one in chosen["comparisons"]] == [3, 3]
    assert "no Wilcoxon signed-rank test can be significant" in chosen["verdict"][0]


def test_best_and_last_of_the_curve_are_read_from_the_runs(live: Live) -> None:
    _, best = post(live, API, {"metric": "best:val/acc"})
    _, last = post(live, API, {"metric": "last:val/acc"})
    assert best["groups"][0]["max"] == pytest.approx(0.99)
    assert last["groups"][0]["max"] == pytest.approx(0.98)
    _, lowest = post(live, API, {"metric": "best:val/acc", "goal": "low"})
    assert lowest["groups"][0]["min"] == pytest.approx(0.40)


@pytest.mark.parametrize(
    "body",
    [{"test": "magic"}, {"confidence": "7"}, {"confidence": "x"}, {"goal": "up"}, {"center": "?"}],
)
def test_what_makes_no_sense_is_refused_with_the_choices(live: Live, body: Any) -> None:
    status, found = post(live, API, body)
    assert status == 400
    assert "use" in found["hint"]
    (name, value), *_ = body.items()
    answer = live.get(f"{PAGE}?{name}={value}")
    assert answer.status == 200
    assert 'role="alert"' in answer.text, "the form stays, with what is wrong above it"


def test_exports_are_what_the_page_shows(live: Live) -> None:
    whole = live.get(f"{API}/export?format=json").json()
    answer = live.get(f"{API}/export?format=csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["group"] for row in rows] == [one["label"] for one in whole["groups"]]
    assert float(rows[0]["mean"]) == whole["groups"][0]["mean"]
    latex = live.get(f"{API}/export?format=latex").text
    assert "\\toprule" in latex
    assert "\\boldmath" in latex
    assert r"=1+1 \& 50\% \textless{}b\textgreater{}\_\{x\}" in latex
    assert latex.count("\\\\\n") == 4
    assert live.get(f"{API}/export?format=xlsx").status == 400


def test_groups_are_compared_over_tasks(live: Live) -> None:
    wanted = {"task": "config.game", "metric": "summary.val/acc", "goal": "high"}
    _, found = post(live, "/api/v1/projects/tasks/statistics", wanted)
    tasks = found["tasks"]
    assert tasks["names"] == ["'freeway'", "=breakout", "pong"]
    assert [one["label"] for one in tasks["groups"]] == ["algorithm=new", "algorithm=old"]
    new, old = tasks["groups"]
    assert (new["n"], old["n"]) == (9, 9)
    # Scaled by hand: from 0.2 to 0.66, and the same from 200 to 660; of freeway 0 and 1.
    scaled = [(value - 0.2) / 0.46 for value in (0.2, 0.4, 0.6)] * 2 + [0.0] * 3
    assert old["aggregates"]["mean"]["value"] == pytest.approx(np.mean(scaled))
    assert old["aggregates"]["iqm"]["value"] == pytest.approx(stats.trim_mean(scaled, 0.25))
    assert old["aggregates"]["gap"]["value"] == pytest.approx(1 - np.mean(scaled))
    (better,) = (one["improvement"] for one in (new, old) if one["improvement"])
    share = (6 / 9 + 6 / 9 + 1) / 3
    assert abs(better["value"] - 0.5) == pytest.approx(share - 0.5)
    assert len(tasks["profile"]["scores"]) == len(tasks["profile"]["groups"][0]["share"])
    assert "1 run says no task and count nowhere" in found["notes"]
    assert found["matrix"] == []
    page = live.get("/p/tasks/statistics?task=config.game")
    assert "over 3 tasks" in page.text
    assert "Performance profiles" in page.text
    assert "Optimality gap" in page.text


def test_tasks_are_exported_as_the_page_shows_them(live: Live) -> None:
    path = "/api/v1/projects/tasks/statistics/export?task=config.game"
    rows = list(csv.DictReader(io.StringIO(live.get(f"{path}&format=csv").text)))
    whole = live.get(f"{path}&format=json").json()["tasks"]["groups"]
    assert [row["group"] for row in rows] == [one["label"] for one in whole]
    assert float(rows[0]["iqm"]) == whole[0]["aggregates"]["iqm"]["value"]
    assert {rows[0]["p_improvement"] == "", rows[1]["p_improvement"] == ""} == {True, False}
    latex = live.get(f"{path}&format=latex").text
    assert "\\toprule" in latex
    assert "stratified bootstrap" in latex
    assert "Optimality gap" in latex
    low = live.get(f"{path}&format=latex&scaling=none&goal=low").text
    assert "Optimality gap" not in low, "there is no score of 1 to reach"


def test_tasks_that_not_all_groups_share_are_said(live: Live) -> None:
    path = "/api/v1/projects/tasks/statistics"
    _, found = post(live, path, {"task": "config.game", "by": ["config.seed"]})
    assert len(found["tasks"]["groups"]) == 3
    assert "too few of the tasks count nowhere: seed=9" in " ".join(found["notes"])
    _, nothing = post(live, path, {"task": "config.game", "by": ["config.seed", "id"]})
    assert nothing["tasks"]["names"] == []
    assert "no task was run by every group" in " ".join(nothing["notes"])
    page = live.get("/p/tasks/statistics?task=config.game&by=id").text
    assert "no task was run by every group" in page
    assert post(live, path, {"task": "config.none"})[0] in {200, 400}
    assert post(live, path, {"task": "config.game", "scaling": "?"})[0] == 400


def test_hostile_empty_and_absent_projects_are_answered(live: Live) -> None:
    hostile = live.get("/p/hostile/statistics")
    assert hostile.status == 200
    assert "<script>alert(1)" not in hostile.text
    assert post(live, "/api/v1/projects/hostile/statistics", {})[0] == 200
    csv_text = live.get("/api/v1/projects/hostile/statistics/export?format=latex")
    assert csv_text.status == 200
    empty = live.get("/p/empty/statistics")
    assert "Nothing to compare yet" in empty.text
    assert live.get("/p/none/statistics").status == 404
    gone = live.get(f"{PAGE}?metric=summary.none")
    assert "No run has this number" in gone.text


def test_an_address_keeps_all_that_was_chosen() -> None:
    given = {
        "metric": "summary. odd,name ", "by": ["config.a,b", "state"], "goal": "low",
        "test": "wilcoxon", "runs": "r1,r2", "filter": 'state == "finished"',
    }  # fmt: skip
    query = StatisticsQuery.parse(given)
    pairs = query.parameters()
    again = StatisticsQuery.parse({
        **dict(pairs), "by": [value for name, value in pairs if name == "by"],
    })  # fmt: skip
    assert again == query
    assert query.metric == "summary. odd,name "
    assert "baseline=x%26y" in query.link(baseline="x&y")
    assert guess_goal("summary.train/loss") == Goal.LOW
    assert guess_goal("summary.val/acc") == Goal.HIGH
    for low in (
        "step_time_s",
        "trainLoss",
        "val_losses",
        "celoss",
        "WER",
        "top1_err",
        "latency_ms",
    ):
        assert guess_goal(f"summary.{low}") == Goal.LOW, low
    for high in ("val_score", "f1_score", "power", "answer_acc", "samples", "verified", "IoU"):
        assert guess_goal(f"summary.{high}") == Goal.HIGH, high


def test_runs_are_grouped_by_equal_values_and_seeds_do_not_count() -> None:
    def facts(key: str) -> ColumnFacts:
        return ColumnFacts(key=key, kind=ColumnKind.NUMBER, count=1, distinct=1)

    columns = [facts(one) for one in ("config.lr", "config.model.Seed", "summary.seed", "user")]
    assert choose_keys_but_seed(columns) == ("config.lr",)
    assert guess_pair(columns) == "config.model.Seed"
    groups = group_runs(
        ["a", "b", "c", "d", "e"],
        [1.0, 2, math.nan, "x", True],
        [],
        {"k": [1, 1.0, 1, 1, True], "l": [[1], [1], [1], [1], [1]]},
    )
    assert [(len(one.sample), one.without) for one in groups] == [(2, 2), (1, 0)]
    thinned = thin_points(np.arange(1000.0)[::-1], 10)
    assert (len(thinned), thinned[0], thinned[-1]) == (10, 0.0, 999.0)


def test_groups_are_called_by_what_tells_them_apart_first_and_the_whole_of_it() -> None:
    long = "/scratch/" * 9
    columns: dict[str, list[Any]] = {
        "config.amp": [True, True, False],
        "config.lr": [0.1, 0.2, 0.2],
        "config.out": [long + end for end in "abc"],
        "config.without": ["x", "x", "x"],
    }
    found = group_runs(["a", "b", "c"], [1.0, 2.0, 3.0], [], columns)
    assert [one.sample.label for one in found] == [
        "lr=0.1, amp=True, out=\u2026/scratch/a",
        "lr=0.2, amp=True, out=\u2026/scratch/b",
        "lr=0.2, amp=False, out=\u2026/scratch/c",
    ]


def test_numbers_are_written_with_their_ends() -> None:
    nan = math.nan
    assert format_interval({"value": 0.5, "low": 0.25, "high": 0.75}) == "0.5 [0.25, 0.75]"
    assert format_interval({"value": 0.5, "low": nan, "high": nan}) == "0.5"
    assert format_interval({"value": nan, "low": nan, "high": nan}) == "\N{EN DASH}"
    assert format_share({"value": 0.5, "low": 0.1, "high": 0.9}) == "50% [10%, 90%]"
    assert [format_p(one) for one in (0.0123, 1e-9, nan, None)] == [
        "0.012", "<0.0001", "\N{EN DASH}", "\N{EN DASH}",
    ]  # fmt: skip
    assert (
        escape_latex("a\n\\b{c}~^")
        == r"a \textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}"
    )
