"""What init is told of earlier runs."""

from __future__ import annotations

from typing import Any

import pytest

from hpctrack.client.config import Config, Summary
from hpctrack.client.identity import name_program
from hpctrack.client.ranks import RankInfo
from hpctrack.client.resume import Continued, Resume, parse_moment, read_resume
from hpctrack.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, Resume()),
        ({"resume": False}, Resume()),
        ({"resume": True}, Resume("auto")),
        ({"resume": "must"}, Resume("must")),
        ({"resume_from": "r?_step=7"}, Resume("allow", "r", 7)),
        ({"resume": "must", "resume_from": "r?_step=7"}, Resume("must", "r", 7)),
        ({"fork_from": "4711.0?_step=7"}, Resume("", fork_run="4711.0", fork_step=7)),
    ],
)
def test_arguments_are_understood(arguments: dict[str, Any], expected: Resume) -> None:
    found = read_resume(**arguments)
    assert found == expected
    assert found.needs_answer == any(arguments.values())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"resume": "perhaps"}, "resume is 'perhaps'"),
        ({"resume_from": "r"}, "names no step"),
        ({"resume_from": "../r?_step=1"}, "names no step"),
        ({"fork_from": "r?_step=soon"}, "names no step"),
        ({"fork_from": "r?_step=1", "resume_from": "r?_step=1"}, "both given"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], part: str) -> None:
    with pytest.raises(UsageError, match=part):
        read_resume(**arguments)


def test_only_what_was_asked_for_is_sent() -> None:
    assert Resume().to_hello({}, RankInfo()) == {}
    auto = Resume("auto").to_hello({}, RankInfo())
    assert auto == {"resume": "auto", "program": name_program({}, RankInfo(rank=3))}
    assert Resume(fork_run="r", fork_step=3).to_hello({}, RankInfo()) == {
        "fork": {"run": "r", "step": 3}
    }
    assert parse_moment("a?_step=-1") == ("a", -1)


def test_another_number_of_ranks_or_array_task_is_another_program() -> None:
    names = {
        name_program({}, RankInfo()),
        name_program({}, RankInfo(size=2)),
        name_program({"SLURM_ARRAY_TASK_ID": "4"}, RankInfo()),
    }
    assert len(names) == 3


def test_old_values_come_back_below_the_new_ones() -> None:
    config = Config(lambda _values: None, lambda _key: None)
    config.lr = 0.2
    summary = Summary(lambda _values: None)
    found = Continued.read(
        {"run": "r", "resumed": True, "step": 9, "config": {"lr": 1, "a": 2}, "summary": {"b": 3}}
    )
    assert found.is_resumed
    assert found.restore(config, summary) == 10
    assert config == {"lr": 0.2, "a": 2}
    assert summary == {"b": 3}
    assert Continued.read({}).restore(config, summary) == 0
