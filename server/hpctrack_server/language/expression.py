"""Expressions of metrics: ``log(loss)``, ``train/loss - val/loss``, ``ema(grad, 0.9)``. Pure.

A name is a metric's name; what looks like a division may be one, so the longest metric that is
known is taken, whatever signs it has. Backquotes hold any name.

::

    comparison := sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    sum        := product (("+" | "-") product)*
    product    := sign (("*" | "/" | "%") sign)*
    sign       := ("-" | "+") sign | power
    power      := operand ("**" | "^") sign | operand
    operand    := number | name | function "(" comparison ("," comparison)* ")" | "(" comparison ")"
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hpctrack_server.language.errors import QueryError, find_nearest
from hpctrack_server.language.tree import Comparison

TEXT_MAX = 2000
DEPTH_MAX = 60
"""Deeper than anybody nests, far from where Python gives up."""

NAME = re.compile(r"[^\W\d][\w.]*")
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COMPARISONS = tuple(sorted(Comparison, key=len, reverse=True))
"""As filters have them; the longer ones first, which begin like the others."""
QUOTE = "`"

FUNCTIONS: dict[str, tuple[int, int]] = {
    "abs": (1, 1),
    "sqrt": (1, 1),
    "exp": (1, 1),
    "log": (1, 1),
    "log10": (1, 1),
    "min": (2, 8),
    "max": (2, 8),
    "ema": (2, 2),
    "diff": (1, 1),
    "cumsum": (1, 1),
}
"""Functions with the least and the greatest number of arguments."""


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float
    at: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """A metric."""

    name: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or an operator by its sign, of its arguments; ``neg`` is the sign of one."""

    function: str
    arguments: tuple[Node, ...]
    at: int = 0


Node = Number | Name | Call


def parse_expression(text: str, known: Collection[str]) -> Node:
    """Read an expression.

    Parameters
    ----------
    text : str
        If it is the name of a metric that is known, it is that, whatever signs it has.
    known : collection of str
        The metrics that some run has.

    Returns
    -------
    Node
        Any of its names is known.

    Raises
    ------
    QueryError
        It cannot be understood, or names a metric that no run has; it says where.

    Examples
    --------
    >>> parse_expression("a/b", ["a/b"])
    Name(name='a/b', at=0)
    >>> parse_expression("a/b", ["a", "b"]).function
    '/'
    """
    if text in known:
        return Name(text)
    if len(text) > TEXT_MAX:
        raise QueryError(f"an expression has at most {TEXT_MAX} characters", at=0, end=len(text))
    parser = _Parser(text, known)
    found = parser.comparison()
    parser.expect_end()
    return found


def iter_names(node: Node) -> Iterator[str]:
    """Yield the metrics of an expression, each once, in their order."""
    seen: dict[str, None] = {}
    waiting: list[Node] = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Name):
            seen.setdefault(one.name)
        elif isinstance(one, Call):
            waiting.extend(reversed(one.arguments))
    yield from seen


