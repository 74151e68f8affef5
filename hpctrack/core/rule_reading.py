"""From what a user writes to rules: checked, named, one list of several sources. Pure.

Standard library only: ranks load it, but only those that are given rules.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpctrack.core.layout import ATTEMPT_SUFFIX
from hpctrack.core.names import check_id
from hpctrack.core.rules import (
    ABOVE,
    ACTIONS,
    ATTEMPT,
    BELOW,
    COMMAND,
    IS,
    MARK,
    MEMORY,
    METRIC,
    NEED_TELEMETRY,
    PLATEAU,
    RUN,
    SENSOR,
    SIGNAL,
    SUBJECTS,
    TIME_LEFT,
    Rule,
    dump_rules,
    split_action,
)
from hpctrack.errors import InvalidNameError, SettingsError

TESTS: Mapping[str, tuple[str, ...]] = {
    METRIC: (IS, ABOVE, BELOW, PLATEAU),
    SENSOR: (ABOVE, BELOW),
}
"""What can be asked of a subject; a rule has exactly one of them. The others need none."""

EXTRAS: Mapping[str, tuple[str, ...]] = {METRIC: ("steps", "rank"), SENSOR: ("for_s",)}

ALWAYS = ("name", "do", "once")

KEYS = (*SUBJECTS, IS, ABOVE, BELOW, PLATEAU, "steps", "rank", "for_s", *ALWAYS)

OFF = "off"
"""Instead of a list: forget the rules of all weaker sources."""

DEFAULT_SIGNAL = "USR1"
UNHEARD_SIGNALS = frozenset({"KILL", "STOP"})

MAX_STEPS = 10_000_000
COMMAND_MAX_CHARS = 8192
NAME_MAX_CHARS = 48

_DROPPED = re.compile(r"[^A-Za-z0-9]+")
_ODD = re.compile(r"[^A-Za-z0-9.]+")
"""Of a made-up name; a number may have a point."""


def add_rules(
    known: str, raw: object, origin: str, place: Callable[[int, str], str] | None = None
) -> tuple[str, list[SettingsError]]:
    """Add what a source of settings says to what weaker ones have said.

    Parameters
    ----------
    known : str
        JSON that an earlier call has returned; empty at first.
    raw : object
        A list of mappings, one mapping, JSON text of either, or `OFF`.
    origin : str
        The source, for messages.
    place : callable, optional
        Given the number of a rule, from 1, and what is wrong with it, returns the source with the
        line.

    Returns
    -------
    rules : str
        JSON. A rule with the name, or the condition, of an earlier one takes its place.
    problems : list of SettingsError
        One for each rule that was left out.
    """
    if raw is False or (isinstance(raw, str) and raw == OFF):
        return "", []
    found, problems = read_rules(raw, origin, place)
    kept = list(load_rules(known))
    for rule in found:
        is_named = rule.name != _make_name(rule)
        kept = [
            one
            for one in kept
            if one.condition != rule.condition and not (is_named and one.name == rule.name)
        ]
        kept += _make_distinct(rule, kept)
    return dump_rules(kept), problems


def load_rules(text: str) -> Iterator[Rule]:
    """Yield the rules of a JSON text that `dump_rules` has made; what is no rule is left out."""
    if text:
        yield from read_rules(text, "")[0]


def read_rules(
    raw: object, origin: str, place: Callable[[int, str], str] | None = None
) -> tuple[list[Rule], list[SettingsError]]:
    """Check rules as a user writes them; see `add_rules`."""
    try:
        listed = _list_raw(raw)
    except (ValueError, TypeError):
        hint = 'write a list of rules, such as [{"metric": "loss", "is": "nan"}]'
        where = place(1, "") if place else origin
        return [], [SettingsError(f"rules is {raw!r:.60}, not a list ({where})", hint=hint)]
    rules: list[Rule] = []
    problems: list[SettingsError] = []
    for number, one in enumerate(listed, 1):
        try:
            rules += _make_distinct(parse_rule(one), rules)
        except SettingsError as error:
            shown = one.get("name", number) if isinstance(one, Mapping) else number
            where = place(number, error.message) if place else origin
            text = f"rule {shown!r:.60} is left out: {error.message} ({where})"
            problems.append(SettingsError(text, hint=error.hint))
    return rules, problems


def _list_raw(raw: object) -> Sequence[Any]:
    value = json.loads(raw) if isinstance(raw, (str, bytes)) else raw
    if isinstance(value, (Mapping, Rule)):
        return [value]
    if not isinstance(value, (list, tuple)):
        raise TypeError(type(value).__name__)
    return value


def _make_distinct(rule: Rule, others: Sequence[Rule]) -> list[Rule]:
    """Return a rule under a name that no other has; nothing if it is there already."""
    taken = {one.name for one in others}
    if rule in others:
        return []
    if rule.name not in taken:
        return [rule]
    if rule.name != _make_name(rule):
        raise SettingsError("another rule has the same name", hint="give each a name of its own")
    number = next(at for at in range(2, len(taken) + 3) if f"{rule.name}-{at}" not in taken)
    return [replace(rule, name=f"{rule.name}-{number}")]


def find_blind_rules(text: str, telemetry: str) -> SettingsError | None:
    """Tell which rules of a JSON text can see nothing because telemetry is off."""
    if telemetry != OFF:
        return None
    blind = [rule.name for rule in load_rules(text) if rule.subject in NEED_TELEMETRY]
    if not blind:
        return None
    return SettingsError(
        f"nothing is watched by the rule {', '.join(blind)}: telemetry is off",
        hint="set telemetry to auto",
    )


def parse_rule(raw: object) -> Rule:
    """Read one rule.

    Raises
    ------
    SettingsError
        It cannot be understood, or contradicts itself.
    """
    if isinstance(raw, Rule):
        return raw
    if not isinstance(raw, Mapping):
        hint = 'write {"metric": "loss", "is": "nan"}'
        raise SettingsError(f"{raw!r:.60} is no rule", hint=hint)
    told = {key: value for key, value in raw.items() if value is not None}
    _check_keys(told)
    subject = _choose(told, SUBJECTS, "nothing is looked at")
    tests = TESTS.get(subject, ())
    test = _choose(told, tests, f"nothing is asked of the {subject}") if tests else ""
    allowed = {subject, *tests, *EXTRAS.get(subject, ()), *ALWAYS}
    odd = sorted(told.keys() - allowed)
    if odd:
        raise SettingsError(
            f"{odd[0]} means nothing together with {subject}",
            hint=f"with {subject} go {', '.join(sorted(allowed - {subject}))}",
        )
    rule = Rule(
        name="",
        subject=subject,
        test=test,
        target=_read_target(told[subject], subject) if tests else "",
        limit=_read_limit(told, subject, test),
        steps=_read_steps(told, test),
        for_s=_read_number(told, "for_s", least=0.0) if "for_s" in told else 0.0,
        rank=_read_rank(told["rank"]) if "rank" in told else None,
        do=tuple(_read_actions(told.get("do", MARK))),
        once=_read_once(told, subject),
    )
    return replace(rule, name=_read_name(told["name"]) if "name" in told else _make_name(rule))


def _check_keys(told: Mapping[str, object]) -> None:
    for key in told:
        if key not in KEYS:
            raise SettingsError(f"unknown key {key!r:.60}", hint=_suggest(str(key), KEYS))


def _choose(told: Mapping[str, object], keys: Sequence[str], nothing: str) -> str:
    found = [key for key in keys if key in told]
    if not found:
        raise SettingsError(nothing, hint=f"say one of {', '.join(keys)}")
    if len(found) > 1:
        text = f"{' and '.join(found)} are both given"
        raise SettingsError(text, hint="one rule watches for one thing; write two")
    return found[0]


def _read_target(value: object, subject: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{subject} is {value!r:.60}", hint=f"give the name of a {subject}")
    return value


def _read_limit(told: Mapping[str, object], subject: str, test: str) -> float:
    if test == IS:
        if str(told[IS]).lower() not in {"nan", "inf"}:
            raise SettingsError(f"is = {told[IS]!r:.60}", hint='only "nan": NaN or infinite')
        return 0.0
    if test == PLATEAU:
        return _read_number(told, PLATEAU, more_than=0.0)
    if test:
        return _read_number(told, test)
    if subject == MEMORY:
        limit = _read_number(told, MEMORY, more_than=0.0)
        if limit > 1:
            hint = f"give a share of 1: {limit / 100:g}"
            raise SettingsError(f"memory_frac is {limit:g}", hint=hint)
        return limit
    return _read_number(told, subject, more_than=0.0)


def _read_number(
    told: Mapping[str, object],
    key: str,
    *,
    least: float = -math.inf,
    more_than: float = -math.inf,
) -> float:
    value = told[key]
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise SettingsError(f"{key} is {value!r:.60}", hint="give a number")
    if number < least or number <= more_than:
        bound = f"at least {least:g}" if number < least else f"above {more_than:g}"
        raise SettingsError(f"{key} is {number:g}", hint=f"give a number {bound}")
    return number


def _read_whole(value: object, key: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        hint = f"give a whole number from {least} to {most}"
        raise SettingsError(f"{key} is {value!r:.60}", hint=hint)
    return value


def _read_steps(told: Mapping[str, object], test: str) -> int:
    if test == PLATEAU:
        if "steps" not in told:
            hint = "say over how many logged values it changes so little"
            raise SettingsError("plateau needs steps", hint=hint)
        return _read_whole(told["steps"], "steps", 2, MAX_STEPS)
    return _read_whole(told.get("steps", 1), "steps", 1, MAX_STEPS)


def _read_rank(value: object) -> int:
    return _read_whole(value, "rank", 0, 2**31 - 1)


def _read_once(told: Mapping[str, object], subject: str) -> str:
    # Each attempt has a time limit of its own, and has to save what it has come to.
    once = told.get("once", ATTEMPT if subject == TIME_LEFT else RUN)
    if once not in {RUN, ATTEMPT}:
        raise SettingsError(f"once is {once!r:.60}", hint=f"use {RUN!r} or {ATTEMPT!r}")
    return str(once)


def _read_actions(value: object) -> Iterator[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, (list, tuple)):
        raise SettingsError(f"do is {value!r:.60}", hint=f"give a list of {', '.join(ACTIONS)}")
    yield from dict.fromkeys(map(_read_action, listed))


def _read_action(value: object) -> str:
    word, needed = split_action(str(value))
    word, needed = word.strip(), needed.strip()
    if word not in ACTIONS:
        first = word.split(maxsplit=1)[0] if word else ""
        hint = _suggest(first, ACTIONS)
        raise SettingsError(f"do has an unknown action {first!r:.60}", hint=hint)
    if word == COMMAND:
        if not needed or len(needed) > COMMAND_MAX_CHARS or "\0" in needed:
            raise SettingsError("a command is missing, or too long", hint='"command: ./notify.sh"')
        return f"{COMMAND}:{needed}"
    if word == SIGNAL:
        return f"{SIGNAL}:{_read_signal(needed or DEFAULT_SIGNAL)}"
    if needed:
        raise SettingsError(f"{word} takes nothing behind it, not {needed!r:.60}")
    return word


def _read_signal(text: str) -> str:
    import signal  # noqa: PLC0415 - few rules name one

    name = text.upper().removeprefix("SIG")
    if name in UNHEARD_SIGNALS:
        hint = "stop asks the program to end, cancel ends the job"
        raise SettingsError(f"no program can handle SIG{name}", hint=hint)
    known = [one.name.removeprefix("SIG") for one in signal.Signals]
    if name not in known:
        raise SettingsError(f"unknown signal {text!r:.60}", hint=_suggest(name, known))
    return name


def _read_name(value: object) -> str:
    try:
        name = check_id(str(value), what="name")
    except InvalidNameError as error:
        raise SettingsError(error.message, hint=error.hint) from None
    if ATTEMPT_SUFFIX.search(name):
        raise SettingsError(f"the name {name!r} ends like a file of attempt 1, 2 ...")
    return name


def _make_name(rule: Rule) -> str:
    """Make a name from the condition, the same one on every rank: ``loss-above-5``."""
    words = [_DROPPED.sub("-", rule.target) or rule.subject.rpartition("_")[0], rule.test]
    words.append("nan" if rule.test == IS else f"{rule.limit:g}")
    words += [f"{rule.steps}x"] if rule.steps > 1 else []
    words += [f"{rule.for_s:g}s"] if rule.for_s else []
    words += [f"rank-{rule.rank}"] if rule.rank is not None else []
    words += ["min"] if rule.subject.endswith("_min") else []
    text = _ODD.sub("-", "-".join(filter(None, words)))
    return text[:NAME_MAX_CHARS].strip("-.")


def _suggest(word: str, known: Sequence[str]) -> str:
    import difflib  # noqa: PLC0415 - for mistakes only, and it opens three files

    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
