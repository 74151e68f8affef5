"""Recorded words as words of a shell script: quoted, at new places, gaps where secrets were."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpctrack.telemetry.provenance.secret_values import MASK

_SAFE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(slots=True)
class ShellWords:
    """Writes words for a script in which some folders are elsewhere.

    Parameters
    ----------
    moved : mapping
        What stands for a recorded folder, in the shell's words: ``{"/home/me/it": '"$code"'}``.
    hidden : dict
        Filled with the variables that ask for what was not recorded, and what that is.
    """

    moved: Mapping[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def word(self, text: str, what: str = "") -> str:
        """Return one word, quoted.

        Parameters
        ----------
        text : str
        what : str
            What a secret in it is called, such as the option before it.
        """
        found = self._find_moved(text)
        if found is not None:
            start, old = found
            end = start + len(old)
            after = self.word(text[end:], what) if text[end:] else ""
            return self._literal(text[:start], what) + self.moved[old] + after
        return self._literal(text, what) or "''"

    def command(self, words: Sequence[str]) -> str:
        """Return a command line."""
        before = ["", *words][: len(words)]
        return " ".join(
            self.word(one, _what_is(one, previous))
            for one, previous in zip(words, before, strict=True)
        )

    def export(self, name: str, value: str) -> str:
        """Return the line that sets an environment variable; empty if that has no such name."""
        return f"export {name}={self.word(value, name)}" if _SAFE_NAME.match(name) else ""

    def _literal(self, text: str, what: str) -> str:
        if MASK not in text:
            return shlex.quote(text) if text else ""
        name = self._ask_for(what)
        parts = [shlex.quote(one) if one else "" for one in text.split(MASK)]
        return f'"${{{name}}}"'.join(parts)

    def _ask_for(self, what: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", what).strip("_").upper() or "SECRET"
        name = f"RERUN_{plain}"
        number = 2
        while self.hidden.get(name, what) != what:
            name, number = f"RERUN_{plain}_{number}", number + 1
        self.hidden[name] = what
        return name

    def _find_moved(self, text: str) -> tuple[int, str] | None:
        """Return where in a text one of the moved folders is, and which one."""
        for old in sorted(self.moved, key=len, reverse=True):
            found = re.search(rf"(?<![\w./-]){re.escape(old)}(?=/|$|[:,;\"' ])", text)
            if found:
                return found.start(), old
        return None


def resolve(word: str, cwd: str) -> str:
    """Return an absolute path for a word that is a path in a folder."""
    return os.path.normpath(word if word.startswith("/") else f"{cwd}/{word}")


def _what_is(word: str, previous: str) -> str:
    head, equals, _value = word.partition("=")
    if equals:
        return head
    return previous if previous.startswith("-") and "=" not in previous else "secret"