class _Parser:
    def __init__(self, text: str, known: Collection[str]) -> None:
        self._text = text
        self._known = known
        self._starts: dict[str, list[str]] = {}
        for name in known:
            if name:
                self._starts.setdefault(name[0], []).append(name)
        for names in self._starts.values():
            names.sort(key=len, reverse=True)
        self._at = 0
        self._depth = 0

    # -- grammar ---------------------------------------------------------------------------------

    def comparison(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error("this is nested too deeply")
        left = self._sum()
        while sign := self._take(*COMPARISONS):
            at = self._at - len(sign)
            left = Call(sign, (left, self._sum()), at)
        self._depth -= 1
        return left

    def _sum(self) -> Node:
        left = self._product()
        while sign := self._take("+", "-"):
            at = self._at - 1
            left = Call(sign, (left, self._product()), at)
        return left

    def _product(self) -> Node:
        left = self._sign()
        while sign := self._take_product():
            at = self._at - 1
            left = Call(sign, (left, self._sign()), at)
        return left

    def _take_product(self) -> str:
        self._skip()
        return "" if self._text.startswith("**", self._at) else self._take("*", "/", "%")

    def _sign(self) -> Node:
        signs = 0
        at = self._at
        while sign := self._take("-", "+"):
            signs += sign == "-"
        found = self._power()
        return Call("neg", (found,), at) if signs % 2 else found

    def _power(self) -> Node:
        base = self._operand()
        sign = self._take("**", "^")
        if not sign:
            return base
        at = self._at - len(sign)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error("this is nested too deeply")
        exponent = self._sign()
        self._depth -= 1
        return Call("**", (base, exponent), at)

    def _operand(self) -> Node:
        self._skip()
        at = self._at
        if self._take("("):
            inner = self.comparison()
            self._close(at)
            return inner
        if self._text.startswith(QUOTE, at):
            return self._quoted()
        number = NUMBER.match(self._text, at)
        name = self._find_known()
        if number and len(number[0]) >= len(name):
            self._at = number.end()
            return Number(float(number[0]), at)
        word = NAME.match(self._text, at)
        called = self._find_call(word[0]) if word else None
        if called and len(word[0]) >= len(name):  # type: ignore[index]  # it matched
            return called
        if name:
            self._at += len(name)
            return Name(name, at)
        raise self._unknown(word[0] if word else "")

    def _quoted(self) -> Node:
        at = self._at
        end = self._text.find(QUOTE, at + 1)
        if end < 0:
            raise self._error("this name has no end", hint=f"close it with {QUOTE}")
        name = self._text[at + 1 : end]
        if name not in self._known:
            raise self._no_metric(name, at, end + 1)
        self._at = end + 1
        return Name(name, at)

    def _find_known(self) -> str:
        """Return the longest metric that the text goes on with and that ends where a word does."""
        text, at = self._text, self._at
        for name in self._starts.get(text[at : at + 1], ()):
            end = at + len(name)
            if text.startswith(name, at) and not _is_inside_word(text, end):
                return name
        return ""

    def _find_call(self, word: str) -> Node | None:
        """Return a call of a function; None if a word is not followed by a bracket."""
        at, after = self._at, self._at + len(word)
        while after < len(self._text) and self._text[after].isspace():
            after += 1
        if not self._text.startswith("(", after):
            return None
        if word not in FUNCTIONS:
            near = find_nearest(word, FUNCTIONS) or FUNCTIONS
            raise QueryError(
                f"there is no function {word[:40]!r}", at=at, end=at + len(word),
                hint=f"did you mean {' or '.join(near)}?" if len(near) < len(FUNCTIONS)
                else f"there are {', '.join(FUNCTIONS)}",
            )  # fmt: skip
        opened, self._at = after, after + 1
        arguments = [self.comparison()]
        while self._take(","):
            arguments.append(self.comparison())
        self._close(opened)
        fewest, most = FUNCTIONS[word]
        if not fewest <= len(arguments) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            raise QueryError(
                f"{word} takes {wanted} arguments, not {len(arguments)}", at=at, end=self._at
            )
        if word == "ema":
            _check_weight(arguments[1], at, self._at)
        return Call(word, tuple(arguments), at)

    # -- text ------------------------------------------------------------------------------------

    def expect_end(self) -> None:
        self._skip()
        if self._at < len(self._text):
            raise self._error(f"{self._text[self._at]!r} is not expected here")

    def _close(self, opened: int) -> None:
        if not self._take(")"):
            self._skip()
            raise QueryError(
                "a bracket is not closed", at=opened, end=opened + 1, hint="write ) at its end"
            )

    def _take(self, *signs: str) -> str:
        self._skip()
        for sign in signs:
            if self._text.startswith(sign, self._at):
                self._at += len(sign)
                return sign
        return ""

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _error(self, message: str, hint: str | None = None) -> QueryError:
        return QueryError(message, at=self._at, end=min(self._at + 1, len(self._text)), hint=hint)

    def _unknown(self, word: str) -> QueryError:
        at = self._at
        if at >= len(self._text):
            return QueryError("something is missing at the end", at=at, end=at)
        if not word:
            return self._error(f"{self._text[at]!r} is not expected here")
        # What was meant is perhaps a name with slashes.
        end = at
        while (
            end < len(self._text) and not self._text[end].isspace() and self._text[end] not in "()"
        ):
            end += 1
        return self._no_metric(self._text[at:end], at, end, word)

    def _no_metric(self, name: str, at: int, end: int, word: str = "") -> QueryError:
        near = find_nearest(name, self._known) or (find_nearest(word, self._known) if word else [])
        if not near:
            near = find_nearest(name, FUNCTIONS)
        end = at + len(word) if word and not near else end
        return QueryError(
            f"no run has a metric {(word or name)[:80]!r}", at=at, end=end,
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )  # fmt: skip


def _is_inside_word(text: str, end: int) -> bool:
    """Tell whether a name that ends here would tear a word."""
    return end < len(text) and _is_of_word(text[end]) and _is_of_word(text[end - 1])


def _is_of_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _check_weight(weight: Node, at: int, end: int) -> None:
    if not isinstance(weight, Number) or not 0 <= weight.value < 1:
        raise QueryError(
            "ema takes a weight from 0 to below 1", at=at, end=end, hint="such as ema(loss, 0.9)"
        )
