"""Command lines of trials."""

from __future__ import annotations

import json

import pytest

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.command import (
    DEFAULT_COMMAND,
    CommandFacts,
    macro_problem,
    make_command,
)

PARAMETERS = {
    "lr": 0.001,
    "amp": True,
    "bias": False,
    "name": "a b",
    "none": None,
    "net": {"depth": 3, "widths": [1, 2]},
    "empty": {},
}
FACTS = CommandFacts(
    program="train.py",
    interpreter="/venv/bin/python",
    parameters=PARAMETERS,
    environ={"DATA": "/data"},
    json_file="/s/0001.params.json",
)


def test_the_default_command_is_that_of_wandb() -> None:
    assert make_command(DEFAULT_COMMAND, FACTS) == [
        "/usr/bin/env",
        "/venv/bin/python",
        "train.py",
        "--lr=0.001",
        "--amp=True",
        "--bias=False",
        "--name=a b",
        "--none=None",
        "--net.depth=3",
        "--net.widths=[1, 2]",
        "--empty={}",
    ]


def test_arguments_without_hyphens_suit_hydra() -> None:
    words = make_command(["x", "${args_no_hyphens}"], FACTS)
    assert words[:3] == ["x", "lr=0.001", "amp=True"]
    assert "net.depth=3" in words


def test_boolean_flags_are_there_or_not() -> None:
    words = make_command(["x", "${args_no_boolean_flags}"], FACTS)
    assert "--amp" in words
    assert not any(word.startswith("--bias") for word in words)
    assert "--lr=0.001" in words


def test_json_variables_and_files_fit_into_words() -> None:
    words = make_command(
        ["${args_json}", "--file=${args_json_file}", "--data=${envvar:DATA}/x", "$HOME"], FACTS
    )
    assert json.loads(words[0]) == PARAMETERS
    assert words[1:] == ["--file=/s/0001.params.json", "--data=/data/x", "$HOME"]


def test_a_variable_that_is_not_set_is_an_error() -> None:
    with pytest.raises(SweepError, match="NOPE"):
        make_command(["${envvar:NOPE}"], FACTS)


@pytest.mark.parametrize(
    "word", ["${env}", "a${program}b", "${args}", "plain", "${envvar:A}${envvar:B}", "$x", "{}"]
)
def test_good_words_have_no_problem(word: str) -> None:
    assert macro_problem(word) is None


@pytest.mark.parametrize("word", ["${arg}", "${}", "x${args}", "${envvar:}", "${args}${args}"])
def test_bad_words_have_one(word: str) -> None:
    assert macro_problem(word)
