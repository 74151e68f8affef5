from __future__ import annotations

import pytest

from hpctrack.core.names import (
    check_id,
    make_readable_name,
    make_safe_id,
    metric_name_problem,
)
from hpctrack.errors import InvalidNameError

BAD_IDS = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/abs",
    ".hidden",
    "a..b",
    "a b",
    "x" * 65,
    "ä",
    "a.",
    "-x",
]


@pytest.mark.parametrize("value", ["a", "4711.0", "1200_3", "sweep-0001", "A.b-c_d", "x" * 64])
def test_ids_that_make_good_folders_are_taken(value: str) -> None:
    assert check_id(value, what="run id") == value


@pytest.mark.parametrize("value", BAD_IDS)
def test_ids_that_could_escape_or_confuse_are_refused_with_the_rule(value: str) -> None:
    with pytest.raises(InvalidNameError, match="is not allowed") as caught:
        check_id(value, what="run id")
    assert "letters, digits" in str(caught.value)


@pytest.mark.parametrize("value", BAD_IDS)
def test_any_text_becomes_an_allowed_id_and_always_the_same(value: str) -> None:
    safe = make_safe_id(value)
    assert check_id(safe, what="run id") == make_safe_id(value)


def test_different_texts_become_different_ids() -> None:
    assert make_safe_id("a/b") != make_safe_id("a_b") != make_safe_id("a b")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("", "empty"),
        ("x" * 10_000, "10000 bytes"),
        ("a\nb", "control"),
        ("bad\ud800", "Unicode"),
        ("_step", "run.history()"),
        ("_timestamp", "run.history()"),
    ],
)
def test_a_metric_name_that_cannot_be_stored_is_explained(name: str, part: str) -> None:
    assert part in (metric_name_problem(name) or "")


@pytest.mark.parametrize(
    "name", ["loss", "val/acc", "_loss", "val/_step", "<script>", "損失", "a b", "../x", "📉"]
)
def test_a_metric_may_be_called_anything_readable(name: str) -> None:
    assert metric_name_problem(name) is None


def test_readable_names_are_the_same_on_every_rank() -> None:
    assert make_readable_name("4711.0") == make_readable_name("4711.0")
    assert len({make_readable_name(str(number)) for number in range(200)}) > 190
