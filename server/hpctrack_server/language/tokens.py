"""A filter cut into words, numbers, texts and signs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from hpctrack_server.language.errors import QueryError

MAX_CHARS = 10_000
"""Longer than anybody types; what is longer is refused before it costs anything."""

KEYWORDS = frozenset(
    {
        "and", "or", "not", "in", "contains", "exists", "is", "null", "nan",
        "true", "false", "now", "today", "yesterday",
    }
)  # fmt: skip
"""Words that are no columns, in any case; a column of such a name is written in backquotes."""


class Kind(Enum):
    """What a token is."""

    NAME = "name"
    KEYWORD = "keyword"
    TEXT = "text"
    NUMBER = "number"
    """With or without a unit."""
    DATE = "date"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a filter.

    Parameters
    ----------
    kind : Kind
    text : str
        What it means: without quotes and escapes; keywords in lower case.
    at, end : int
        Where it stands.
    is_open : bool
        A text whose closing quote is missing; only where a filter is being typed.
    """

    kind: Kind
    text: str
    at: int
    end: int
    is_open: bool = False

    def describe(self) -> str:
        """Return it as a message names it."""
        if self.kind == Kind.END:
            return "the end"
        return repr(self.text[:40])


_PATTERN = re.compile(
    r"""
      (?P<blank>\s+)
    | (?P<date>\d{4}-\d{2}-\d{2}
        (?:[T\ ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\w-]))
    | (?P<number>[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?
        (?:[A-Za-z%]+(?:\d+[A-Za-z]+)*)?)
    | (?P<sign>==|!=|<=|>=|!~|=~|<|>|=|~|,|\(|\)|\[|\])
    | (?P<name>[^\W\d][\w./:@%\-]*)
    """,
    re.VERBOSE,
)

_HALF = re.compile("[\ud800-\udfff]")
"""Of a surrogate pair: no text that is stored can hold it."""

_QUOTES = "\"'`"
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_INSTEAD = {"&": "and", "|": "or", "!": "not"}


def split_tokens(text: str, *, is_lenient: bool = False) -> list[Token]:
    """Cut a filter into tokens; the last one is its end.

    Parameters
    ----------
    text : str
    is_lenient : bool, optional
        Take an open quote, and leave out signs that mean nothing: the filter is being typed.

    Raises
    ------
    QueryError
        A sign means nothing, a quote is not closed, or the filter is too long.
    """
    if len(text) > MAX_CHARS:
        raise QueryError(
            f"the filter has {len(text):,} characters", at=MAX_CHARS, end=len(text),
            hint=f"at most {MAX_CHARS:,} are read",
        )  # fmt: skip
    half = None if is_lenient else _HALF.search(text)
    if half:
        raise QueryError("half a character cannot be searched", at=half.start(), end=half.end())
    return [*_iter_tokens(text, is_lenient=is_lenient), Token(Kind.END, "", len(text), len(text))]


def quote_text(text: str) -> str:
    r"""Return a text as a filter writes it.

    Examples
    --------
    >>> print(quote_text('the "best"'))
    "the \"best\""
    """
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("\t", "\\t") + '"'


def quote_name(key: str) -> str:
    """Return a column's key as a filter writes it: in backquotes if it has to be."""
    found = _PATTERN.fullmatch(key)
    is_plain = bool(found and found["name"]) and key.lower() not in KEYWORDS
    return key if is_plain else "`" + key.replace("`", "``") + "`"


def _iter_tokens(text: str, *, is_lenient: bool) -> Iterator[Token]:
    at = 0
    while at < len(text):
        if text[at] in _QUOTES:
            token = _read_quoted(text, at, is_lenient=is_lenient)
            yield token
            at = token.end
            continue
        found = _PATTERN.match(text, at)
        if found is None:
            if not is_lenient:
                raise _no_such_sign(text, at)
            at += 1
            continue
        kind = str(found.lastgroup)
        if kind != "blank":
            yield _make_token(kind, found[0], at)
        at = found.end()


def _make_token(kind: str, word: str, at: int) -> Token:
    if kind == "name" and word.lower() in KEYWORDS:
        return Token(Kind.KEYWORD, word.lower(), at, at + len(word))
    return Token(Kind(kind), word, at, at + len(word))


def _read_quoted(text: str, start: int, *, is_lenient: bool) -> Token:
    """Read a text, or a name in backquotes, in which only the doubled backquote is special."""
    quote, at = text[start], start + 1
    parts: list[str] = []
    is_name = quote == "`"
    kind = Kind.NAME if is_name else Kind.TEXT
    while at < len(text):
        sign, following = text[at], text[at + 1 : at + 2]
        if sign == quote and not (is_name and following == quote):
            return Token(kind, "".join(parts), start, at + 1)
        if is_name and sign == quote:
            parts.append(quote)
            at += 2
        elif not is_name and sign == "\\" and following:
            # Other escapes stay as they are: regular expressions are full of them.
            parts.append(_ESCAPES.get(following, sign + following))
            at += 2
        else:
            parts.append(sign)
            at += 1
    if is_lenient:
        return Token(kind, "".join(parts), start, len(text), is_open=True)
    raise QueryError(
        "the quote is not closed", at=start, end=len(text), hint=f"put {quote} behind it"
    )


def _no_such_sign(text: str, at: int) -> QueryError:
    instead = _INSTEAD.get(text[at])
    end = at + (2 if text[at : at + 2] in {"&&", "||"} else 1)
    hint = (
        f"write {instead}" if instead else 'put text in quotes: "..."; names in backquotes: `...`'
    )
    return QueryError(f"{text[at:end]!r} means nothing here", at=at, end=end, hint=hint)
