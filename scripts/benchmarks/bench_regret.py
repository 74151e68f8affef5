"""``scripts/bench search``: how good the points of our search are beside W&B's."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from scripts.benchmarks.host import describe_host, describe_ours
from scripts.benchmarks.peers import PEERS, PEERS_FOLDER
from scripts.benchmarks.report import replace_part
from scripts.benchmarks.report_regret import print_search, render_search
from scripts.benchmarks.search_functions import FUNCTIONS
from scripts.benchmarks.search_records import end_torn_line, list_missing, read_records

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanations" / "search-quality.md"
RECORDS = PEERS_FOLDER / "search.jsonl"

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A worker leaves the other cores to the trials; so do all engines here."""

BLOCK = 5
"""Seeds of one process: to import torch takes as long as half a search."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What chooses points.

    Parameters
    ----------
    program : str
        Module of `scripts.benchmarks.programs`.
    peer : str
        Whose environment it runs in.
    method : str
        Of our sweep file.
    has_torch : bool
        Whether ours may use it.
    """

    program: str
    peer: str
    method: str = "bayes"
    has_torch: bool = True


ENGINES: dict[str, Engine] = {
    "wandb": Engine("search_wandb", "wandb-sweeps"),
    "bayes": Engine("search_ours", "search"),
    "bayes-no-torch": Engine("search_ours", "search", has_torch=False),
    "gp": Engine("search_ours", "search", "gp"),
    "cmaes": Engine("search_ours", "search", "cmaes"),
    "random": Engine("search_ours", "search", "random"),
}
"""``gp`` and ``cmaes`` are Optuna's samplers as they come; without torch ``bayes`` is ``tpe``."""

EPILOG = """
scripts/bench --peers wandb-sweeps search      install W&B's engine, and ours with torch (5 GB)
scripts/bench search --markdown                everything; two hours on one core
scripts/bench search --engines wandb,bayes --functions branin --seeds 5
A killed run goes on: what --json FILE has is not searched again. Remove FILE after a change.
"""


def make_search_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench search",
        description="Compare the regret of our search with W&B's engine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--functions", default=",".join(FUNCTIONS), help="default: %(default)s")
    parser.add_argument(
        "--engines",
        default="wandb,bayes,bayes-no-torch,cmaes,random",
        help=f"of {','.join(ENGINES)}; default: %(default)s",
    )
    parser.add_argument("--seeds", type=int, default=30, help="0 to this; default: %(default)s")
    parser.add_argument("--trials", type=int, default=100, help="default: %(default)s")
    parser.add_argument(
        "--json", type=Path, default=RECORDS, metavar="FILE", help="a line for each search"
    )
    parser.add_argument("--only-report", action="store_true", help="search nothing")
    parser.add_argument("--markdown", action="store_true", help=f"write into {PAGE.name}")
    return parser


def search_main(arguments: Sequence[str]) -> int:
    """Do what the command line says; return 1 if our median is above W&B's anywhere."""
    parser = make_search_parser()
    options = parser.parse_args(arguments)
    functions, engines = options.functions.split(","), options.engines.split(",")
    unknown = [*(set(functions) - set(FUNCTIONS)), *(set(engines) - set(ENGINES))]
    if unknown:
        parser.error(f"not known: {', '.join(unknown)}")
    console = Console(width=None if Console().is_terminal else 160)
    if not options.only_report:
        absent = {ENGINES[one].peer for one in engines if _find_python(ENGINES[one]) is None}
        if absent:
            parser.error(f"not installed; `scripts/bench --peers {' '.join(sorted(absent))}`")
        run_missing(
            options.json,
            engines=engines,
            functions=functions,
            seeds=range(options.seeds),
            trials=options.trials,
            say=lambda text: console.print(text, style="dim", markup=False, highlight=False),
        )
    found = read_records(options.json, options.trials)
    records = [
        one
        for one in found.values()
        if one.function in functions and one.engine in engines and one.seed < options.seeds
    ]
    is_met = print_search(records, options.trials, console)
    if options.markdown:
        text = render_search(records, options.trials, host=describe_host(), ours=describe_ours())
        replace_part(PAGE, text, "search")
    return int(not is_met)


def run_missing(
    file: Path,
    *,
    engines: Sequence[str],
    functions: Sequence[str],
    seeds: Sequence[int],
    trials: int,
    say: Callable[[str], None],
    find_python: Callable[[Engine], Path | None] | None = None,
) -> int:
    """Search what the file lacks, a block of seeds of one function and engine after another.

    Parameters
    ----------
    file : Path
        JSON lines; appended to.
    engines, functions, seeds, trials
        What is wanted.
    say : callable
        Told what is being done.
    find_python : callable, optional
        From an engine to the Python of its environment; for tests.

    Returns
    -------
    int
        How many programs failed; the others' results are kept.
    """
    end_torn_line(file)
    found = read_records(file, trials)
    missing = list_missing(found, engines=engines, functions=functions, seeds=seeds)
    file.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    for engine, function, lacking in missing:
        for at in range(0, len(lacking), BLOCK):
            block = lacking[at : at + BLOCK]
            say(f"{function}: {engine}, seeds {block[0]} to {block[-1]}")
            python = (find_python or _find_python)(ENGINES[engine])
            told = {
                "engine": engine,
                "function": function,
                "seeds": block,
                "trials": trials,
                "out": str(file.resolve()),
                "method": ENGINES[engine].method,
                "has_torch": ENGINES[engine].has_torch,
            }
            module = f"scripts.benchmarks.programs.{ENGINES[engine].program}"
            done = subprocess.run(
                [str(python), "-P", "-m", module, json.dumps(told)],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                failed += 1
                lines = done.stderr.strip().splitlines() or ["said nothing"]
                say(f"failed, exit {done.returncode}: {lines[-1][:300]}")
    return failed


def _find_python(engine: Engine) -> Path | None:
    return PEERS[engine.peer].find_python()
