"""Leaving secrets out of what is recorded: in variables, command lines, scripts and diffs.

Three nets, one behind the other: names that tell that their value is a secret, values that look
like one, and the values that were found behind such names, wherever else they turn up. In doubt
more is hidden than needed; `MASK` stands in its place, so that one sees that something was there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpctrack.telemetry.provenance.secret_names import (
    is_harmless,
    is_password_name,
    is_secret_name,
    is_strong_name,
)
from hpctrack.telemetry.provenance.secret_values import (
    MASK,
    is_hexadecimal,
    is_random,
    mask_digits,
    mask_keys,
    mask_random,
)

KNOWN_MIN_CHARS = 6
"""A shorter secret is hidden where it is named, and not hunted for: it may be any word."""

CHUNK_CHARS = 32 * 1024
"""A long text is searched in pieces: each holds up the process's other threads for a few ms."""

_NAME = r"(?<![A-Za-z0-9_])(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w.-]{0,80})(?P=quote)"
_QUOTED = r"[rbfuRBFU]{0,2}\"(?:\\.|[^\"\\\n]){0,8000}\"|[rbfuRBFU]{0,2}'(?:\\.|[^'\\\n]){0,8000}'"
_BARE = r"[^\s\"';|<>()&,`]{1,400}"
_REST = re.compile(r"[^\s\"';|<>()&,`]*")
"""A word is looked at up to a length, so that a megabyte without a space takes no hour, and hidden
as a whole."""

_ASSIGNMENT = re.compile(
    # name = value, name: type = value, "name": value, environ["name"] = value, ("name", "value")
    rf"(?P<head>{_NAME}[\"'\])]{{0,3}}[ \t]*"
    r"(?::[ \t]*[\w.\[\], |]{1,40}=|=>|:=|[=:]|,(?=[ \t]*[\"']))[ \t]*)"
    rf"(?P<value>{_QUOTED}|{_BARE})"
)
_OPTION = re.compile(
    rf"(?P<head>(?<!\S)--?(?P<name>[A-Za-z][\w.-]*)[ \t]+)(?P<value>{_QUOTED}|(?!-){_BARE})"
)
_HEADER = re.compile(
    r"(?i)(?P<head>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?P<rest>[^\"'\n]+)"
)
_NETRC = re.compile(r"(?P<head>\blogin\s+\S+\s+password\s+)(?P<rest>\S+)")
_TOOL = re.compile(
    r"(?P<head>\b(?:curl\b[^\n;|]{0,400}?\s(?:-u|--user)[ =]?"
    r"|sshpass\s+-p\s*|mysql\w*\b[^\n;|]{0,400}?\s-p))"
    r"(?P<rest>(?!\$)[^\s;|]+)"
)
_REFERENCE = re.compile(r"[\"']?\$(?:\w+|\{[^{}]*\}|\()|[\"']?%\w+%|[\"']?\{\{?[\w. ]*\}")
"""``$TOKEN``, ``$(cat file)``: where a secret is, not what it is."""

_CODE = re.compile(
    r"\.(?:py|pyx|pxd|pyi|ipynb|c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hip|f|f90|f95|f03|f08|for|rs|go|js|mjs"
    r"|ts|tsx|jsx|java|kt|jl|m|r|R|lua|scala|swift|cs|rb|php|pl|css|html|md|rst|tex)$"
)
"""In these what stands unquoted behind a name is an expression, or prose."""

_PROGRAM_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "sshpass": ("-p",),
    "curl": ("-u", "--user", "-U", "--proxy-user"),
    "redis-cli": ("-a",),
    "docker": ("-p",),
    "podman": ("-p",),
    "ldapsearch": ("-w",),
    "smbclient": ("-U",),
    "mongo": ("-p",),
    "mongosh": ("-p",),
}
"""Options whose next word is a secret although they do not say so."""

