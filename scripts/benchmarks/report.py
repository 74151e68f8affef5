"""The result for people: a table in the terminal, and one in the documentation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmarks.report_faults import render_faults
from scripts.benchmarks.report_sync import render_pushes
from scripts.benchmarks.rows import show_number

BEGIN = "<!-- begin: scripts/bench recorder --markdown -->"
END = "<!-- end: scripts/bench recorder --markdown -->"
"""Around the recorder's part of a page; another area's have its name."""

SYNC_BENCH = "small"
"""Its results have a table of pushes."""

STYLES = {"met": "green", "missed": "bold red", "not measured": "yellow"}


def print_report(result: Mapping[str, Any], console: Console) -> None:
    """Print a table of all rows."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("benchmark", "what"):
        table.add_column(name)
    for name in ("value", "target"):
        table.add_column(name, justify="right")
    for name in ("unit", "verdict", "note"):
        table.add_column(name)
    for name, bench in result["benches"].items():
        for row in bench["rows"]:
            style = STYLES.get(row["verdict"], "")
            table.add_row(
                name,
                row["what"],
                show_number(row["value"]),
                row["target"] or "",
                row["unit"],
                f"[{style}]{row['verdict']}[/]" if style else row["verdict"],
                row["note"].replace("[", r"\["),
            )
    console.print(table)
    console.print(_describe(result), highlight=False, markup=False)


def _describe(result: Mapping[str, Any]) -> str:
    host = result["host"]
    versions = ", ".join(f"{name} {one}" for name, one in result["versions"].items())
    return (
        f"{host['cpu']}, {host['cores']} cores, {host['memory_gb']} GB, {host['system']}, "
        f"Python {host['python']}. {versions}."
    )


def render_markdown(result: Mapping[str, Any]) -> str:
    """Return the part of the page that is made from a result."""
    if "faults" in result["benches"]:
        parts = [_describe(result), "", *render_faults(result), "", *_render_conditions(result)]
        return "\n".join(parts)
    lines = [_describe(result), "", "| benchmark | what | value | target | verdict | beside it |"]
    lines.append("|---|---|---|---|---|---|")
    for name, bench in result["benches"].items():
        for row in bench["rows"]:
            target = f"{row['target']} {row['unit']}" if row["target"] else ""
            value = "" if row["value"] is None else f"{show_number(row['value'])} {row['unit']}"
            cells = (name, row["what"], value, target, row["verdict"], row["note"])
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    pushes = render_pushes(result) if SYNC_BENCH in result["benches"] else []
    lines += ["", *_render_peers(result), *pushes, "", *_render_conditions(result)]
    return "\n".join(lines)


PEER_COLUMNS = (
    ("CPU us, 1 scalar, flat out", "log-1", "flat_us"),
    ("the same at 1 kHz", "log-1", "paced_us"),
    ("helper's CPU us, flat out", "log-1", "flat_helper_us"),
    ("p50 us", "log-1", "flat_p50_us"),
    ("p99 us", "log-1", "flat_p99_us"),
    ("CPU us, 10 scalars, flat out", "log-10", "flat_us"),
    ("bytes per point, 1 scalar", "log-1", "bytes_per_point"),
    ("files", "log-1", "files"),
    ("peak MB", "log-1", "rss_mb"),
    ("CPU ms, import to first log", "init", "cpu_ms"),
    ("files opened by it", "init", "opened"),
    ("ms per short run", "short-runs", "mean_ms"),
)


def _render_peers(result: Mapping[str, Any]) -> list[str]:
    """Return the table of contestants, medians of the rounds."""
    benches = result["benches"]
    columns = [one for one in PEER_COLUMNS if one[1] in benches]
    names = dict.fromkeys(
        name for bench in ("log-1", "log-10", "init") for name in _samples(benches, bench)
    )
    if not names:
        return []
    lines = ["| | " + " | ".join(title for title, _, _ in columns) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name in names:
        cells = [_median(_samples(benches, bench).get(name, []), key) for _, bench, key in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _samples(benches: Mapping[str, Any], bench: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = benches.get(bench, {}).get("samples", {})
    return found


def _median(samples: list[dict[str, Any]], key: str) -> str:
    values = [float(one[key]) for one in samples if one.get(key) is not None]
    return show_number(statistics.median(values)) if values else "-"


def _render_conditions(result: Mapping[str, Any]) -> list[str]:
    lines = [
        "| benchmark | sizes | rounds | load before, after | seconds |",
        "|---|---|---|---|---|",
    ]
    for name, bench in result["benches"].items():
        sizes = ", ".join(f"{key} {value:,}" for key, value in bench["sizes"].items())
        load = f"{bench['load_before'][0]}, {bench['load_after'][0]}"
        cells = (name, sizes, str(bench["rounds"]), load, show_number(bench["seconds"]))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def replace_part(page: Path, text: str, area: str = "recorder") -> None:
    """Put a text between the two marks of a page.

    Raises
    ------
    ValueError
        The marks are not there.
    """
    marks = [one.replace("recorder", area) for one in (BEGIN, END)]
    before, begin, rest = page.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{page} lacks {' or '.join(marks)}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
