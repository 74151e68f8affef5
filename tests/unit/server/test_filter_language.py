"""The filter language: what it means, where its errors point, and what it proposes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpctrack_server.language.completion import complete
from hpctrack_server.language.errors import QueryError
from hpctrack_server.language.names import check_columns
from hpctrack_server.language.parser import parse_filter
from hpctrack_server.language.tokens import quote_name, quote_text
from hpctrack_server.language.tree import (
    And,
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
)

NOW_S = 1_800_000_000.0
KINDS = {
    "state": "text",
    "config.lr": "number",
    "config.amp": "flag",
    "summary.val/acc": "number",
    "tags": "list",
    "created": "time",
    "config.with space": "text",
}


def parse(text: str) -> Condition:
    found = parse_filter(text, now_wall_s=NOW_S)
    assert found is not None
    return found


def value_of(text: str) -> object:
    found = parse(f"x == {text}")
    assert isinstance(found, Compare)
    assert isinstance(found.value, Value)
    return found.value.value


def test_an_empty_filter_takes_everything() -> None:
    assert parse_filter("  \n", now_wall_s=NOW_S) is None


def test_and_binds_tighter_than_or_and_not_tightest() -> None:
    found = parse("not a == 1 and b == 2 or c == 3")
    assert isinstance(found, Or)
    first = found.parts[0]
    assert isinstance(first, And)
    assert isinstance(first.parts[0], Not)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("summary.val/acc >= 0.9", Compare),
        ("1e-3 < config.lr", Compare),
        ("a == b", Compare),
        ('state in ["finished", "failed"]', OneOf),
        ('state in ("finished",)', OneOf),
        ('state not in ["finished"]', Not),
        ('"paper" in tags', Contains),
        ('"paper" not in tags', Not),
        ('name contains "resnet"', Contains),
        (r'name ~ "^run-\d+"', Matches),
        ('name !~ "x"', Not),
        ("config.lr exists", Exists),
        ("exists(config.lr)", Exists),
        ("config.lr is null", Not),
        ("summary.loss is nan", IsNan),
        ("config.amp", IsTrue),
        ("config.amp is not true", Not),
    ],
)
def test_every_test_has_its_form(text: str, kind: type) -> None:
    assert isinstance(parse(text), kind)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("-.5e2", -50.0),
        ("2h30m", 9000.0),
        ("-7d", -604_800.0),
        ("10GiB", 10 * 2**30),
        ("95%", 0.95),
        ("true", True),
        ("2026-05-01", 1_777_593_600.0),
        ("2026-05-01T02:00+02:00", 1_777_593_600.0),
        ("now", NOW_S),
        (r'"a\"b\d"', r"a" + '"' + r"b\d"),
        ("'single'", "single"),
    ],
)
def test_values_have_units_dates_and_escapes(text: str, value: object) -> None:
    assert value_of(text) == value


def test_a_value_in_front_turns_the_comparison() -> None:
    found = parse("5 >= x")
    assert isinstance(found, Compare)
    assert found.comparison == Comparison.AT_MOST


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("config.lr >", ""),
        ("config.lr > 3parsecs", "parsecs"),
        ("(a == 1", "("),
        ("a == 1)", ")"),
        ("a & b", "&"),
        ("a b", "b"),
        ('a == "open', '"open'),
        ("a == 2026-02-30", "2026-02-30"),
        ("a in [1 2]", "2"),
        ("a == 1 and", ""),
        ("== 1", "=="),
        ("a == 1e999", "1e999"),
        ("x" * 10_001, "x"),
        ("not " * 60 + "a", "not"),
        ('a == "x\ud83d"', "\ud83d"),
    ],
)
def test_errors_point_at_the_place(text: str, marked: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_filter(text, now_wall_s=NOW_S)
    assert text[caught.value.at : caught.value.end] == marked


def test_an_unknown_column_is_told_with_the_nearest_one() -> None:
    with pytest.raises(QueryError) as caught:
        check_columns(parse("state == 'x' and lr > 1"), KINDS)
    assert (caught.value.at, caught.value.end) == (17, 19)
    assert "config.lr" in str(caught.value.hint)


def test_text_without_quotes_is_told_as_such() -> None:
    with pytest.raises(QueryError) as caught:
        check_columns(parse("state == finished"), KINDS)
    assert caught.value.at == 9
    assert '"finished"' in str(caught.value.hint)


@given(st.text(alphabet=st.sampled_from(list("ab.1-2 ()[],=<>!~\"'`\\eEhdé\U0001f600\ud83d"))))
@example("a == " + "9" * 5000)
@example("\x00")
@settings(max_examples=100, deadline=None)
def test_nothing_but_a_query_error_is_ever_raised(text: str) -> None:
    error = None
    try:
        parse_filter(text, now_wall_s=NOW_S)
    except QueryError as caught:
        error = caught
    assert error is None or 0 <= error.at <= error.end <= len(text)
    completion = complete(text, len(text) // 2, columns=KINDS)
    assert 0 <= completion.start <= completion.end <= len(text)


@given(st.text(max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_text_and_any_name_can_be_quoted(text: str) -> None:
    assert value_of(quote_text(text)) == text
    if text:
        found = parse(f"exists {quote_name(text)}")
        assert isinstance(found, Exists)
        assert found.column.key == text


def proposed(text: str) -> list[str]:
    found = complete(
        text, len(text), columns=KINDS, values=lambda _key: ["finished", "failed", 'a "b"']
    )
    return [text[: found.start] + one.text for one in found.options]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "config.lr"),
        ("lr", "config.lr"),
        ("sum", "summary.val/acc"),
        ("with", "`config.with space`"),
        ("state ", "state =="),
        ("config.lr ", "config.lr <="),
        ("tags ", "tags contains"),
        ("state == ", 'state == "failed"'),
        ('state == "fi', 'state == "finished"'),
        ("state in [", 'state in ["failed"'),
        ("created > ", "created > -7d"),
        ("config.amp == ", "config.amp == true"),
        ("config.lr > 1 ", "config.lr > 1 and"),
        ("config.lr > 1 and ", "config.lr > 1 and state"),
        ("not (sta", "not (state"),
        ("config.lr is ", "config.lr is null"),
    ],
)
def test_completion_proposes_what_can_stand_there(text: str, expected: str) -> None:
    assert expected in proposed(text)


def test_completion_replaces_the_whole_word_under_the_cursor() -> None:
    found = complete("config.lr > 1", 3, columns=KINDS)
    assert (found.start, found.end) == (0, 9)
