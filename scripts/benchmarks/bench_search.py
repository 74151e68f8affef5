"""How many points a second a study gives, in the journal and in PostgreSQL."""

from __future__ import annotations

from typing import Any

from hpctrack.sweeps.sweep import create_sweep
from scripts.benchmarks.lab import OURS, Case, Lab
from scripts.benchmarks.rows import Outcome, Row, Samples, find_error, percentile, show_number
from tests.capabilities import find_postgres
from tests.services.postgres import Postgres

CONNECTIONS = 200
PARAMETERS = {f"x{number}": {"min": 0.0, "max": 1.0} for number in range(6)}
WORKERS = (1, 8, 64)


def bench_journal(lab: Lab, *, trials: int, most: int) -> Outcome:
    """Measure asking and telling by 1, 8 and 64 workers that do nothing else, in the journal.

    The workers are processes that were forked from one and opened the study each for itself; they
    begin together and share out the trials. The points are random ones, of six parameters, so
    that no sampler is measured.
    """
    return _measure_all(lab, "journal", None, trials=trials, most=most)


def bench_postgres(lab: Lab, *, trials: int, most: int) -> Outcome:
    """Measure the same in PostgreSQL.

    It is Debian's, started for this on the same machine and disk, and waits for the disk at each
    commit, as it does when nobody changes it.
    """
    if find_postgres() is None:
        why = "PostgreSQL's server is not installed"
        return Outcome([Row(what="postgresql: points a second", value=None, unit="/s", note=why)])
    with Postgres(is_durable=True, connections=CONNECTIONS) as server:
        return _measure_all(lab, "postgresql", server, trials=trials, most=most)


def _measure_all(
    lab: Lab, kind: str, server: Postgres | None, *, trials: int, most: int
) -> Outcome:
    samples: Samples = {}
    for workers in [one for one in WORKERS if one <= most]:
        name = f"{kind}, {workers} worker{'s' if workers > 1 else ''}"
        for number in range(lab.rounds):
            lab.say(f"{name}, round {number + 1} of {lab.rounds}")
            url = server.make_database() if server else ""
            found = _measure(lab, url, trials=trials, workers=workers)
            samples.setdefault(name, []).append(found)
    rows = [row for name, found in samples.items() for row in _make_rows(name, found, trials)]
    return Outcome(rows, {name: [_thin(one) for one in found] for name, found in samples.items()})


def _measure(lab: Lab, url: str, *, trials: int, workers: int) -> dict[str, Any]:
    with lab.place() as place:
        config: dict[str, Any] = {
            "method": "random",
            "command": ["true"],
            "metric": {"name": "loss"},
            "parameters": PARAMETERS,
            "seed": 1,
        }
        if url:
            config["storage"] = url
        sweep = create_sweep(place.store, config)
        case = Case(
            OURS, "search_workers", {"sweep": sweep.id, "trials": trials, "workers": workers}
        )
        return lab.run(case, place=place)


def _make_rows(name: str, found: list[dict[str, Any]], trials: int) -> list[Row]:
    error = find_error(found)
    if error:
        return [Row(what=f"{name}: points a second", value=None, unit="/s", note=error)]
    rates = sorted(trials / one["seconds"] for one in found)
    took_ms = [ms for one in found for ms in one["ms"]]
    ask_ms = [ms for one in found for ms in one["ask_ms"]]
    opened_s = sorted(one["open_s"] for one in found)[len(found) // 2]
    note = (
        f"ask and tell p50 {show_number(percentile(took_ms, 50))} ms, "
        f"p99 {show_number(percentile(took_ms, 99))} ms; "
        f"ask alone p50 {show_number(percentile(ask_ms, 50))} ms; "
        f"opening the study afterwards {show_number(opened_s)} s"
    )
    size_bytes = found[0]["bytes"]
    if size_bytes:
        note += f"; {show_number(size_bytes / trials)} bytes a trial"
    wrong = [one["points"] for one in found if one["points"] != trials]
    if wrong:
        note = f"WRONG: {wrong[0]:,} points instead of {trials:,}; {note}"
    return [
        Row(what=f"{name}: points a second", value=rates[len(rates) // 2], unit="/s", note=note)
    ]


def _thin(sample: dict[str, Any]) -> dict[str, Any]:
    """Return a sample without a number for each trial."""
    return {key: value for key, value in sample.items() if key not in {"ms", "ask_ms"}}
