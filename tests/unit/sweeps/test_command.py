"""Command lines of trials."""

from __future__ import annotations

import json

import pytest

from hpctrack.errors import SweepError
from hpctrack.sweeps.schema.command import (
    DEFAULT_COMMAND,
    CommandFacts,
    fill_variables,
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


def test_arguments_for_hydra_append_or_override() -> None:
    assert make_command(["${args_append_hydra}"], FACTS)[:2] == ["+lr=0.001", "+amp=True"]
    assert make_command(["${args_override_hydra}"], FACTS)[:2] == ["++lr=0.001", "++amp=True"]


def test_arguments_without_equals_are_two_words_each() -> None:
    assert make_command(["${args_no_equals}"], FACTS)[:4] == ["--lr", "0.001", "--amp", "True"]


def test_variables_of_a_shell_are_left_to_it() -> None:
    words = ["bash", "-c", "cd ${SCRATCH} && ./x"]
    assert [macro_problem(word) for word in words] == [None] * 3
    assert make_command(words, FACTS) == words


def test_variables_are_filled_into_any_text() -> None:
    assert fill_variables("postgresql://me:${envvar:PW}@db/x", {"PW": "s"}) == (
        "postgresql://me:s@db/x"
    )
    with pytest.raises(SweepError, match="PW is not set"):
        fill_variables("${envvar:PW}", {})


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


@pytest.mark.parametrize(
    "word", ["${arg}", "${ARG}", "x ${arg}", "${}", "x${args}", "${envvar:}", "${args}${args}"]
)
def test_bad_words_have_one(word: str) -> None:
    assert macro_problem(word)
