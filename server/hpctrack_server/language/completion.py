"""What could be typed next in a filter. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpctrack_server.language.parser import COMPARISONS
from hpctrack_server.language.tokens import Kind, Token, quote_name, quote_text, split_tokens
from hpctrack_server.language.tree import EQUALITIES, Comparison

OPTIONS_MAX = 50

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "number": (*Comparison, "in", "exists", "is null", "is nan"),
    "time": (*sorted(Comparison, key=EQUALITIES.count), "exists", "is null"),
    "text": (*EQUALITIES, "~", "!~", "contains", "in", "not in", "exists", "is null"),
    "flag": (*EQUALITIES, "exists", "is null"),
    "list": ("contains", "not contains", "in", "~", "exists", "is null"),
}
TIMES = ("-1h", "-1d", "-7d", "-30d", "today", "yesterday")

Values = Callable[[str], Sequence[object]]
"""Returns some values that a column has, the commonest first."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that could be typed.

    Parameters
    ----------
    text : str
        What is put in.
    kind : str
        ``column``, ``operator``, ``value`` or ``word``.
    detail : str
        Of a column: what it holds; of a day: its zone.
    """

    text: str
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Completion:
    """What can replace ``text[start:end]``."""

    start: int
    end: int
    options: tuple[Option, ...]


def complete(
    text: str, at: int, *, columns: Mapping[str, str], values: Values = lambda _key: ()
) -> Completion:
    """Propose what could stand at a place of a filter.

    Parameters
    ----------
    text : str
        The filter as far as it is typed.
    at : int
        Where the cursor is, in characters.
    columns : mapping
        Kind by key: ``number``, ``text``, ``flag``, ``time`` or ``list``.
    values : callable, optional
        Values of a column.
    """
    at = max(0, min(at, len(text)))
    before = split_tokens(text[:at], is_lenient=True)[:-1]
    partial = _find_partial(before, at)
    if partial:
        before = before[:-1]
    word = partial.text if partial else ""
    start = partial.at if partial else at
    end = at
    if partial:  # what stands behind the cursor of the same word goes too
        around = [one for one in split_tokens(text, is_lenient=True) if one.at == start]
        end = max([at, *(one.end for one in around if not one.is_open)])
    found = _propose(before, columns, values)
    options = _rank(found, word, is_text=bool(partial and partial.kind == Kind.TEXT))
    return Completion(start, end, tuple(options[:OPTIONS_MAX]))


def _find_partial(tokens: Sequence[Token], at: int) -> Token | None:
    """Return the word that is being typed: the cursor touches its end."""
    if not tokens or tokens[-1].end != at:
        return None
    last = tokens[-1]
    if last.kind in {Kind.NAME, Kind.KEYWORD, Kind.NUMBER, Kind.DATE}:
        return last
    return last if last.kind == Kind.TEXT and last.is_open else None


def _propose(before: Sequence[Token], columns: Mapping[str, str], values: Values) -> list[Option]:
    last = before[-1] if before else None
    if last is None or _is_word(last, "and", "or", "exists") or _opens_condition(before):
        return [*_list_columns(columns), Option("not", "word"), Option("exists", "word")]
    if _wants_value(last):
        return _propose_values(_find_column(before), columns, values, is_list=_is_word(last, "in"))
    if last.kind == Kind.NAME and not _is_operand(before):
        kind = columns.get(last.text, "text")
        words = [Option(one, "operator") for one in OPERATORS.get(kind, ())]
        return words + [Option("and", "word"), Option("or", "word")] * (kind == "flag")
    if _is_word(last, "not"):
        is_behind_column = len(before) > 1 and before[-2].kind == Kind.NAME
        words = [Option(one, "operator") for one in ("in", "contains", "exists")]
        return words if is_behind_column else _list_columns(columns)
    states = ("null", "not null", "nan", "true", "false")
    following = states if _is_word(last, "is") else ("and", "or")
    return [Option(one, "word") for one in following]


def _list_columns(columns: Mapping[str, str]) -> list[Option]:
    return [Option(quote_name(key), "column", kind) for key, kind in columns.items()]


def _wants_value(last: Token) -> bool:
    is_sign = last.kind == Kind.SIGN and (
        last.text in COMPARISONS or last.text in {"~", "!~", "=~", "[", ",", "("}
    )
    return is_sign or _is_word(last, "in", "contains")


def _is_operand(before: Sequence[Token]) -> bool:
    """Tell whether the last name is what a column is compared with."""
    return len(before) > 1 and before[-2].kind == Kind.SIGN and before[-2].text in COMPARISONS


def _opens_condition(before: Sequence[Token]) -> bool:
    if before[-1].kind != Kind.SIGN or before[-1].text != "(":
        return False
    return len(before) < 2 or not _is_word(before[-2], "in")  # noqa: PLR2004


def _find_column(before: Sequence[Token]) -> str | None:
    """Return the column that the last condition is about."""
    for token in reversed(before):
        if token.kind == Kind.NAME:
            return token.text
        if _is_word(token, "and", "or"):
            return None
    return None


def _propose_values(
    column: str | None, columns: Mapping[str, str], values: Values, *, is_list: bool
) -> list[Option]:
    if is_list:
        return [Option("[", "word")]
    if column is None:
        return []
    kind = columns.get(column, "text")
    if kind == "time":
        days = {"today", "yesterday"}
        return [Option(one, "value", "a day in UTC" * (one in days)) for one in TIMES]
    if kind == "flag":
        return [Option("true", "value"), Option("false", "value")]
    return [Option(write_value(one), "value") for one in values(column)]


def write_value(value: object) -> str:
    """Return a value as a filter writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, (int, float)) else quote_text(str(value))


def _rank(options: Iterable[Option], word: str, *, is_text: bool) -> list[Option]:
    """Return those that fit what is typed, those that begin with it first."""
    folded = word.casefold()
    if not folded:
        return list(options)

    def rank(option: Option) -> int:
        name = option.text.strip('"`').casefold()
        if name.startswith(folded):
            return 0
        if name.rpartition(".")[2].startswith(folded):
            return 1
        return 2 if folded in name else 3

    fitting = [(rank(one), one) for one in options if not is_text or one.text[:1] == '"']
    return [one for place, one in sorted(fitting, key=lambda pair: pair[0]) if place < 3]  # noqa: PLR2004


def _is_word(token: Token, *words: str) -> bool:
    return token.kind == Kind.KEYWORD and token.text in words
