"""The table of faults, for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.benchmarks.rows import show_number


def render_faults(result: Mapping[str, Any]) -> list[str]:
    """Return a table with a line for each fault."""
    titles = (
        "fault", "`log()` before: p50, p99", "meanwhile: p50, p99, slowest", "points logged",
        "lost", "the ledger says", "the run",
    )  # fmt: skip
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for bench in result["benches"].values():
        lines += [_render(name, found) for name, (found,) in bench["samples"].items()]
    return lines


def _render(name: str, found: Mapping[str, Any]) -> str:
    if "error" in found:
        return f"| {name} | - | - | - | - | not measured: {found['error']} | - |"
    before, during = found["before"], found["during"]
    meanwhile = _show(during, "p50_us", "p99_us", "max_us") if during else "- (it ends)"
    cells = (
        name,
        _show(before, "p50_us", "p99_us"),
        meanwhile,
        show_number(found["logged"]),
        show_number(found["lost"]),
        ", ".join(f"{show_number(value)} `{key}`" for key, value in found["ledger"].items()) or "-",
        ", ".join(dict.fromkeys(found["states"])),
    )
    return "| " + " | ".join(cells) + " |"


def _show(times: Mapping[str, float], *keys: str) -> str:
    return ", ".join(show_number(times[key]) for key in keys) + " µs"
