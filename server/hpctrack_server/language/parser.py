"""A filter's text turned into its tree, by recursive descent. Pure.

::

    condition   = and-part { "or" and-part }
    and-part    = part { "and" part }
    part        = "not" part | "(" condition ")" | test
    test        = column comparison ( value | column )
                | value comparison column
                | column [ "not" ] "in" list   |  value [ "not" ] "in" column
                | column ( "~" | "!~" ) text   |  column [ "not" ] "contains" value
                | column [ "not" ] "exists"    |  "exists" column
                | column "is" [ "not" ] ( "null" | "nan" | flag )
                | column
    list        = ( "[" | "(" ) value { "," value } ( "]" | ")" )
"""

from __future__ import annotations

from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.tokens import Kind, Token, split_tokens
from hpctrack_server.language.tree import (
    And,
    Column,
    Compare,
    Comparison,
    Condition,
    Contains,
    Exists,
    IsNan,
    IsTrue,
    Matches,
    Not,
    OneOf,
    Or,
    Value,
    ValueKind,
)
from hpctrack_server.language.values import read_value

MAX_DEPTH = 50
"""Of parentheses and nots."""

COMPARISONS = {str(one): one for one in Comparison} | {"=": Comparison.EQUAL}
_CLOSING = {"[": "]", "(": ")"}
_OPERATOR_HINT = f"write {' '.join(Comparison)} ~ !~ in, contains, exists or is null"


def parse_filter(text: str, *, now_wall_s: float) -> Condition | None:
    """Return what a filter means; None for an empty one, which takes everything.

    Parameters
    ----------
    text : str
    now_wall_s : float
        For ``created > -7d``, UTC seconds.

    Raises
    ------
    QueryError
        It cannot be understood; nothing else is raised, whatever the text.

    Examples
    --------
    >>> parse_filter("not config.lr > 1e-3", now_wall_s=0.0)  # doctest: +ELLIPSIS
    Not(part=Compare(column=Column(key='config.lr', at=4, end=13), comparison=<...ABOVE: '>'>, ...
    """
    tokens = split_tokens(text)
    if len(tokens) == 1:
        return None
    parser = _Parser(tokens, now_wall_s)
    condition = parser.read_condition()
    parser.expect_end()
    return condition


