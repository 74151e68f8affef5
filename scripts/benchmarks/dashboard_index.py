"""Runs for the dashboard's index: a million as a table, ten thousand as a store. Seeded.

Run it to measure the index alone, without HTTP::

    python -m scripts.benchmarks.dashboard_index --runs 1000000
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from hpctrack.core.layout import run_folder
from hpctrack.store.node_file import NodeFile
from hpctrack.store.schema import POINT, EventKind
from hpctrack.store.seal import seal_run
from hpctrack_server.data.index.parts import Parts
from hpctrack_server.data.index.query import PAGE_ROWS, RunQuery, SortKey
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.index.saved import SavedTable
from hpctrack_server.data.index.segment import Segment, sort_newest_first
from hpctrack_server.settings import ServerSettings

PROJECT = "large"
FACTS = 20
"""Columns that every run has; the rest is configuration and summary, half each."""

START_S = 1_700_000_000.0
STATES = ("finished", "failed", "crashed", "preempted")
USERS = tuple(f"user{number:02d}" for number in range(40))
OPTIMIZERS = ("adam", "adamw", "sgd", "lion", "rmsprop")
TAGS = ("paper", "baseline", "ablation", "todo", "best")
ABSENT_SHARE = 0.1
STEPS, REPEATS = 20, 5


def make_table(runs: int, columns: int = 60, *, seed: int = 7) -> Segment:
    """Return a table of made-up runs.

    Parameters
    ----------
    runs, columns : int
    seed : int
        The same table for the same one.
    """
    draw = np.random.default_rng(seed)
    found: dict[str, Parts] = dict(_iter_facts(draw, runs))
    left = columns - len(found)
    for number in range(left // 2):
        found[f"config.p{number:02d}"] = _make_parameter(draw, runs, number)
    for number in range(left - left // 2):
        values = draw.normal(number, 1.0, runs)
        mask = draw.random(runs) < ABSENT_SHARE
        found[f"summary.m{number:02d}/loss"] = Parts(numbers=pa.array(values, mask=mask))
    found["@stamp"] = Parts(numbers=pa.array(draw.integers(1, 2**62, runs)))
    return sort_newest_first(Segment(runs, found))


def _iter_facts(draw: np.random.Generator, runs: int) -> Iterator[tuple[str, Parts]]:
    created = START_S + np.sort(draw.integers(0, 5 * 10**7, runs)).astype(np.float64)
    duration = draw.exponential(7200.0, runs)
    yield "id", Parts(texts=pa.array([f"run-{one:07d}" for one in range(runs)], pa.large_string()))
    names = [f"calm-lake-{one}" for one in draw.permutation(runs).tolist()]
    yield "name", Parts(texts=pa.array(names, pa.large_string()))
    yield "state", _choose(draw, runs, STATES, (0.8, 0.1, 0.07, 0.03))
    yield "user", _choose(draw, runs, USERS)
    yield "created", Parts(numbers=pa.array(created))
    yield "ended", Parts(numbers=pa.array(created + duration))
    yield "duration", Parts(numbers=pa.array(duration))
    for key, largest in (("ranks", 1024), ("nodes", 64), ("attempts", 4)):
        yield key, Parts(numbers=pa.array(draw.integers(1, largest, runs)))
    counts = draw.integers(0, 3, runs)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    items = pa.array(np.array(TAGS, object)[draw.integers(0, len(TAGS), offsets[-1])])
    lists = pa.ListArray.from_arrays(
        pa.array(offsets), items.cast(pa.large_string()), mask=pa.array(counts == 0)
    )
    yield "tags", Parts(lists=lists)
    yield "slurm.partition", _choose(draw, runs, ("gpu", "cpu", "long"))
    yield "slurm.account", _choose(draw, runs, tuple(f"proj{one}" for one in range(30)))
    yield (
        "slurm.job_id",
        Parts(texts=pa.array([str(4_000_000 + one) for one in range(runs)], pa.large_string())),
    )


def _make_parameter(draw: np.random.Generator, runs: int, number: int) -> Parts:
    """Return whole numbers, logarithmic ones, words or flags, in turn."""
    kind = number % 4
    if kind == 0:
        return Parts(numbers=pa.array(10 ** draw.uniform(-5, -1, runs)))
    if kind == 1:
        return Parts(numbers=pa.array(draw.integers(0, 10, runs)))
    if kind == 2:  # noqa: PLR2004
        return _choose(draw, runs, OPTIMIZERS)
    return Parts(flags=pa.array(draw.integers(0, 2, runs) == 0))


def _choose(
    draw: np.random.Generator,
    runs: int,
    words: Sequence[str],
    shares: Sequence[float] | None = None,
) -> Parts:
    codes = draw.choice(len(words), runs, p=shares).astype(np.int32)
    dictionary = pa.array(words, pa.large_string())
    return Parts(texts=pa.DictionaryArray.from_arrays(pa.array(codes), dictionary))


def save_table(store: Path, cache: Path, runs: int, columns: int = 60) -> None:
    """Make a store that has nothing but a saved table of its runs.

    To be shown with `ServerSettings.is_following` off: the runs' folders are not there.
    """
    (store / PROJECT).mkdir(parents=True)
    if not SavedTable(store, PROJECT, folder=cache).save(make_table(runs, columns)):
        raise OSError(f"{cache} cannot be written")


def write_store(store: Path, runs: int, columns: int = 60, *, seed: int = 7) -> None:
    """Write real sealed runs with the configuration and results of `make_table`."""
    table = make_table(runs, columns, seed=seed)
    keys = [one for one in table.columns if one.startswith(("config.", "summary."))]
    values = table.to_lists([*keys, "id", "name", "user", "created", "tags", "slurm.partition"])
    for number in range(runs):
        row = {key: column[number] for key, column in values.items() if column[number] is not None}
        _write_run(store, row, np.random.default_rng(seed + number))


def _write_run(store: Path, row: dict[str, Any], draw: np.random.Generator) -> None:
    wall_s = float(row["created"])
    facts = {"run": row["id"], "project": PROJECT, "node": 0, "attempt": 1, "host": "n1"}
    file = NodeFile(run_folder(store, PROJECT, row["id"]), facts, wall_s=wall_s)

    def say(kind: EventKind, told: dict[str, Any]) -> None:
        file.add_event(kind, json.dumps(told).encode(), wall_s=wall_s, rank=0, session=0)

    job = {"SLURM_JOB_PARTITION": row["slurm.partition"], "SLURM_JOB_ID": row["id"][4:]}
    say(EventKind.START, {
        "rank": 0, "size": 1, "node": 0, "attempt": 1, "host": "n1", "pid": 1, "wall_s": wall_s,
        "name": row["name"], "user": row["user"], "launcher": "slurm", "job": job,
    })  # fmt: skip
    say(EventKind.CONFIG, _pick(row, "config."))
    say(EventKind.SUMMARY, _pick(row, "summary."))
    say(EventKind.META, {"tags": row.get("tags") or []})
    file.add_event(EventKind.NAME, b"\0\0\0\0loss", wall_s=wall_s, rank=0, session=0)
    points = np.zeros(STEPS, POINT)
    points["step"] = np.arange(STEPS)
    points["wall_s"] = wall_s + np.arange(STEPS)
    points["value"] = np.exp(-np.arange(STEPS) / 5) + draw.normal(0, 0.05, STEPS)
    file.add_points(points.tobytes())
    say(EventKind.END, {"exit_code": 0, "wall_s": wall_s + 60})
    file.close(wall_s=wall_s + 60, is_durable=False)
    seal_run(file.path.parent)


def _pick(row: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: one for key, one in row.items() if key.startswith(prefix)}


QUESTIONS: dict[str, RunQuery] = {
    "first page": RunQuery(),
    "page 1,000": RunQuery(start=999 * PAGE_ROWS),
    "sort by a number": RunQuery(sort=SortKey.parse("-summary.m03/loss")),
    "sort by two columns": RunQuery(sort=SortKey.parse("state,-config.p00")),
    "sort by name": RunQuery(sort=SortKey.parse("name")),
    "filter of three conditions": RunQuery(
        filter='config.p00 > 1e-3 and summary.m03/loss >= 2.5 and state == "finished"'
    ),
    "filter by tag and user": RunQuery(filter='"paper" in tags and user ~ "user0[1-3]"'),
    "search in names": RunQuery(search="lake-12.*7$"),
    "search for a word": RunQuery(search="lake-1234"),
}


def measure(index: RunIndex, project: str = PROJECT) -> dict[str, tuple[float, float]]:
    """Return seconds of each question: the first time, and the median of those after."""
    found = {name: _time(partial(index.page, project, one)) for name, one in QUESTIONS.items()}
    found["columns"] = _time(lambda: index.columns(project))
    found["groups by one key"] = _time(
        lambda: index.groups(project, ["config.p02"], RunQuery(), ["summary.m00/loss"])
    )
    return found


def _time(work: Callable[[], object]) -> tuple[float, float]:
    times = []
    for _ in range(REPEATS + 1):
        begun_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun_s)
    return times[0], median(times[1:])


def main() -> None:
    """Measure the index of a saved table, or of a store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=60)
    parser.add_argument("--sealed", action="store_true", help="real sealed runs, written first")
    parser.add_argument("--folder", type=Path, help="where they are made, and left; default none")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = given.folder or Path(scratch)
        store, cache = place / "store", place / "cache"
        if not store.exists():
            begun_s = time.perf_counter()
            if given.sealed:
                write_store(store, given.runs, given.columns)
            else:
                save_table(store, cache, given.runs, given.columns)
            print(f"made in {time.perf_counter() - begun_s:.1f} s")
        index = RunIndex(ServerSettings(store=store, is_following=given.sealed), cache=cache)
        begun_s = time.perf_counter()
        index.page(PROJECT, RunQuery(count=1))
        print(f"opened in {time.perf_counter() - begun_s:.3f} s")
        for name, (first_s, later_s) in measure(index).items():
            print(f"{name:28} first {first_s * 1e3:8.1f} ms   then {later_s * 1e3:8.1f} ms")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory {peak:,.0f} MiB; now {_read_memory()}")


def _read_memory() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    kept = [one for one in lines if one.startswith(("RssAnon", "RssFile"))]
    return ", ".join(" ".join(one.split()) for one in kept)


if __name__ == "__main__":
    main()
