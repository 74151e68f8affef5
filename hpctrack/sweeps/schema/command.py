"""A trial's command line: W&B's macros, filled in. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpctrack.core.wire import make_plain
from hpctrack.errors import SweepError

DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")

LIST_MACROS = frozenset({
    "args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_append_hydra",
    "args_override_hydra",
})  # fmt: skip
"""They become several words, so they must stand alone."""

WORD_MACROS = frozenset({"env", "interpreter", "program", "args_json", "args_json_file"})
ENVIRONMENT_MACRO = "envvar:"

MACRO = re.compile(r"\$\{([^{}]*)\}")
_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PREFIXES = {
    "args": "--",
    "args_no_hyphens": "",
    "args_append_hydra": "+",
    "args_override_hydra": "++",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFacts:
    """What the macros stand for.

    Parameters
    ----------
    program : str
        The sweep file's; empty if it has none.
    interpreter : str
        The Python that runs the trial.
    parameters : mapping
        The trial's, nested.
    environ : mapping
        The environment that the program will have.
    json_file : str
        Where the parameters lie as JSON.
    """

    program: str
    interpreter: str
    parameters: Mapping[str, Any]
    environ: Mapping[str, str]
    json_file: str


def macro_problem(word: str) -> str | None:
    """Say what is wrong with one word of a command, or None if nothing is."""
    for name in MACRO.findall(word):
        if name in LIST_MACROS:
            if word != f"${{{name}}}":
                return f"${{{name}}} stands for several words, so it must stand alone"
        elif name.startswith(ENVIRONMENT_MACRO):
            if not name[len(ENVIRONMENT_MACRO) :]:
                return "${envvar:NAME} needs the name of a variable"
        elif name not in WORD_MACROS and not _is_for_a_shell(word, name):
            return f"unknown macro ${{{name}}}"
    return None


def uses_macro(command: Sequence[str], name: str) -> bool:
    """Tell whether a command has a macro."""
    return any(name in MACRO.findall(word) for word in command)


def make_command(command: Sequence[str], facts: CommandFacts) -> list[str]:
    """Fill in a command.

    Parameters
    ----------
    command : sequence of str
        Words with macros, checked by `macro_problem`.
    facts : CommandFacts
        What to fill in.

    Raises
    ------
    SweepError
        ``${envvar:NAME}`` names a variable that is not set where the trial runs.
    """
    words: list[str] = []
    for word in command:
        name = word[2:-1] if word.startswith("${") else ""
        if name in _PREFIXES:
            flat = iter_flat(facts.parameters)
            words += [f"{_PREFIXES[name]}{key}={show(value)}" for key, value in flat]
        elif name == "args_no_boolean_flags":
            words += _iter_flags(facts.parameters)
        elif name == "args_no_equals":
            for key, value in iter_flat(facts.parameters):
                words += [f"--{key}", show(value)]
        else:
            words.append(MACRO.sub(lambda found: _fill(found[1], facts), word))
    return words


def list_macros() -> str:
    """Return all macros, for a message."""
    names = sorted(LIST_MACROS | WORD_MACROS)
    return ", ".join(f"${{{name}}}" for name in (*names, f"{ENVIRONMENT_MACRO}NAME"))


def fill_variables(text: str, environ: Mapping[str, str]) -> str:
    """Fill in the ``${envvar:NAME}`` of a text.

    Raises
    ------
    SweepError
        A variable is not set.
    """
    return MACRO.sub(lambda found: _variable(found[1], environ), text)


def iter_flat(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every parameter with its dotted name, in order; a value that is a mapping is opened."""
    for key, value in parameters.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from iter_flat(value, f"{name}.")
        else:
            yield name, value


def show(value: Any) -> str:
    """Return a value as one word: Python's form, but JSON for lists, which any program reads."""
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, default=make_plain)
    return str(value)


def _iter_flags(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in iter_flat(parameters):
        if value is True:
            yield f"--{name}"
        elif value is not False:
            yield f"--{name}={show(value)}"


def _is_for_a_shell(word: str, name: str) -> bool:
    """Tell whether a variable is some shell's: ``bash -c 'cd ${SCRATCH} && ...'``.

    Such a word is more than the variable, and no macro is meant: macros have small letters.
    """
    return word != f"${{{name}}}" and bool(_SHELL_NAME.match(name)) and name.isupper()


def _fill(name: str, facts: CommandFacts) -> str:
    if name.startswith(ENVIRONMENT_MACRO):
        return _variable(name, facts.environ)
    return {
        "env": "/usr/bin/env",
        "interpreter": facts.interpreter,
        "program": facts.program,
        "args_json": json.dumps(facts.parameters, default=make_plain),
        "args_json_file": facts.json_file,
    }.get(name, f"${{{name}}}")


def _variable(name: str, environ: Mapping[str, str]) -> str:
    variable = name[len(ENVIRONMENT_MACRO) :]
    if not name.startswith(ENVIRONMENT_MACRO) or variable not in environ:
        raise SweepError(f"${{{name}}}: the variable {variable} is not set here")
    return environ[variable]
