"""A comparison of groups as a table for papers and programs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from hpctrack_server.components.text import format_number, printable
from hpctrack_server.language import csv_text

Report = Mapping[str, Any]
"""What the Statistics page says: ``groups`` and ``comparisons`` by ``id``."""

COLUMNS = (
    "group", "is_baseline", "n", "mean", "std", "min", "max",
    "median", "median_low", "median_high", "iqm", "iqm_low", "iqm_high",
    "difference", "difference_low", "difference_high", "effect", "cliffs_delta",
    "p_improvement", "p_improvement_low", "p_improvement_high", "test", "p", "p_corrected",
)  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}  # fmt: skip


def format_spread(std: float) -> str:
    """Return a standard deviation with two digits: more of it is noise."""
    return format_number(float(f"{std:.2g}")) if math.isfinite(std) else "\N{EN DASH}"


def format_interval(ends: Mapping[str, Any]) -> str:
    """Return ``0.913 [0.902, 0.921]``; without brackets if there is no interval."""
    value = ends["value"]
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if is_missing(ends["low"]):
        return format_number(float(value))
    low, high = format_number(float(ends["low"])), format_number(float(ends["high"]))
    return f"{format_number(float(value))} [{low}, {high}]"


def format_share(ends: Mapping[str, Any]) -> str:
    """Return ``83% [61%, 95%]``."""
    if is_missing(ends["value"]):
        return "\N{EN DASH}"
    if is_missing(ends["low"]):
        return f"{ends['value']:.0%}"
    return f"{ends['value']:.0%} [{ends['low']:.0%}, {ends['high']:.0%}]"


def format_p(p: float | None) -> str:
    """Return a p value for a table."""
    if p is None or is_missing(p):
        return "\N{EN DASH}"
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"  # noqa: PLR2004 - four places


def make_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row for each group, with the keys of `COLUMNS`; None where there is nothing."""
    found = {one["id"]: one for one in report["comparisons"]}
    return [
        _make_row(one, found.get(one["id"]), is_baseline=one["id"] == report["baseline"])
        for one in report["groups"]
    ]


def write_csv(report: Report) -> str:
    """Return the rows as CSV, safe to be opened in a spreadsheet."""
    rows = [{**row, "group": printable(row["group"])} for row in make_rows(report)]
    return csv_text.write_csv([COLUMNS, *([row[key] for key in COLUMNS] for row in rows)])


def write_latex(report: Report, *, caption: str, confidence: float) -> str:
    """Return a table for the package ``booktabs``; the best mean of the groups is bold.

    Parameters
    ----------
    report : mapping
        What the page says.
    caption : str
        What is compared.
    confidence : float
        Of its intervals.
    """
    rows = make_rows(report)
    means = [row["mean"] for row in rows if row["mean"] is not None]
    best = None
    if means:
        best = min(means) if report["goal"] == "low" else max(means)
    return frame_latex(
        f"{escape_latex(caption)}. Brackets are {confidence * 100:g}\\% intervals.",
        "lrlllll",
        "Group & $n$ & Mean $\\pm$ SD & IQM & Difference & P(better) & $p$",
        [
            _latex_row(group, row, report, is_best=row["mean"] == best)
            for group, row in zip(report["groups"], rows, strict=True)
        ],
    )


def frame_latex(caption: str, columns: str, heads: str, rows: Iterable[str]) -> str:
    """Return a whole table around rows that are LaTeX already, less their ends."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{caption}}}",
        f"  \\begin{{tabular}}{{{columns}}}",
        "    \\toprule",
        f"    {heads} \\\\",
        "    \\midrule",
        *(f"    {row} \\\\" for row in rows),
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
        "",
    ]
    return "\n".join(lines)


def escape_latex(text: object) -> str:
    """Return text that LaTeX prints as it is, on one line."""
    plain = " ".join(printable(text).split())
    return "".join(_LATEX.get(letter, letter) for letter in plain)


def make_ends(name: str, ends: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of an estimate: itself and the ends of its interval."""
    return {name: ends["value"], f"{name}_low": ends["low"], f"{name}_high": ends["high"]}


def is_missing(value: Any) -> bool:
    """Tell whether there is no number."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _latex_row(
    group: Mapping[str, Any], row: Mapping[str, Any], report: Report, *, is_best: bool
) -> str:
    mean = f"${_latex_number(row['mean'])} \\pm {_latex_number(row['std'])}$"
    if is_best and len(report["groups"]) > 1:
        mean = f"\\boldmath{mean}"
    compared = next((one for one in report["comparisons"] if one["id"] == group["id"]), None)
    rest = ["--", "--", "--"]
    if compared is not None:
        p = f"${escape_latex(format_p(compared['p'])).replace(chr(92) + 'textless{}', '<')}$"
        rest = [
            escape_latex(format_interval(compared["difference"])),
            escape_latex(format_share(compared["improvement"])),
            p if not is_missing(compared["p"]) else "--",
        ]
    label = escape_latex(group["label"]) + (" (baseline)" if row["is_baseline"] else "")
    iqm = escape_latex(format_interval(group["averages"]["iqm"]))
    return " & ".join([label, str(row["n"]), mean, iqm, *rest])


def _latex_number(value: float | None) -> str:
    return "\\text{--}" if value is None else format_number(float(value)).replace(",", "{,}")


def _make_row(
    group: Mapping[str, Any], compared: Mapping[str, Any] | None, *, is_baseline: bool
) -> dict[str, Any]:
    averages = group["averages"]
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(group=group["label"], is_baseline=is_baseline, n=group["n"])
    row.update({key: group[key] for key in ("mean", "std", "min", "max")})
    row.update(make_ends("median", averages["median"]) | make_ends("iqm", averages["iqm"]))
    if compared is not None:
        row.update(make_ends("difference", compared["difference"]))
        row.update(make_ends("p_improvement", compared["improvement"]))
        row.update(effect=compared["effect"]["value"], cliffs_delta=compared["delta"]["value"])
        row.update(test=compared["test"], p=compared["p_plain"], p_corrected=compared["p"])
    return {key: None if is_missing(value) else value for key, value in row.items()}
