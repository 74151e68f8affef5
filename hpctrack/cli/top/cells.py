"""Numbers as cells of a terminal: heat, sparklines, bars; in Unicode, or in ASCII.

Pure. A span is a text and the name of a style; a line is a tuple of spans. Nothing is said by
colour alone: a cell's glyph grows with its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[str, str]
Line = tuple[Span, ...]

HEAT_STYLES = ("heat0",) * 6 + ("heat2",) * 2
"""Of each level. The glyph says the level; the colour only draws the eye to what is high, since
each change of colour in a row costs ten bytes on the line."""

ABSENT = " "
NOT_FINITE = "!"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What cells are drawn with.

    Parameters
    ----------
    levels : str
        Eight, from low to high.
    full, empty : str
        Of a bar.
    mark : str
        Before the chosen row.
    dot : str
        Between facts.
    more : str
        At the end of what was cut.
    """

    levels: str
    full: str
    empty: str
    mark: str
    dot: str
    more: str


UNICODE = Glyphs(levels="▁▂▃▄▅▆▇█", full="█", empty="░", mark="▸", dot="·", more="…")
ASCII = Glyphs(levels="_.-:=+*#", full="#", empty=".", mark=">", dot="-", more="~")


def find_range(values: Iterable[float]) -> tuple[float, float]:
    """Return the lowest and highest finite value; NaN if there is none."""
    finite = [one for one in values if math.isfinite(one)]
    return (min(finite), max(finite)) if finite else (math.nan, math.nan)


def find_level(value: float, low: float, high: float) -> int:
    """Return which of eight levels a value is on; the middle where all are equal."""
    if not high > low:
        return 3
    return max(0, min(7, int(8 * (value - low) / (high - low))))


def make_heat(values: Sequence[float], low: float, high: float, glyphs: Glyphs) -> Line:
    """Draw one cell per value; NaN that stands for no value is blank, infinities are marked."""
    spans: list[Span] = []
    for value in values:
        if math.isnan(value):
            spans.append((ABSENT, ""))
        elif math.isinf(value):
            spans.append((NOT_FINITE, "bad"))
        else:
            level = find_level(value, low, high)
            spans.append((glyphs.levels[level], HEAT_STYLES[level]))
    return join_spans(spans)


def make_spark(values: Sequence[float], glyphs: Glyphs) -> str:
    """Draw a small curve between its own lowest and highest value."""
    low, high = find_range(values)
    return "".join(
        ABSENT
        if math.isnan(one)
        else NOT_FINITE
        if math.isinf(one)
        else glyphs.levels[find_level(one, low, high)]
        for one in values
    )


def make_bar(share: float, width: int, glyphs: Glyphs) -> str:
    """Draw a share from 0 to 1."""
    count = max(0, min(width, round(share * width)))
    return glyphs.full * count + glyphs.empty * (width - count)


def join_spans(spans: Iterable[Span]) -> Line:
    """Put together neighbours of one style: fewer bytes on the line."""
    joined: list[Span] = []
    for text, style in spans:
        if joined and joined[-1][1] == style:
            joined[-1] = (joined[-1][0] + text, style)
        elif text:
            joined.append((text, style))
    return tuple(joined)


def measure(line: Line) -> int:
    """Return how many characters a line has."""
    return sum(len(text) for text, _style in line)


def cut_line(line: Line, width: int, glyphs: Glyphs) -> Line:
    """Cut a line to a width; the last cell then says that there is more."""
    if measure(line) <= width:
        return line
    spans, left = [], width - 1
    for text, style in line:
        spans.append((text[:left], style))
        left -= len(text)
        if left <= 0:
            break
    return join_spans([*spans, (glyphs.more, "dim")])


def cut_text(text: str, width: int, glyphs: Glyphs) -> str:
    """Cut a text to a width."""
    return text if len(text) <= width else text[: max(0, width - 1)] + glyphs.more


def make_ascii(line: Line) -> Line:
    """Replace what is no ASCII: names and texts may hold anything."""
    return tuple((text.encode("ascii", "replace").decode(), style) for text, style in line)
