"""The benchmark of searches: its functions, how it goes on after a kill, and its arithmetic."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

import pytest

from scripts.benchmarks.bench_regret import PAGE, run_missing
from scripts.benchmarks.report_regret import render_search, show_regret
from scripts.benchmarks.search_functions import FUNCTIONS, SearchFunction
from scripts.benchmarks.search_records import SearchRecord, list_missing, read_records
from scripts.benchmarks.search_statistics import compare, mean_ranks, sum_up

PUBLISHED = {
    "branin": 0.397887,
    "hartmann6": -3.32237,
    "ackley5": 0.0,
    "rosenbrock4": 0.0,
    "func2c": -0.20632,
    "levy5-mixed": 0.0,
    "branin-noisy": 0.397887,
    "hartmann6-noisy": -3.32237,
}


def _draw(function: SearchFunction, generator: random.Random) -> dict[str, object]:
    point: dict[str, object] = {}
    for name, one in function.space.items():
        if "values" in one:
            point[name] = generator.choice(one["values"])
        elif isinstance(one["min"], int):
            point[name] = generator.randint(one["min"], one["max"])
        else:
            point[name] = generator.uniform(one["min"], one["max"])
    return point


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_a_function_has_its_published_minimum_and_nothing_lower(function: SearchFunction) -> None:
    assert function.minimum == pytest.approx(PUBLISHED[function.name], abs=1e-5)
    assert function.value(function.best) == pytest.approx(function.minimum, abs=1e-9)
    assert set(function.best) == set(function.space)
    generator = random.Random(1)
    for _ in range(2000):
        assert function.value(_draw(function, generator)) >= function.minimum
    for name, one in function.space.items():
        if "values" in one:
            assert function.best[name] in one["values"]
            continue
        assert one["min"] <= function.best[name] <= one["max"]
        for step in (-1e-3, 1e-3):
            if isinstance(one["min"], float):
                aside = {**function.best, name: function.best[name] + step}
                assert function.value(aside) >= function.minimum


def test_noise_belongs_to_seed_and_trial_and_not_to_the_regret() -> None:
    function = FUNCTIONS["branin-noisy"]
    one = function.observe(function.best, seed=1, number=2)
    assert one == function.observe(function.best, seed=1, number=2)
    assert one != function.observe(function.best, seed=1, number=3)
    assert one != function.observe(function.best, seed=2, number=2)
    assert function.regret(function.best) == 0.0
    seen = [function.observe(function.best, seed=0, number=n) for n in range(2000)]
    assert sum(seen) / len(seen) == pytest.approx(function.minimum, abs=0.1)
    assert all(one.noise == 0 or "noisy" in one.name for one in FUNCTIONS.values())


def _line(seed: int, *, engine: str = "random", trials: int = 3) -> str:
    return json.dumps(
        {
            "engine": engine,
            "function": "branin",
            "seed": seed,
            "observed": [5.0, 3.0, 4.0][:trials],
            "regrets": [2.0, 1.0, 0.5][:trials],
            "asks_s": [0.1] * trials,
            "versions": {"x": "1"},
        }
    )


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    # Seed 1 is there, seed 2 is too short, and the kill has torn the last line.
    file.write_text(f"{_line(1)}\n{_line(2, trials=2)}\n{_line(0)[:40]}")
    said: list[str] = []

    def run() -> int:
        return run_missing(
            file,
            engines=["random"],
            functions=["branin"],
            seeds=range(3),
            trials=3,
            say=said.append,
            find_python=lambda _engine: Path(sys.executable),
        )

    assert run() == 0, said
    assert said == ["branin: random, seeds 0 to 2"]
    records = read_records(file, 3)
    assert sorted(records) == [("random", "branin", seed) for seed in range(3)]
    assert records["random", "branin", 1].observed == (5.0, 3.0, 4.0)
    again = records["random", "branin", 0]
    assert len(again.regrets) == len(again.asks_s) == 3
    assert "optuna" in again.versions
    before = file.read_text()
    assert run() == 0
    assert file.read_text() == before


def test_what_is_missing_is_listed_by_function_and_engine() -> None:
    have = [("a", "f", 0), ("a", "f", 1), ("b", "g", 1)]
    assert list_missing(have, engines=["a", "b"], functions=["f", "g"], seeds=range(2)) == [
        ("b", "f", [0, 1]), ("a", "g", [0, 1]), ("b", "g", [0]),
    ]  # fmt: skip


def _record(engine: str, seed: int, regret: float) -> SearchRecord:
    return SearchRecord(
        engine=engine,
        function="branin",
        seed=seed,
        observed=(3.0, 1.0, 2.0),
        regrets=(9.0, regret, 0.0),
        asks_s=(0.1, 0.2, 0.3),
        versions={"x": "1"},
    )


def test_the_regret_is_that_of_the_best_result_and_not_of_the_best_point() -> None:
    record = _record("bayes", 0, 0.25)
    assert record.simple_regret(1) == 9.0
    assert record.simple_regret(3) == 0.25


def test_a_comparison_pairs_seeds_and_counts_a_tie_half() -> None:
    ours = {seed: 0.1 * (seed + 1) for seed in range(10)}
    theirs = {seed: 1.0 * (seed + 1) for seed in range(9)} | {42: 0.0}
    found = compare(ours, theirs)
    assert (found.seeds, found.wins) == (9, 9)
    assert found.ratio == pytest.approx(10.0)
    assert found.p_value < 0.01
    tied = compare({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0})
    assert (tied.wins, tied.ratio, tied.p_value) == (1.0, 1.0, 1.0)
    assert math.isnan(compare({}, {0: 1.0}).ours)


def test_the_total_gives_each_function_the_same_weight() -> None:
    ours = {"f": {0: 1.0, 1: 1.0}, "g": {0: 1.0}}
    theirs = {"f": {0: 4.0, 1: 4.0}, "g": {0: 0.25}}
    total = sum_up(ours, theirs)
    assert total.improvement == 0.5
    assert total.speedup == pytest.approx(1.0)
    assert total.low == total.high == 0.5
    assert math.isnan(sum_up({}, theirs).improvement)
    ranks = mean_ranks({"a": {"f": {0: 1.0, 1: 2.0}}, "b": {"f": {0: 1.0, 1: 1.0}}})
    assert ranks == {"a": 1.75, "b": 1.25}


def test_the_report_has_a_line_for_each_function_and_the_page_its_marks() -> None:
    records = [
        _record(engine, seed, regret * (seed + 1))
        for engine, regret in (("bayes", 0.001), ("wandb", 0.1))
        for seed in range(8)
    ]
    text = render_search(records, 3, host={"cpu": "C"}, ours="0.1")
    assert "| branin | 0.45 | 4.5e-03 | 100 | 8 of 8 | 0.0078 |" in text
    assert "with a probability of 1.00 (95 % interval 1.00 to 1.00)" in text
    assert "at each function: `wandb` 8, `bayes` 8." in text
    assert "| bayes | 0.200 | 0.30 |" in text
    page = PAGE.read_text()
    assert all(f"`{name}`" in page for name in FUNCTIONS)
    assert page.count("scripts/bench search --markdown -->") == 2


def test_regrets_are_shown_with_two_digits() -> None:
    values = (0.0, 0.0123, 1.234, 123.4, 12345.0, 1.2e-7)
    assert [show_regret(one) for one in values] == [
        "0", "0.012", "1.2", "123", "1.2e+04", "1.2e-07",
    ]  # fmt: skip
