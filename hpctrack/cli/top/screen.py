"""What the screen shows: lines out of what is known, for any size. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hpctrack.cli.top.cells import Glyphs, Line, cut_line, cut_text, make_ascii
from hpctrack.cli.top.controls import Choice, Controls

HELP = """\
up down j k      choose a row          enter right  into the row
pgup pgdn        a page                esc left     back
tab shift+tab    next, previous view   o  overview of the run
r  ranks         g  GPUs (again: util, memory, power)
v  metrics       m M  next, previous metric
w  slow ranks    a  alerts             c  console of a rank
s  sort          /  filter             p  pause
+ -  longer, shorter time between two looks
q  quit          any key: back"""


@dataclass(frozen=True, slots=True)
class Size:
    """Of the terminal, in cells."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the body that can be chosen, and what it stands for."""

    line: Line
    run: tuple[str, str] | None = None
    metric: str = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The part between head and foot.

    Parameters
    ----------
    top : sequence of Line
        Stays while the rows scroll.
    rows : sequence of Row
    empty : str
        What to say if there are none.
    has_cursor : bool
        Whether a row is chosen; else the rows only scroll.
    """

    top: Sequence[Line] = ()
    rows: Sequence[Row] = ()
    empty: str = ""
    has_cursor: bool = True


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole screen, and what its rows mean to keys."""

    lines: tuple[Line, ...]
    choice: Choice = field(default_factory=Choice)


def compose(
    controls: Controls,
    *,
    head: Sequence[Line],
    body: Body,
    choice: Choice,
    size: Size,
    glyphs: Glyphs,
) -> Picture:
    """Put together head, body and foot.

    The body shows as many rows as fit, the chosen one among them.
    """
    if controls.shows_help:
        body = Body(rows=[Row(((text, ""),)) for text in HELP.splitlines()], has_cursor=False)
    room = max(1, size.height - len(head) - len(body.top) - 1)
    row = max(0, min(controls.row, len(body.rows) - 1))
    first = _first_shown(row, len(body.rows), room, has_cursor=body.has_cursor)
    shown = body.rows[first : first + room]
    lines = [*head, *body.top]
    for number, one in enumerate(shown, start=first):
        is_chosen = body.has_cursor and number == row
        mark = (glyphs.mark, "mark") if is_chosen else (" ", "")
        lines.append((mark, *one.line) if body.has_cursor else one.line)
    if not body.rows and body.empty:
        lines.append(((f" {body.empty}", "dim"),))
    lines += [()] * (size.height - 1 - len(lines))
    hidden = len(body.rows) - first - len(shown)
    lines = [*lines[: size.height - 1], _make_foot(controls, choice, hidden, size.width, glyphs)]
    cut = [cut_line(line, size.width, glyphs) for line in lines]
    if glyphs.levels.isascii():
        cut = [make_ascii(line) for line in cut]
    chosen = body.rows[row] if body.rows and body.has_cursor else Row(())
    return Picture(
        tuple(cut),
        replace(
            choice,
            rows=len(body.rows) if body.has_cursor else max(0, len(body.rows) - room) + 1,
            page=room,
            run=chosen.run,
            metric=chosen.metric,
            rank=chosen.rank,
        ),
    )


def _first_shown(row: int, count: int, room: int, *, has_cursor: bool) -> int:
    """Return the first row on the screen: pages, so that most moves redraw two lines only."""
    if not has_cursor:
        return max(0, min(row, count - room))
    return min(row // room * room, max(0, count - room))


def _make_foot(controls: Controls, choice: Choice, hidden: int, width: int, glyphs: Glyphs) -> Line:
    if controls.typed is not None:
        return (("/", "accent"), (controls.typed, ""), ("_", "accent"))
    state = "PAUSED" if controls.is_paused else f"every {controls.interval_s:g} s"
    facts = [f"{hidden} below"] * (hidden > 0) + [f"/{controls.filter}"] * bool(controls.filter)
    right = "  ".join([*facts, *[f"by {controls.sort}"] * bool(controls.sort), state])
    room = max(0, width - len(right) - 2)
    left = cut_text(_choose_keys(controls, choice, room), room, glyphs)
    return ((left, "dim"), (" " * max(1, width - len(left) - len(right)), ""), (right, "dim"))


def _choose_keys(controls: Controls, choice: Choice, room: int) -> str:
    """Return the keys that are named in the foot: the less needed are left out, not cut."""
    words = ["? help", "q quit", "/ filter", "s sort"]
    words += ["enter open"] if controls.run is None else ["tab view", "m metric"]
    if controls.run is not None and not choice.is_only:
        words.append("esc back")
    for least in ("m metric", "s sort", "/ filter", "tab view", "enter open", "esc back"):
        if len("  ".join(words)) <= room:
            break
        words = [one for one in words if one != least]
    return "  ".join(words)