class _Parser:
    """Reads tokens one after the other."""

    def __init__(self, tokens: list[Token], now_wall_s: float) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._now_wall_s = now_wall_s

    def read_condition(self) -> Condition:
        parts = [self._read_and()]
        while self._take_word("or"):
            parts.append(self._read_and())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def expect_end(self) -> None:
        token = self._peek()
        if token.kind == Kind.END:
            return
        hint = "join conditions by and, or"
        if token.text in {")", "]"}:
            hint = "there is none that it closes"
        raise _error(f"{token.describe()} was not expected here", token, hint=hint)

    def _read_and(self) -> Condition:
        parts = [self._read_part()]
        while self._take_word("and"):
            parts.append(self._read_part())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _read_part(self) -> Condition:
        token = self._peek()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error("the filter is nested too deeply", token)
        try:
            if self._take_word("not"):
                return Not(self._read_part())
            if self._take_sign("("):
                inner = self.read_condition()
                self._expect_closing(token, ")")
                return inner
            return self._read_test()
        finally:
            self._depth -= 1

    def _read_test(self) -> Condition:
        token = self._take()
        if token.kind == Kind.KEYWORD and token.text == "exists":
            return Exists(self._expect_column())
        if token.kind == Kind.NAME:
            return self._read_after_column(Column(token.text, token.at, token.end))
        value = read_value(token, self._now_wall_s)
        if value is None:
            hint = 'write a condition, such as state == "finished"'
            raise _error(f"a column is missing before {token.describe()}", token, hint=hint)
        return self._read_after_value(value)

    def _read_after_column(self, column: Column) -> Condition:
        token = self._peek()
        if token.kind == Kind.SIGN and token.text in COMPARISONS:
            self._take()
            return Compare(column, COMPARISONS[token.text], self._read_operand())
        if token.kind == Kind.SIGN and token.text in {"~", "!~", "=~"}:
            self._take()
            found = Matches(column, self._expect_text("a regular expression"))
            return Not(found) if token.text == "!~" else found
        if self._take_word("is"):
            return self._read_is(column)
        if token.text == "not" and token.kind == Kind.KEYWORD:
            self._take()
            return Not(self._read_word_test(column, is_needed=True))
        return self._read_word_test(column, is_needed=False)

    def _read_word_test(self, column: Column, *, is_needed: bool) -> Condition:
        if self._take_word("in"):
            return OneOf(column, self._read_list())
        if self._take_word("contains"):
            return Contains(column, self._expect_value())
        if self._take_word("exists"):
            return Exists(column)
        token = self._peek()
        if is_needed:
            raise _error(f"in, contains or exists is missing before {token.describe()}", token)
        is_over = token.kind == Kind.END or token.text in {"and", "or", ")"}
        if not is_over:
            raise _error(
                f"an operator is missing before {token.describe()}", token, hint=_OPERATOR_HINT
            )
        return IsTrue(column)

    def _read_is(self, column: Column) -> Condition:
        is_not = self._take_word("not")
        token = self._take()
        tests: dict[str, Condition] = {
            "null": Not(Exists(column)),
            "nan": IsNan(column),
            "true": IsTrue(column),
            "false": Compare(
                column,
                Comparison.EQUAL,
                Value(ValueKind.FLAG, False, token.at, token.end),  # noqa: FBT003
            ),
        }
        if token.kind != Kind.KEYWORD or token.text not in tests:
            raise _error("null, nan, true or false is missing here", token)
        found = tests[token.text]
        return Not(found) if is_not else found

    def _read_after_value(self, value: Value) -> Condition:
        token = self._take()
        if token.kind == Kind.SIGN and token.text in COMPARISONS:
            comparison = COMPARISONS[token.text]
            return Compare(self._expect_column(), comparison.turned, value)
        is_not = token.kind == Kind.KEYWORD and token.text == "not"
        if is_not:
            token = self._take()
        if token.kind == Kind.KEYWORD and token.text == "in":
            following = self._peek()
            if following.kind != Kind.NAME:
                raise _error("a column is missing behind in", following, hint='"paper" in tags')
            column = self._expect_column()
            found = Contains(column, value)
            return Not(found) if is_not else found
        raise _error(
            f"an operator is missing before {token.describe()}", token, hint=_OPERATOR_HINT
        )

    def _read_operand(self) -> Value | Column:
        token = self._take()
        if token.kind == Kind.NAME:
            return Column(token.text, token.at, token.end)
        return self._need_value(token)

    def _read_list(self) -> tuple[Value, ...]:
        opening = self._take()
        if opening.kind != Kind.SIGN or opening.text not in _CLOSING:
            raise _error("a list is missing behind in", opening, hint="in [1, 2, 3]")
        closing = _CLOSING[opening.text]
        values: list[Value] = []
        while not self._take_sign(closing):
            if values and not self._take_sign(","):
                self._expect_closing(opening, closing)
            if values and self._take_sign(closing):  # a comma behind the last one
                break
            values.append(self._expect_value())
        return tuple(values)

    def _expect_value(self) -> Value:
        return self._need_value(self._take())

    def _need_value(self, token: Token) -> Value:
        value = read_value(token, self._now_wall_s)
        if value is not None:
            return value
        hint = "a number, a date, true, false, or text in quotes"
        if token.kind == Kind.NAME:
            hint = f'put text in quotes: "{token.text[:40]}"'
        raise _error(f"a value is missing before {token.describe()}", token, hint=hint)

    def _expect_text(self, what: str) -> Value:
        token = self._take()
        if token.kind != Kind.TEXT:
            raise _error(f"{what} is missing here", token, hint='put it in quotes: "..."')
        return Value(ValueKind.TEXT, token.text, token.at, token.end)

    def _expect_column(self) -> Column:
        bracket = self._peek()
        is_bracketed = self._take_sign("(")
        token = self._take()
        if token.kind != Kind.NAME:
            raise _error(f"a column is missing before {token.describe()}", token)
        if is_bracketed:
            self._expect_closing(bracket, ")")
        return Column(token.text, token.at, token.end)

    def _expect_closing(self, opening: Token, closing: str) -> None:
        token = self._peek()
        if self._take_sign(closing):
            return
        if token.kind == Kind.END:
            raise _error(f"{opening.text} is not closed", opening, hint=f"put {closing} behind it")
        hint = "join conditions by and, or" if closing == ")" else "part values by commas"
        raise _error(f"{closing} is missing before {token.describe()}", token, hint=hint)

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != Kind.END:
            self._next += 1
        return token

    def _take_word(self, word: str) -> bool:
        return self._take_if(Kind.KEYWORD, word)

    def _take_sign(self, sign: str) -> bool:
        return self._take_if(Kind.SIGN, sign)

    def _take_if(self, kind: Kind, text: str) -> bool:
        token = self._peek()
        is_it = token.kind == kind and token.text == text
        self._next += is_it
        return is_it


def _error(message: str, token: Token, *, hint: str | None = None) -> QueryError:
    return QueryError(message, at=token.at, end=token.end, hint=hint)
