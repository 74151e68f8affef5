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
    counts_things,
    is_harmless,
    is_password_name,
    is_secret_name,
    is_strong_name,
)
from hpctrack.telemetry.provenance.secret_places import (
    ASSIGNMENT,
    ATTACHED_PROGRAMS,
    BLOCK,
    CONTINUED,
    ELEMENT,
    EXPANSION,
    EXPRESSION,
    FED,
    GLUED,
    HEADER,
    HERE,
    INNER,
    LITERAL,
    LOGIN,
    LOGIN_OPTIONS,
    MAGIC,
    NETRC,
    NEXT_LINE,
    NO_PASSWORD,
    OPENING,
    OPTION,
    PAIR,
    PIPED,
    PROGRAM_OPTIONS,
    QUEUE_PROGRAMS,
    REFERENCE,
    REMOVED,
    REST,
    SETTER,
    SETTERS,
    TOOL,
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

_CODE = re.compile(
    r"\.(?:py|pyx|pxd|pyi|ipynb|c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hip|f|f90|f95|f03|f08|for|rs|go|js|mjs"
    r"|ts|tsx|jsx|java|kt|jl|m|r|R|lua|scala|swift|cs|rb|php|pl|css|html|md|rst|tex)$"
)
"""In these what stands unquoted behind a name is an expression, or prose."""

_IDENTITY = re.compile(
    r"(?i)(?:_|-|\b)(?:u?u?id|(?:job|step|task|ap|run|group)id|hash|sha\d*|commit|digest|rev|revision|tag)$"
)


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
        is_named = is_strong_name(name) or (is_secret_name(name) and not _is_spoken(value))
        if is_named and not is_harmless(name, value):
            return MASK
        if is_hexadecimal(value):
            return value if _IDENTITY.search(name) else MASK
        return self.text(value)

    def arguments(self, words: Sequence[str]) -> list[str]:
        """Return a command line as it may be written."""
        masked: list[str] = []
        program, option, before = "", "", ""
        for word, following in zip(words, [*words, ""][1:], strict=True):
            name = word.rpartition("/")[2]
            is_known = name in PROGRAM_OPTIONS or name in QUEUE_PROGRAMS
            if not program or is_known or ATTACHED_PROGRAMS.fullmatch(name):
                program = name
            if option:
                self._remember(option, word)
                masked.append(MASK)
                option = ""
                continue
            is_setter = before in SETTERS and is_secret_name(word)
            if is_setter or _hides_next(program, word, following):
                option = word
            masked.append(self._argument(program, word, before))
            before = word
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
        for pattern in (HEADER, NETRC, TOOL, PIPED, FED):
            text = pattern.sub(self._mask_rest, text)
        if is_code:
            text = MAGIC.sub(lambda line: self._mask_script(line[0]), text)
            text = self._mask_named(ASSIGNMENT, text, is_code=True)
            text = EXPRESSION.sub(self._mask_expression, text)
            text = LITERAL.sub(self._mask_inside, text)
        else:
            text = self._mask_script(text)
            text = BLOCK.sub(self._mask_block, self._mask_named(ELEMENT, text, is_code=False))
        text = mask_random(text)
        return "\n".join([mask_digits(line) for line in text.split("\n")])

    def _mask_script(self, text: str) -> str:
        text = EXPANSION.sub(self._mask_expansion, text)
        text = self._mask_continued(text)
        for pattern in (ASSIGNMENT, SETTER, OPTION, HERE):
            text = self._mask_named(pattern, text, is_code=False)
        return PAIR.sub(self._mask_pair, text)

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

    def texts(self, value: Any) -> Any:
        """Return a JSON-able value whose texts are as they may be written, see `text`."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(key): self.texts(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.texts(item) for item in value]
        return value

    def _argument(self, program: str, word: str, before: str) -> str:
        head, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[-\w.+/:@]+", head):
            is_named = is_strong_name(head) or (is_secret_name(head) and _may_be_key(value))
            is_login = head in LOGIN_OPTIONS and LOGIN.fullmatch(value)
            if (is_named and not is_harmless(head, value)) or is_login:
                self._remember(head, value)
                return f"{head}={MASK}"
            if is_hexadecimal(value):
                return word if _IDENTITY.search(head) else f"{head}={MASK}"
        rest = word[2:]
        if program == "curl" and word.startswith("-u") and rest:
            self._remember("password", rest)
            return f"-u{MASK}"
        if word.startswith("-p") and rest and "=" not in rest and program not in QUEUE_PROGRAMS:
            is_known = bool(ATTACHED_PROGRAMS.fullmatch(program))
            if is_known or not NO_PASSWORD.fullmatch(rest):
                self._remember("password", rest)
                return f"-p{MASK}"
        if is_hexadecimal(word):
            return word if _IDENTITY.search(before) or before == "checkout" else MASK
        return self.text(word)

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
                opening, closing = _quotes_of(found["value"])
                parts += [text[done : found.end("head")], opening, MASK, closing]
                more = REST if not closing else None if is_code else GLUED
                rest = more.match(text, found.end()) if more else None
                done = start = rest.end() if rest else found.end()
            else:
                # A value may hold a name and value of its own, and what looks like a type, too.
                start = found.end("name")
        return "".join([*parts, text[done:]])

    def _mask_continued(self, text: str) -> str:
        """Hide the value in the line behind ``KEY=`` and a backslash, old or new."""
        parts: list[str] = []
        done = 0
        while found := CONTINUED.search(text, done):
            parts.append(text[done : found.end()])
            done = found.end()
            name = found["name"] or found["option"]
            if not is_secret_name(name):
                continue
            is_removed = text.startswith("-", text.rfind("\n", 0, found.start()) + 1)
            if not is_removed and text.startswith("-", done):
                removed = REMOVED.match(text, done)
                parts.append(self._mask_first(name, removed[0] if removed else ""))
                done = removed.end() if removed else done
            end = text.find("\n", done) + 1 or len(text)
            parts.append(self._mask_first(name, text[done:end]))
            done = end
        return "".join([*parts, text[done:]])

    def _mask_first(self, name: str, text: str) -> str:
        """Hide the word with which the first line begins if it can be the value of a name."""
        line = NEXT_LINE.match(text)
        if not line or not self._is_secret_value(name, line["value"]):
            return text
        opening, closing = _quotes_of(line["value"])
        return f"{line['head']}{opening}{MASK}{closing}{text[line.end() :]}"

    def _is_secret_value(self, name: str, value: str, following: str = "") -> bool:
        """Tell whether a value behind a secret's name is one; remember it if so."""
        plain = _unquote(value)
        if is_harmless(name, plain) or plain in {MASK, "\\"} or REFERENCE.match(value + following):
            return False
        if not is_strong_name(name) and not _may_be_key(plain):
            return False
        self._remember(name, plain)
        return True

    def _mask_expression(self, found: re.Match[str]) -> str:
        """Hide the texts in what is assigned to a secret's name."""
        name = found["name"]
        if not is_strong_name(name) or counts_things(name):
            return found["head"] + EXPRESSION.sub(self._mask_expression, found["value"])

        def mask(one: re.Match[str]) -> str:
            plain = _unquote(one[0])
            if not _is_drawn_up(plain) or is_harmless(name, plain):
                return one[0]
            self._remember(name, plain)
            opening, closing = _quotes_of(one[0])
            return f"{opening}{MASK}{closing}"

        return found["head"] + LITERAL.sub(mask, found["value"])

    def _mask_expansion(self, found: re.Match[str]) -> str:
        return f"{found['head']}{MASK}" if self._is_secret(found, is_code=False) else found[0]

    def _mask_inside(self, found: re.Match[str]) -> str:
        """Hide what a text in code assigns."""
        return INNER.sub(self._mask_pair, found[0]) if "=" in found[0] else found[0]

    def _mask_pair(self, found: re.Match[str]) -> str:
        name, plain = found["name"], _unquote(found["value"])
        is_named = is_strong_name(name) and not counts_things(name)
        if not is_named or is_harmless(name, plain) or not _is_drawn_up(plain):
            return found[0]
        self._remember(name, plain)
        opening, closing = _quotes_of(found["value"])
        return f"{found['head']}{opening}{MASK}{closing}"

    def _mask_block(self, found: re.Match[str]) -> str:
        """Hide the lines of a text in YAML that is a secret; a diff keeps its lines."""
        if not is_strong_name(found["name"]):
            return found[0]
        lines = found["rest"].split("\n")
        for one in lines:
            self._remember("password", one.lstrip("+- "))
        return found["head"] + "\n".join(
            [re.sub(r"^([+-]?\s*)\S.*", rf"\1{MASK}", one) for one in lines]
        )

    def _is_secret(self, found: re.Match[str], *, is_code: bool) -> bool:
        name, value = found["name"], found["value"]
        if not is_secret_name(name) or (is_code and _unquote(value) == value):
            return False
        following = found.string[found.end("value") : found.end("value") + 1]
        return self._is_secret_value(name, value, following)

    def _remember(self, name: str, value: str) -> None:
        """Hide this value from now on wherever it is, unless it is an ordinary word."""
        value = value.strip().strip("\"'")
        if len(value) < KNOWN_MIN_CHARS or MASK in value or REFERENCE.match(value):
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


def _quotes_of(value: str) -> tuple[str, str]:
    """Return what opens and closes a whole value that is quoted; else nothing."""
    found = OPENING.match(value)
    if not found or len(value) < found.end() + len(found["mark"]):
        return "", ""
    return (found[0], found["mark"]) if value.endswith(found["mark"]) else ("", "")


def _unquote(value: str) -> str:
    opening, closing = _quotes_of(value)
    return value[len(opening) : -len(closing)] if closing else value


def _hides_next(program: str, word: str, following: str) -> bool:
    """Tell whether a word is an option, or a name, whose value is the next one, and a secret."""
    if "=" in word or not following:
        return False
    is_option = re.match(r"--?[A-Za-z]", following) is not None
    if word in PROGRAM_OPTIONS.get(program, ()) or (
        program == "curl" and re.fullmatch(r"-[A-Za-z]{1,6}u", word)
    ):
        # ``docker run -p 8080:80`` is a port
        return not (is_option or re.fullmatch(r"[\d.:/-]+(?:tcp|udp)?", following))
    if not word.startswith("-"):
        is_name = re.fullmatch(r"[A-Za-z][\w.]*", word) is not None
        return is_name and is_strong_name(word) and not is_option and _is_drawn_up(following)
    if word in LOGIN_OPTIONS:
        return LOGIN.fullmatch(following) is not None
    is_name = re.fullmatch(r"[-\w.]+", word) is not None
    return (
        is_name and not is_option and is_secret_name(word) and not is_harmless(word, following)
        and (is_strong_name(word) or not _is_spoken(following))
    )  # fmt: skip


def _may_be_key(text: str) -> bool:
    """Tell whether a text behind a word such as ``key`` is more than a column's name."""
    if len(text) < 8 or " " in text or _is_spoken(text):  # noqa: PLR2004 - no key is shorter
        return False
    is_mixed = not (text.islower() or text.isupper())
    return any(map(str.isdigit, text)) or is_mixed or (len(text) >= 16 and text.isalnum())  # noqa: PLR2004 - longer than a word


def _is_spoken(text: str) -> bool:
    """Tell whether a text is words with a few numbers: ``train_loss_2``, ``meta/Llama-3.1-8B``."""
    words = re.split(r"[-_./: ]+", text)
    is_each = all(
        re.fullmatch(r"(?:[A-Z]?[a-z]*|[A-Z]+)\d{0,4}[A-Za-z]{0,2}", one) for one in words
    )
    return is_each and len(words) > 1 and any(re.match(r"[A-Z]?[a-z]{3}", one) for one in words)


def _is_drawn_up(text: str) -> bool:
    """Tell whether a text is a secret although only a space or a call joins it to a name."""
    is_word = re.fullmatch(r"[\w.+/=@!#~-]+", text) is not None
    return (
        is_word and _may_be_key(text) and any(map(str.isdigit, text)) and not is_secret_name(text)
    )
