"""The command line of ``scripts/bench``."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.benchmarks.bench_regret import search_main
from scripts.benchmarks.catalogue import AREAS, RECORDER, Benchmark
from scripts.benchmarks.host import describe_host, list_versions, read_load
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.ours import install_ours
from scripts.benchmarks.peers import find_peers, install_peers
from scripts.benchmarks.report import print_report, render_markdown, replace_part
from scripts.benchmarks.rows import Outcome, Row
from scripts.benchmarks.sync_link import list_obstacles

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanations" / "performance.md"
PAGES = {
    "dashboard": PAGE.with_name("dashboard-performance.md"),
    "faults": PAGE.with_name("faults.md"),
    "sweep": PAGE,
    "sync": PAGE.with_name("sync-performance.md"),
}
"""Of the areas that have a page, or a part of one, of their own."""

RESULT_FORMAT = 1

EPILOG = """
scripts/bench --peers                          install hpctrack and others into .bench/
scripts/bench --peers torch==2.13.0+cpu aim    install these, in these versions
scripts/bench recorder                         everything; half an hour on two cores
scripts/bench recorder --only log-1,init --rounds 3
scripts/bench recorder --json result.json --markdown
scripts/bench telemetry                        what sampling 8 GPUs and 128 ranks costs the agent
scripts/bench faults                           what each fault costs the loop and the record
scripts/bench search --help                    how good our search is beside W&B's
scripts/bench sweep --rounds 1                 how many points a second a study gives
scripts/bench sync                             pushes beside rsync -a, through a real sshd; as root
scripts/bench dashboard --only runs,compare    pages and charts, in Chromium
scripts/bench recorder --from result.json --markdown
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure hpctrack beside other trackers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("area", nargs="?", choices=tuple(AREAS), help="what to measure")
    parser.add_argument(
        "--peers", nargs="*", metavar="NAME", help="install other trackers, each in its own venv"
    )
    parser.add_argument("--only", help=f"some of {','.join(RECORDER)}, or of another area")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each benchmark")
    parser.add_argument("--seed", type=int, default=1, help="of the order within a round")
    parser.add_argument(
        "--against", help="peers to compare with, by commas; default all that are installed"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the result; of a FILE that is there only what was measured is replaced",
    )
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing")
    parser.add_argument("--markdown", action="store_true", help="write into the page of the area")
    parser.add_argument("--large", action="store_true", help="seal 10^8 points and the like")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: does it all run?")
    parser.add_argument("--folder", type=Path, help="where temporary stores go; a local disk")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return 1 if a target was missed or not measured."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["search"]:
        return search_main(words[1:])
    parser = make_parser()
    options = parser.parse_args(words)
    console = Console(width=None if Console().is_terminal else 200)
    if options.peers is not None:
        for name, said in {"hpctrack": install_ours(), **install_peers(options.peers)}.items():
            console.print(f"{name}: {said}", markup=False, highlight=False)
    if options.area is None:
        if options.peers is None:
            parser.print_help()
        return 0
    if options.source:
        result = json.loads(options.source.read_text())
    else:
        result = run_all(options, parser, console)
    print_report(result, console)
    if options.markdown:
        whole = json.loads(options.json.read_text()) if options.json else result
        area = options.area if options.area in PAGES else "recorder"
        replace_part(PAGES.get(area, PAGE), render_markdown(whole), area)
    verdicts = [row["verdict"] for one in result["benches"].values() for row in one["rows"]]
    return int(not {"missed", "not measured"}.isdisjoint(verdicts))


def run_all(
    options: argparse.Namespace, parser: argparse.ArgumentParser, console: Console
) -> dict[str, Any]:
    """Measure what was asked for."""
    benches = AREAS[options.area]
    names = options.only.split(",") if options.only else list(benches)
    peers = find_peers()
    wanted = options.against.split(",") if options.against is not None else list(peers)
    unknown = [*(set(names) - set(benches)), *(set(filter(None, wanted)) - set(peers))]
    if unknown:
        parser.error(f"not known or not installed: {', '.join(unknown)}")
    obstacles = list_obstacles() if options.area == "sync" else []
    if obstacles:
        parser.error(f"sync cannot be measured here: {'; '.join(obstacles)}")
    result: dict[str, Any] = {
        "format": RESULT_FORMAT,
        "host": describe_host(),
        "versions": list_versions(filter(None, wanted)),
        "benches": {},
    }
    with Lab(
        rounds=options.rounds,
        seed=options.seed,
        peers={name: peers[name] for name in wanted if name},
        within=options.folder,
        say=lambda text: console.print(f"  {text}", style="dim", markup=False, highlight=False),
    ) as lab:
        for name in names:
            console.print(name, style="bold")
            sizes = choose_sizes(benches[name], is_tiny=options.tiny, is_large=options.large)
            result["benches"][name] = run_one(lab, benches[name], sizes)
            if options.json:  # at once: the whole takes half an hour, and may be interrupted
                write_result(result, options.json)
    return result


def choose_sizes(bench: Benchmark, *, is_tiny: bool, is_large: bool) -> dict[str, float]:
    """Return the sizes of a benchmark."""
    return {**bench.full, **(bench.large if is_large else {}), **(bench.tiny if is_tiny else {})}


def run_one(lab: Lab, bench: Benchmark, sizes: dict[str, float]) -> dict[str, Any]:
    """Run a benchmark and return what goes into the result."""
    load_before, start_s = read_load(), time.perf_counter()
    try:
        outcome = bench.measure(lab, **sizes)
    except Exception as error:  # noqa: BLE001 - the other benchmarks' figures are worth keeping
        traceback.print_exc()
        said = f"{type(error).__name__}: {error}"
        outcome = Outcome([Row(what="the whole benchmark", value=None, unit="", note=said)])
    return {
        "measured": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "sizes": sizes,
        "rounds": lab.rounds,
        "load_before": load_before,
        "load_after": read_load(),
        "seconds": time.perf_counter() - start_s,
        "rows": [row.to_json() for row in outcome.rows],
        "samples": outcome.samples,
    }


def write_result(result: dict[str, Any], path: Path) -> None:
    """Write a result; benchmarks of an earlier one that were not run again stay."""
    if path.is_file():
        earlier = json.loads(path.read_text())
        benches = {**earlier["benches"], **result["benches"]}
        versions = {**earlier["versions"], **result["versions"]}
        result = {**result, "benches": _in_order(benches), "versions": versions}
    path.write_text(json.dumps(result, indent=1) + "\n")


def _in_order(benches: dict[str, Any]) -> dict[str, Any]:
    known: Iterable[str] = [*RECORDER, *benches]
    return {name: benches[name] for name in dict.fromkeys(known) if name in benches}
