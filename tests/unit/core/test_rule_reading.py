"""What users write as rules, and what they are told of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.rule_reading import add_rules, load_rules, parse_rule, read_rules
from hpctrack.core.rules import dump_rules
from hpctrack.core.settings import load_settings
from hpctrack.errors import SettingsError

NAN = {"metric": "loss", "is": "nan"}


@pytest.mark.parametrize(
    ("raw", "name", "words", "do", "once"),
    [
        (NAN, "loss-is-nan", "loss is NaN or infinite", ("mark",), "run"),
        (
            {"metric": "train/*", "above": 5, "steps": 3, "rank": 0, "do": ["signal", "mark"]},
            "train-above-5-3x-rank-0",
            "train/* above 5, 3 times in a row, on rank 0",
            ("signal:USR1", "mark"),
            "run",
        ),
        (
            {"metric": "loss", "plateau": 1e-3, "steps": 1000, "do": "stop", "name": "flat"},
            "flat",
            "loss changes by less than 0.001 over 1,000 values",
            ("stop",),
            "run",
        ),
        (
            {"sensor": "gpu/temp_c", "above": 85, "for_s": 60, "do": ["command:  ./a.sh 'x: y' "]},
            "gpu-temp-c-above-85-60s",
            "gpu/temp_c above 85 for 60 s",
            ("command:./a.sh 'x: y'",),
            "run",
        ),
        (
            {"time_left_min": 10, "do": "signal: sigterm"},
            "time-left-10-min",
            "10 min to the time limit",
            ("signal:TERM",),
            "attempt",
        ),
        (
            {"memory_frac": 0.95, "do": [], "once": "attempt"},
            "memory-0.95",
            "memory above 0.95 of its limit",
            (),
            "attempt",
        ),
        ({"gpu_idle_min": 10}, "gpu-idle-10-min", "all GPUs idle for 10 min", ("mark",), "run"),
        ({"silent_min": 0.5}, "silent-0.5-min", "nothing logged for 0.5 min", ("mark",), "run"),
    ],
)
def test_a_rule_is_named_described_and_read_back(
    raw: dict[str, Any], name: str, words: str, do: tuple[str, ...], once: str
) -> None:
    rule = parse_rule(raw)
    assert (rule.name, rule.describe(), rule.do, rule.once) == (name, words, do, once)
    assert parse_rule(json.loads(json.dumps(rule.to_json()))) == rule
    assert list(load_rules(dump_rules([rule]))) == [rule]


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ({"metrik": "loss", "is": "nan"}, ["metrik", "'metric'"]),
        ({"is": "nan"}, ["nothing is looked at"]),
        ({"metric": "loss"}, ["nothing is asked", "plateau"]),
        ({"metric": "loss", "sensor": "gpu/temp_c"}, ["both given", "write two"]),
        ({"metric": "loss", "above": 5, "below": 1}, ["both given", "write two"]),
        ({"metric": "loss", "is": "zero"}, ['only "nan"']),
        ({"metric": "loss", "above": "5"}, ["'5'", "number"]),
        ({"metric": "loss", "above": float("nan")}, ["above", "number"]),
        ({"metric": "loss", "plateau": 1e-3}, ["plateau needs steps"]),
        ({"metric": "loss", "plateau": 0, "steps": 10}, ["above 0"]),
        ({"metric": "loss", "is": "nan", "steps": 0}, ["steps", "from 1"]),
        ({"metric": "loss", "is": "nan", "steps": True}, ["steps", "whole number"]),
        ({"metric": "loss", "is": "nan", "rank": -1}, ["rank", "from 0"]),
        ({"metric": "loss", "is": "nan", "for_s": 3}, ["for_s means nothing", "steps"]),
        ({"metric": 3, "is": "nan"}, ["name of a metric"]),
        ({"sensor": "gpu/temp_c", "above": 85, "steps": 3}, ["steps means nothing", "for_s"]),
        ({"sensor": "gpu/temp_c", "above": 85, "for_s": -3}, ["at least 0"]),
        ({"hang_min": 0}, ["above 0"]),
        ({"hang_min": 10**400}, ["give a number"]),
        ({"memory_frac": 95}, ["share of 1", "0.95"]),
        ({**NAN, "do": "mrak"}, ["mrak", "'mark'"]),
        ({**NAN, "do": "command"}, ["command is missing"]),
        ({**NAN, "do": "command ./notify.sh"}, ["unknown action", "'command'"]),
        ({**NAN, "do": "stop: now"}, ["takes nothing"]),
        ({**NAN, "do": {"mark": 1}}, ["list of mark"]),
        ({**NAN, "do": "signal:KILL"}, ["no program can handle SIGKILL", "cancel"]),
        ({**NAN, "do": "signal:USR9"}, ["USR9", "USR"]),
        ({**NAN, "once": "always"}, ["'run' or 'attempt'"]),
        ({**NAN, "name": "../x"}, ["not allowed"]),
        ({**NAN, "name": "x.a1"}, ["attempt"]),
        ("loss is nan", ["no rule"]),
    ],
)
def test_a_rule_that_cannot_be_is_explained(raw: Any, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_rule(raw)
    for part in parts:
        assert part in caught.value.in_a_line()


@pytest.mark.parametrize("raw", ["no json", "[1", 3, object()])
def test_what_is_no_list_is_told(raw: object) -> None:
    rules, (problem,) = read_rules(raw, "here")
    assert not rules
    assert "(here)" in problem.message
    assert problem.hint


def test_one_bad_rule_costs_only_itself() -> None:
    rules, (problem,) = read_rules([NAN, {**NAN, "name": "b", "do": "x"}, {"hang_min": 1}], "file")
    assert [rule.name for rule in rules] == ["loss-is-nan", "hang-1-min"]
    assert problem.message.startswith("rule 'b' is left out: ")


def test_rules_without_names_are_told_apart_and_not_repeated() -> None:
    told = [{"metric": "a/*", "is": "nan"}, {"metric": "a", "is": "nan"}]
    rules, problems = read_rules([*told, told[0]], "file")
    assert [rule.name for rule in rules] == ["a-is-nan", "a-is-nan-2"]
    assert not problems
    named = [{**NAN, "name": "x"}, {"hang_min": 3, "name": "x"}]
    rules, (problem,) = read_rules(named, "file")
    assert len(rules) == 1
    assert "same name" in problem.message


def test_sources_add_up_and_a_stronger_one_replaces_by_name_or_condition() -> None:
    text, _problems = add_rules("", [{"hang_min": 15}, {**NAN, "name": "diverged"}], "site")
    text, _problems = add_rules(text, [{**NAN, "do": "signal"}, {"memory_frac": 0.9}], "user")
    rules = {one.name: one for one in load_rules(text)}
    assert list(rules) == ["hang-15-min", "loss-is-nan", "memory-0.9"]
    assert rules["loss-is-nan"].do == ("signal:USR1",)
    text, _problems = add_rules(text, [{"name": "hang-15-min", "hang_min": 30}], "argument")
    assert [one.limit for one in load_rules(text) if one.subject == "hang_min"] == [30]
    assert add_rules(text, "off", "environment") == ("", [])


def test_rules_without_names_of_two_sources_are_told_apart() -> None:
    text, _problems = add_rules("", [{"metric": "a/*", "is": "nan"}], "file")
    text, _problems = add_rules(text, [{"metric": "a", "is": "nan"}], "argument")
    assert [(one.name, one.target) for one in load_rules(text)] == [
        ("a-is-nan", "a/*"),
        ("a-is-nan-2", "a"),
    ]


def test_all_sources_of_settings_have_rules(tmp_path: Path) -> None:
    (tmp_path / "hpctrack.toml").write_text(
        """
