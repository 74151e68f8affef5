"""Secrets in what rules run, such as a token for a chat: run as they are, and never written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hpctrack.core.rule_reading import load_rules
from hpctrack.core.rules import COMMAND, Rule, dump_rules, split_action


def hide_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Return a text as it may be written.

    Parameters
    ----------
    text : str
        A command, or what it has printed.
    environ : mapping
        The job's: its secrets are hidden wherever they turn up.
    """
    # Loaded here: few runs have a rule that runs something.
    from hpctrack.telemetry.provenance.masking import Masker  # noqa: PLC0415

    return Masker(environ).text(text)


def list_actions(rule: Rule, environ: Mapping[str, str]) -> list[str]:
    """Return what a rule does as it may be written."""
    return [
        hide_secrets(one, environ) if split_action(one)[0] == COMMAND else one for one in rule.do
    ]


def hide_in_hello(hello: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what a rank has said with the secrets in its rules hidden."""
    settings = hello.get("settings") or {}
    if not settings.get("rules"):
        return hello
    rules = [
        replace(one, do=tuple(list_actions(one, environ)))
        for one in load_rules(str(settings["rules"]))
    ]
    return {**hello, "settings": {**settings, "rules": dump_rules(rules)}}
