"""What a rank does by hand, to load less, against what the standard library does."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpctrack.core.names import check_id, clean, make_safe_id, metric_name_problem
from hpctrack.core.wire import dump_json, name_kind
from hpctrack.errors import InvalidNameError

texts = st.text(st.characters(exclude_categories=[]))
"""Halves of surrogate pairs and control characters too."""

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.dictionaries(texts, plain))
def test_what_a_rank_says_reads_as_the_json_of_the_standard_library(value: dict[str, Any]) -> None:
    assert json.loads(dump_json(value)) == json.loads(json.dumps(value))


@pytest.mark.slow
@given(st.dictionaries(st.integers() | st.booleans() | st.none() | st.floats(), plain, min_size=1))
def test_keys_that_are_no_text_become_what_json_makes_of_them(value: dict[Any, Any]) -> None:
    assert json.loads(dump_json(value)) == json.loads(json.dumps(value))


def test_numbers_that_json_has_no_word_for_are_written_as_python_reads_them() -> None:
    found = json.loads(dump_json({"a": math.nan, "b": [math.inf, -math.inf], "c": 1e308 * 10}))
    assert math.isnan(found["a"])
    assert (found["b"], found["c"]) == ([math.inf, -math.inf], math.inf)


def test_a_kind_of_frame_has_a_name() -> None:
    assert (name_kind(4), name_kind(99)) == ("config", "99")


ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_\-])?\Z")
NOT_ID = re.compile(r"[^A-Za-z0-9_\-]+")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

names = st.text(st.sampled_from("aZ09_-. /\nä\ud800")) | texts


@given(names)
def test_ids_are_what_their_rule_says(text: str) -> None:
    try:
        check_id(text, what="run id")
        is_taken = True
    except InvalidNameError:
        is_taken = False
    assert is_taken == bool(len(text) <= 64 and ".." not in text and ID.match(text))


@given(names)
def test_a_safe_id_keeps_what_may_be_kept(text: str) -> None:
    kept = NOT_ID.sub("-", text).strip("-_")[:40].strip("-_")
    assert make_safe_id(text).rpartition("-")[0] == (kept or "id")


@given(texts)
def test_control_characters_are_found_and_replaced(text: str) -> None:
    assert clean(text) == UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    name = f"a{text[:100]}"
    assert (metric_name_problem(name) is None) == (UNPRINTABLE.search(name) is None)