[[rules]]
metric = "loss"
is = "nan"
do = ["mark", "signal"]

[[rules]]
time_left_min = 10
do = "signal"

[[rules]]
metric = "loss"
plateau = 1e-3
"""
    )
    environ = {"HOME": str(tmp_path), "HPCTRACK_RULES": '[{"silent_min": 30}]'}
    given = {"rules": [{"gpu_idle_min": 10}]}
    loaded = load_settings(given, environ=environ, cwd=tmp_path)
    names = [one.name for one in load_rules(loaded.values.rules)]
    assert names == ["loss-is-nan", "time-left-10-min", "silent-30-min", "gpu-idle-10-min"]
    (problem,) = loaded.problems
    assert "hpctrack.toml" in problem.message
    off = load_settings(given, environ={**environ, "HPCTRACK_RULES": "off"}, cwd=tmp_path)
    assert [one.name for one in load_rules(off.values.rules)] == ["gpu-idle-10-min"]
    assert not load_settings({"rules": []}, environ={}, cwd=tmp_path.parent).values.rules


def test_rules_that_see_nothing_without_telemetry_are_told() -> None:
    given = {"rules": [{"memory_frac": 0.9}, NAN], "telemetry": "off"}
    (problem,) = load_settings(given, environ={}).problems
    assert "memory-0.9" in problem.message
    assert "loss" not in problem.message


def test_a_rule_keeps_its_name_when_it_is_the_name_of_a_strange_metric() -> None:
    for metric in ("..", "/", "ä/ö", "a" * 200, "x.a1", "-", "train.loss"):
        rule = parse_rule({"metric": metric, "is": "nan"})
        assert parse_rule(rule.to_json()) == rule