_ATTACHED_PROGRAMS = re.compile(r"mysql\w*|mariadb[\w-]*|sshpass|mongo\w*|7z\w?")
_NO_PASSWORD = re.compile(r"[a-z][a-z_-]*|[\d.,:x_-]+")
"""``-pthread``, ``-p8080``: what hangs on a ``-p`` and is no password, unless a data base's."""

_IDENTITY = re.compile(r"(?i)(?:_|-|\b)(?:u?u?id|hash|sha\d*|commit|digest|rev|revision|tag)$")


class Masker:
    """Hides secrets; remembers those that it was shown.

    Parameters
    ----------
    environ : mapping, optional
        The program's environment: what its secrets are is hidden everywhere.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for name, value in (environ or {}).items():
            if is_secret_name(name) and not is_harmless(name, value):
                self._remember(name, value)

    def variable(self, name: str, value: str) -> str:
        """Return the value of an environment variable as it may be written."""
        if is_secret_name(name) and not is_harmless(name, value):
            return MASK
        if is_hexadecimal(value):
            return value if _IDENTITY.search(name) else MASK
        return self.text(value)

    def arguments(self, words: Sequence[str]) -> list[str]:
        """Return a command line as it may be written."""
        masked: list[str] = []
        program, option = "", ""
        for word, following in zip(words, [*words, ""][1:], strict=True):
            name = word.rpartition("/")[2]
            if not program or name in _PROGRAM_OPTIONS or _ATTACHED_PROGRAMS.fullmatch(name):
                program = name
            if option:
                self._remember(option, word)
                masked.append(MASK)
                option = ""
                continue
            if _hides_next(program, word, following):
                option = word
            masked.append(self._argument(program, word))
        # What was learned from one word may be in an earlier one.
        return [self._hide_known(one) for one in masked]

    def text(self, text: str, *, is_code: bool = False) -> str:
        """Return a text as it may be written; it keeps its lines.

        Parameters
        ----------
        text : str
            A script, a value, a file.
        is_code : bool
            Only what is quoted can be a secret by its name; else any word can.
        """
        chunks = _split_lines(mask_keys(text), CHUNK_CHARS)
        text = "".join([self._mask_chunk(one, is_code=is_code) for one in chunks])
        return self._hide_known(text)

    def _mask_chunk(self, text: str, *, is_code: bool) -> str:
        for pattern in (_HEADER, _NETRC, _TOOL):
            text = pattern.sub(self._mask_rest, text)
        text = self._mask_named(_ASSIGNMENT, text, is_code=is_code)
        if not is_code:
            text = self._mask_named(_OPTION, text, is_code=False)
        text = mask_random(text)
        return "\n".join([mask_digits(line) for line in text.split("\n")])

    def diff(self, text: str) -> str:
        """Return a diff as it may be written; it keeps its lines, and what each begins with."""
        parts = re.split(r"(?m)^(?=diff --git )", text)
        return self._hide_known("".join([self._file_diff(one) for one in parts]))

    def anything(self, value: Any) -> Any:
        """Return a JSON-able value without known secrets and keys of known make: the last net."""
        if isinstance(value, str):
            return mask_keys(self._hide_known(value))
        if isinstance(value, Mapping):
            return {self._hide_known(str(key)): self.anything(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.anything(item) for item in value]
        return value

    def _argument(self, program: str, word: str) -> str:
        head, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[-\w.+/:@]+", head):
            if is_secret_name(head) and not is_harmless(head, value):
                self._remember(head, value)
                return f"{head}={MASK}"
            if is_hexadecimal(value):
                return word if _IDENTITY.search(head) else f"{head}={MASK}"
        rest = word[2:]
        if word.startswith("-p") and rest and "=" not in rest:
            is_known = bool(_ATTACHED_PROGRAMS.fullmatch(program))
            if is_known or not _NO_PASSWORD.fullmatch(rest):
                self._remember("password", rest)
                return f"-p{MASK}"
        return MASK if is_hexadecimal(word) else self.text(word)

    def _file_diff(self, part: str) -> str:
        head, mark, body = part.partition("\n@@")
        found = re.findall(r"(?m)^(?:\+\+\+|---) \"?(?:[ab]/)?(.*?)[\t\"]*$", head)
        is_code = any(_CODE.search(one) for one in found)
        return mask_keys(head) + mark + self.text(body, is_code=is_code)

    def _mask_rest(self, found: re.Match[str]) -> str:
        for word in re.split(r"[\s:;,]+", found["rest"]):
            self._remember("token", word)
        return f"{found['head']}{MASK}"

    def _mask_named(self, pattern: re.Pattern[str], text: str, *, is_code: bool) -> str:
        """Hide the values behind the names that a pattern finds."""
        parts: list[str] = []
        done = start = 0
        while found := pattern.search(text, start):
            if self._is_secret(found, is_code=is_code):
                quote = _quote_of(found["value"])
                parts += [text[done : found.end("head")], quote, MASK, quote]
                rest = None if quote else _REST.match(text, found.end())
                done = start = rest.end() if rest else found.end()
            else:
                start = found.end("head")  # a value may hold a name and value of its own
        return "".join([*parts, text[done:]])

    def _is_secret(self, found: re.Match[str], *, is_code: bool) -> bool:
        name, value = found["name"], found["value"]
        quote = _quote_of(value)
        plain = value[value.index(quote) + 1 : -1] if quote else value
        if not is_secret_name(name) or is_harmless(name, plain) or plain == MASK:
            return False
        if _REFERENCE.match(value) or (is_code and not quote):
            return False
        if not is_strong_name(name) and not _may_be_key(plain):
            return False
        self._remember(name, plain)
        return True

    def _remember(self, name: str, value: str) -> None:
        """Hide this value from now on wherever it is, unless it is an ordinary word."""
        value = value.strip().strip("\"'")
        if len(value) < KNOWN_MIN_CHARS or MASK in value or _REFERENCE.match(value):
            return
        is_path = value.startswith(("/", "~", "./", "../")) and not is_random(value)
        if not is_path and (is_password_name(name) or _may_be_key(value)):
            self._known.add(value)
            self._pattern = None

    def _hide_known(self, text: str) -> str:
        if not self._known:
            return text
        if self._pattern is None:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        return self._pattern.sub(MASK, text)


def count_masked(value: Any) -> int:
    """Return how often something is hidden in a JSON-able value."""
    if isinstance(value, str):
        return value.count(MASK)
    if isinstance(value, Mapping):
        return sum(map(count_masked, (*value, *value.values())))
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return sum(map(count_masked, value))
    return 0


def _split_lines(text: str, size: int) -> Iterator[str]:
    """Yield a text in pieces of about a size that end with a line."""
    start = 0
    while start < len(text):
        end = text.find("\n", start + size) + 1 or len(text)
        yield text[start:end]
        start = end


def _quote_of(value: str) -> str:
    """Return the quote that a whole value is in."""
    is_quoted = len(value) > 1 and value[-1] in {'"', "'"}
    return value[-1] if is_quoted else ""


def _hides_next(program: str, word: str, following: str) -> bool:
    """Tell whether a word is an option whose value is the next one, and a secret."""
    if not word.startswith("-") or "=" in word or not following:
        return False
    if word in _PROGRAM_OPTIONS.get(program, ()):
        return True
    is_option = re.match(r"--?[A-Za-z]", following) is not None
    is_name = re.fullmatch(r"[-\w.]+", word) is not None
    return is_name and not is_option and is_secret_name(word) and not is_harmless(word, following)


def _may_be_key(text: str) -> bool:
    """Tell whether a text behind a word such as ``key`` is more than a column's name."""
    if len(text) < 8 or " " in text:  # noqa: PLR2004 - no key is shorter
        return False
    is_mixed = not (text.islower() or text.isupper())
    return any(map(str.isdigit, text)) or is_mixed or (len(text) >= 16 and text.isalnum())  # noqa: PLR2004 - longer than a word
