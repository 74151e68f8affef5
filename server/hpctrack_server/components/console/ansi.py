"""Colour sequences of terminals as spans with classes. Pure.

A page shows text nodes with class names of ours and nothing else: whatever a program has printed
cannot become markup or a style. Sixteen colours have a token each for light and dark; of the 256
and of the millions the nearest of these is taken, so that everything can be read in both themes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

Span = tuple[str, str]
"""Text, and its classes parted by blanks; empty for none."""

_COLOUR = re.compile(r"\x1b\[([0-9;:]*)m")

PALETTE = (
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205),
    (229, 229, 229), (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255),
    (255, 0, 255), (0, 255, 255), (255, 255, 255),
)  # fmt: skip
"""The sixteen colours as xterm has them; which token stands for them is the style sheet's."""

_CUBE = (0, 95, 135, 175, 215, 255)
_GREY_FROM = 232
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("inverse",), 29: ("strike",)}

DEFAULT_FORE, DEFAULT_BACK = 39, 49


@dataclass(frozen=True, slots=True)
class Style:
    """What holds for the text that follows; colours are 0 to 15 or None."""

    flags: frozenset[str] = frozenset()
    fore: int | None = None
    back: int | None = None

    @property
    def classes(self) -> str:
        """The class names."""
        fore, back = self.fore, self.back
        names = [f"t-{one}" for one in sorted(self.flags - {"inverse"})]
        if "inverse" in self.flags:
            # Without colours of their own, text and ground change places.
            names += ["t-inverse"] if fore is None and back is None else []
            fore, back = back, fore
        names += [f"t-f{fore}"] if fore is not None else []
        names += [f"t-b{back}"] if back is not None else []
        return " ".join(names)


PLAIN = Style()


def parse_spans(text: str) -> list[Span]:
    r"""Part a line into spans.

    Parameters
    ----------
    text : str
        With colour sequences; any other control character is left out.

    Examples
    --------
    >>> parse_spans("\x1b[1;31mbad\x1b[0m news")
    [('bad', 't-bold t-f1'), (' news', '')]
    """
    spans: list[Span] = []
    style, at = PLAIN, 0
    for found in _COLOUR.finditer(text):
        _add(spans, text[at : found.start()], style)
        style = change_style(style, found[1])
        at = found.end()
    _add(spans, text[at:], style)
    return spans


def _add(spans: list[Span], text: str, style: Style) -> None:
    plain = "".join(one for one in text if one >= " " or one == "\t")
    if not plain:
        return
    if spans and spans[-1][1] == style.classes:
        spans[-1] = (spans[-1][0] + plain, style.classes)
    else:
        spans.append((plain, style.classes))


@lru_cache(maxsize=4096)
def change_style(style: Style, parameters: str) -> Style:
    """Return a style after a sequence; what is not understood changes nothing.

    Parameters
    ----------
    style : Style
    parameters : str
        Between ``ESC [`` and ``m``, parted by semicolons or colons.
    """
    codes = [int(one[:5] or "0") for one in re.split("[;:]", parameters)]
    at = 0
    while at < len(codes):
        code = codes[at]
        if code in {38, 48}:
            colour, used = _read_colour(codes[at + 1 :])
            at += used
            if colour is not None:
                style = replace(style, fore=colour) if code == 38 else replace(style, back=colour)  # noqa: PLR2004
        else:
            style = _apply(style, code)
        at += 1
    return style


def _apply(style: Style, code: int) -> Style:
    if code == 0:
        return PLAIN
    if code in _FLAGS:
        return replace(style, flags=style.flags | {_FLAGS[code]})
    if code in _OFF:
        return replace(style, flags=style.flags - {*_OFF[code]})
    for base, first in ((30, 0), (90, 8)):
        if base <= code < base + 8:
            return replace(style, fore=code - base + first)
        if base + 10 <= code < base + 18:
            return replace(style, back=code - base - 10 + first)
    fore = None if code == DEFAULT_FORE else style.fore
    return replace(style, fore=fore, back=None if code == DEFAULT_BACK else style.back)


def _read_colour(codes: list[int]) -> tuple[int | None, int]:
    """Return a colour out of ``5;n`` or ``2;r;g;b``, and how many numbers that were."""
    if len(codes) > 1 and codes[0] == 5:  # noqa: PLR2004
        return find_nearest(*indexed_colour(codes[1])), 2
    if len(codes) > 3 and codes[0] == 2:  # noqa: PLR2004
        return find_nearest(*(min(one, 255) for one in codes[1:4])), 4
    return None, len(codes)


def indexed_colour(number: int) -> tuple[int, int, int]:
    """Return one of the 256 colours as red, green and blue."""
    if number < len(PALETTE):
        return PALETTE[number]
    if number < _GREY_FROM:
        cube = number - len(PALETTE)
        return _CUBE[cube // 36], _CUBE[cube // 6 % 6], _CUBE[cube % 6]
    grey = min(8 + 10 * (number - _GREY_FROM), 255)
    return grey, grey, grey


@lru_cache(maxsize=4096)
def find_nearest(red: int, green: int, blue: int) -> int:
    """Return the nearest of the sixteen colours."""

    def distance(number: int) -> int:
        one = PALETTE[number]
        return sum((mine - its) ** 2 for mine, its in zip((red, green, blue), one, strict=True))

    return min(range(len(PALETTE)), key=distance)


def cut_spans(spans: Iterable[Span], limit: int) -> list[Span]:
    """Return the spans of the first ``limit`` characters."""
    kept: list[Span] = []
    for text, classes in spans:
        if limit <= 0:
            break
        kept.append((text[:limit], classes))
        limit -= len(text)
    return kept
