"""A comparison of groups over tasks as a table for papers and programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpctrack_server.components.statistics_export import (
    Report,
    escape_latex,
    format_interval,
    format_share,
    frame_latex,
    is_missing,
    make_ends,
)
from hpctrack_server.components.text import printable
from hpctrack_server.language import csv_text

AGGREGATES = {"iqm": "IQM", "median": "Median", "mean": "Mean", "gap": "Optimality gap"}
"""In the order of the columns."""


def make_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row for each group; None where there is nothing."""
    return [_make_row(one, report) for one in report["tasks"]["groups"]]


def write_csv(report: Report) -> str:
    """Return the rows as CSV; the first line has the names of the columns."""
    rows = make_rows(report)
    names = list(rows[0]) if rows else ["group"]
    return csv_text.write_csv([names, *([row[name] for name in names] for row in rows)])


def write_latex(report: Report, *, caption: str, confidence: float) -> str:
    """Return a table for the package ``booktabs``; the best IQM is bold.

    Parameters
    ----------
    report : mapping
        What the page says.
    caption : str
        What is compared.
    confidence : float
        Of its intervals.
    """
    groups = report["tasks"]["groups"]
    shown = [name for name in AGGREGATES if any(name in one["aggregates"] for one in groups)]
    count = len(report["tasks"]["names"])
    told = escape_latex(f"{caption}, {count} tasks, {report['tasks']['scaling']} scores")
    brackets = f"{confidence * 100:g}\\% stratified bootstrap intervals"
    best = max((one["aggregates"]["iqm"]["value"] for one in groups), default=None)
    rows = []
    for one in groups:
        cells = [escape_latex(format_interval(one["aggregates"][name])) for name in shown]
        if one["aggregates"]["iqm"]["value"] == best and len(groups) > 1:
            cells[0] = f"\\textbf{{{cells[0]}}}"
        better = one["improvement"]
        label = escape_latex(one["label"]) + ("" if better else " (baseline)")
        share = escape_latex(format_share(better)) if better else "--"
        rows.append(" & ".join([label, str(one["n"]), *cells, share]))
    return frame_latex(
        f"{told}. Brackets are {brackets}.",
        f"lr{'l' * (len(shown) + 1)}",
        f"Group & Runs & {' & '.join(AGGREGATES[name] for name in shown)} & P(better)",
        rows,
    )


def _make_row(group: Mapping[str, Any], report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {
        "group": printable(group["label"]),
        "is_baseline": group["improvement"] is None,
        "runs": group["n"],
        "tasks": len(report["tasks"]["names"]),
        "scaling": report["tasks"]["scaling"],
    }
    nothing = {"value": None, "low": None, "high": None}
    for name in AGGREGATES:
        row |= make_ends(name, group["aggregates"].get(name, nothing))
    row |= make_ends("p_improvement", group["improvement"] or nothing)
    return {key: None if is_missing(value) else value for key, value in row.items()}
