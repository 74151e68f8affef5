"""The documentation's table of all pushes: time, processor and bytes of each contestant."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from scripts.benchmarks.rows import show_number

COLUMNS = (
    ("s", "wall_s", 1.0),
    ("spread of it", "", 1.0),
    ("CPU s here", "client_cpu_s", 1.0),
    ("CPU s there", "server_cpu_s", 1.0),
    ("MB on the wire", "wire_bytes", 1e-6),
)


def render_pushes(result: Mapping[str, Any]) -> list[str]:
    """Return the table's lines, medians of the rounds."""
    titles = [title for title, _key, _factor in COLUMNS]
    lines = ["| benchmark | situation | by | " + " | ".join(titles) + " |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    for bench, one in result["benches"].items():
        for key, samples in one["samples"].items():
            situation, _colon, name = key.partition(": ")
            cells = [_show(samples, column, factor) for _title, column, factor in COLUMNS]
            if cells[0] != "-" and not situation.endswith("memory"):
                lines.append("| " + " | ".join((bench, situation, name, *cells)) + " |")
    return lines


def _show(samples: list[dict[str, Any]], key: str, factor: float) -> str:
    if not key:
        times = [float(one["wall_s"]) for one in samples if "wall_s" in one]
        return f"{min(times):.3g} to {max(times):.3g}" if times else "-"
    values = [float(one[key]) for one in samples if one.get(key) is not None]
    return show_number(statistics.median(values) * factor) if values else "-"
