"""The tables of searches: in the terminal, and in the documentation."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmarks.search_functions import FUNCTIONS
from scripts.benchmarks.search_records import SearchRecord
from scripts.benchmarks.search_statistics import Comparison, compare, mean_ranks, sum_up

BUDGETS = (20, 50, 100)
"""Numbers of trials that are looked at."""

OURS, THEIRS = "bayes", "wandb"
P_MIN = 1e-4
"""Smaller ones are shown as being smaller."""

Table_ = dict[str, dict[str, dict[int, float]]]
"""Regrets by engine, function and seed."""


def list_budgets(trials: int) -> list[int]:
    """Return the numbers of trials to look at."""
    return [one for one in BUDGETS if one < trials] + [trials]


def make_regrets(records: Iterable[SearchRecord], trials: int) -> Table_:
    """Return the regrets after so many trials."""
    regrets: Table_ = defaultdict(lambda: defaultdict(dict))
    for one in records:
        regrets[one.engine][one.function][one.seed] = one.simple_regret(trials)
    return {engine: dict(found) for engine, found in regrets.items()}


def print_search(records: Sequence[SearchRecord], trials: int, console: Console) -> bool:
    """Print the tables; return whether no median of ours is above W&B's after all trials."""
    for budget in list_budgets(trials):
        table = Table(box=None, header_style="bold", pad_edge=False, title=f"{budget} trials")
        header, *lines = _rows_of_budget(records, budget)
        for at, name in enumerate(header):
            table.add_column(name, justify="right" if at else "left")
        for line in lines:
            table.add_row(*line)
        console.print(table)
        console.print(_say_total(records, budget), highlight=False, markup=False)
    regrets = make_regrets(records, trials)
    pairs = [
        compare(one, regrets[THEIRS][name])
        for name, one in regrets.get(OURS, {}).items()
        if name in regrets.get(THEIRS, {})
    ]
    return all(one.ours <= one.theirs for one in pairs)


def render_search(
    records: Sequence[SearchRecord], trials: int, *, host: Mapping[str, Any], ours: str
) -> str:
    """Return the part of the page that is made from the records."""
    seeds = f"Seeds from 0 on, at each function: {_say_seeds(records)}."
    paired = "Ours and W&B's are compared over the seeds that both have."
    machine = f"{host['cpu']}, one core of it. hpctrack {ours}. {_say_versions(records)}"
    lines = [machine, "", f"{seeds} {paired}"]
    for budget in list_budgets(trials):
        header, *rows = _rows_of_budget(records, budget)
        lines += ["", f"**After {budget} trials**", "", _markdown(header)]
        lines += ["|---" + "|--:" * (len(header) - 1) + "|", *map(_markdown, rows)]
        lines += ["", _say_total(records, budget)]
    lines += ["", "**Seconds that a point takes to choose**", ""]
    header, *rows = _rows_of_asks(records, trials)
    lines += [_markdown(header), "|---" + "|--:" * (len(header) - 1) + "|", *map(_markdown, rows)]
    return "\n".join(lines)


def _markdown(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rows_of_budget(records: Sequence[SearchRecord], budget: int) -> list[list[str]]:
    """Return a header and a row for each function: medians, and how ours stands to theirs."""
    regrets = make_regrets(records, budget)
    engines = _in_order(regrets)
    has_both = OURS in regrets and THEIRS in regrets
    verdict = ["W&B's / ours", "better in", "p"] if has_both else []
    rows = [["function", *engines, *verdict]]
    for name in FUNCTIONS:
        found = {engine: regrets[engine].get(name, {}) for engine in engines}
        if not any(found.values()):
            continue
        row = [name, *(_median(one.values()) for one in found.values())]
        if has_both and found[OURS] and found[THEIRS]:
            row += _say_comparison(compare(found[OURS], found[THEIRS]))
        rows.append(row + [""] * (len(rows[0]) - len(row)))
    ranks = mean_ranks({engine: regrets[engine] for engine in engines})
    rows.append(["mean rank", *(f"{ranks[one]:.2f}" for one in engines), *[""] * len(verdict)])
    return rows


def _in_order(regrets: Table_) -> list[str]:
    first = [one for one in (THEIRS, OURS) if one in regrets]
    return first + sorted(one for one in regrets if one not in first)


def _median(values: Iterable[float]) -> str:
    found = list(values)
    return show_regret(statistics.median(found)) if found else "-"


def show_regret(value: float) -> str:
    """Show two digits that count: regrets span ten decades."""
    if value == 0 or 0.01 <= value < 1000:  # noqa: PLR2004 - where people read decimals
        return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"  # noqa: PLR2004
    return f"{value:.1e}"


def _say_comparison(one: Comparison) -> list[str]:
    p_value = f"< {P_MIN:g}" if one.p_value < P_MIN else f"{one.p_value:.2g}"
    return [show_regret(one.ratio), f"{one.wins:g} of {one.seeds}", p_value]


def _say_total(records: Sequence[SearchRecord], budget: int) -> str:
    regrets = make_regrets(records, budget)
    if OURS not in regrets or THEIRS not in regrets:
        return ""
    total = sum_up(regrets[OURS], regrets[THEIRS])
    return (
        f"Ours is better with a probability of {total.improvement:.2f} (95 % interval "
        f"{total.low:.2f} to {total.high:.2f}) at a function and seed drawn at random; "
        f"W&B's medians are {show_regret(total.speedup)} times ours in the geometric mean."
    )


def _rows_of_asks(records: Sequence[SearchRecord], trials: int) -> list[list[str]]:
    """Return a header and a row for each engine: medians of the asks around some trials."""
    spans = [(max(0, one - 5), one) for one in list_budgets(trials)]
    rows = [["engine", *(f"{low + 1} to {high}" for low, high in spans), "slowest"]]
    for engine in _in_order(make_regrets(records, trials)):
        mine = [one for one in records if one.engine == engine]
        cells = [
            f"{statistics.median(a for one in mine for a in one.asks_s[low:high]):.3f}"
            for low, high in spans
        ]
        slowest = max(max(one.asks_s[:trials]) for one in mine)
        rows.append([engine, *cells, f"{slowest:.2f}"])
    return rows


def _say_seeds(records: Sequence[SearchRecord]) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in records:
        counts[one.engine][one.function] += 1
    said = []
    for engine in _in_order({name: {} for name in counts}):
        low, high = min(counts[engine].values()), max(counts[engine].values())
        said.append(f"`{engine}` {low}" + (f" to {high}" if high > low else ""))
    return ", ".join(said)


def _say_versions(records: Iterable[SearchRecord]) -> str:
    found = sorted({f"{name} {one}" for each in records for name, one in each.versions.items()})
    return ", ".join(found) + "."
