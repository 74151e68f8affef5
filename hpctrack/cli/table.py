"""Plain tables for long lists: a rich table of 10,000 rows takes ten seconds, this one 0.1."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence

import click

from hpctrack.cli.format import PIPE_WIDTH

GAP = "  "
CELL_MAX = 60
CELL_MIN = 6
"""A column is not made narrower than this to fit a terminal."""


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    styles: Mapping[int, Mapping[str, str]] | None = None,
) -> None:
    """Print rows in columns; see `format_table`."""
    click.echo("\n".join(format_table(headers, rows, right=right, styles=styles)))


def format_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: frozenset[int] = frozenset(),
    styles: Mapping[int, Mapping[str, str]] | None = None,
) -> list[str]:
    """Return the lines of a table, cut to the terminal's width with an ellipsis.

    Parameters
    ----------
    headers : sequence of str
    rows : sequence of sequence of str
        Cells without control characters, as many as there are headers.
    right : frozenset of int
        Columns that are aligned to the right.
    styles : mapping, optional
        For a column: text and the colour that it is printed in; the words stay.
    """
    limit = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    columns = list(zip(headers, *rows, strict=True))
    widths = [min(CELL_MAX, max(map(_width, column))) for column in columns]
    _shrink(widths, limit)
    lines = []
    for number, row in enumerate((headers, *rows)):
        cells = []
        for at, cell in enumerate(row):
            text = _fit(cell, widths[at], is_right=at in right)
            colour = (styles or {}).get(at, {}).get(cell)
            cells.append(click.style(text, fg=colour) if colour and number else text)
        line = GAP.join(cells).rstrip()
        lines.append(line if number else click.style(line, bold=True))
    return lines


def _shrink(widths: list[int], limit: int) -> None:
    """Take from the widest columns what does not fit."""
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - limit
    while excess > 0 and max(widths) > CELL_MIN:
        widest = widths.index(max(widths))
        widths[widest] -= 1
        excess -= 1


def _fit(text: str, width: int, *, is_right: bool) -> str:
    """Pad or cut a text to a width in the terminal."""
    found = _width(text)
    while found > width:
        text = f"{text[: max(0, min(len(text) - 2, width - 1))]}…"
        found = _width(text)
    padding = " " * (width - found)
    return padding + text if is_right else text + padding


def _width(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - most stores need it never

    return cell_len(text)
