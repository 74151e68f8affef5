"""Lines of authorized_keys that let a key do one thing: ``hpctrack receive``. Pure.

A command passes two parsers on its way. sshd ends it at the first quote without a backslash
before it, and leaves every other backslash alone; then the user's shell gets it. So words are
quoted for a POSIX shell first, and the result for sshd. fish is no POSIX shell: there a path with
two backslashes in a row would lose one.
"""

from __future__ import annotations

import datetime as dt
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpctrack.errors import UsageError
from hpctrack.sync.upkeep.public_key import LINE_MAX_CHARS, PublicKey, find_fingerprint

MARK = "hpctrack:"
"""The first word of the comment, with the user behind it: by this we know our lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a key may do.

    Parameters
    ----------
    user : str
        Whose key it is.
    store : str
        The store's folder.
    projects : tuple of str
        Those that may be pushed to; empty means all.
    append_only : bool
        Whether what is there is kept when more comes.
    quota_bytes : int or None
        What each project may hold.
    program : tuple of str
        How hpctrack is started.
    """

    user: str
    store: str
    projects: tuple[str, ...] = ()
    append_only: bool = False
    quota_bytes: int | None = None
    program: tuple[str, ...] = ("hpctrack",)

    def to_words(self) -> list[str]:
        """Return the forced command, word by word."""
        words = [*self.program, "receive", "--store", self.store]
        for project in self.projects:
            words += ["--project", project]
        words += ["--user", self.user]
        if self.append_only:
            words.append("--append-only")
        if self.quota_bytes is not None:
            words += ["--quota", str(self.quota_bytes)]
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """A line of ours.

    Parameters
    ----------
    key : PublicKey
        Without our mark in its comment.
    grant : Grant
        What it may do.
    expires : str
        As sshd wants it, in the server's own time zone: ``20270101`` or ``202701011200``.
    addresses : tuple of str
        Where it may come from; empty means from anywhere.
    """

    key: PublicKey
    grant: Grant
    expires: str = ""
    addresses: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the line, with its end.

        Raises
        ------
        UsageError
            Something in it cannot be written there.
        """
        options = ["restrict", f"command={_quote(shlex.join(self.grant.to_words()))}"]
        if self.expires:
            options.append(f'expiry-time="{self.expires}"')
        if self.addresses:
            options.append(f"from={_quote(','.join(self.addresses))}")
        comment = f"{MARK}{self.grant.user} {self.key.comment}".rstrip()
        data = os.fsencode(f"{','.join(options)} {self.key.kind} {self.key.blob} {comment}\n")
        if len(data) > LINE_MAX_CHARS:
            raise UsageError(
                f"the line has {len(data)} bytes, sshd reads {LINE_MAX_CHARS}",
                hint="use fewer projects, or a shorter path",
            )
        return data


def _quote(text: str) -> str:
    """Return an option's value as sshd reads it back."""
    if any(ord(one) < ord(" ") or one == "\x7f" for one in text):
        raise UsageError("control characters cannot be written to authorized_keys")
    if text.endswith("\\"):
        raise UsageError("a command that ends with a backslash cannot be written there")
    return '"' + text.replace('"', '\\"') + '"'


def parse_key_line(line: bytes) -> KeyLine | None:
    """Return what a line of ours says; None for any other."""
    found = split_line(line)
    if found is None:
        return None
    options, kind, blob, comment = found
    mark, _, rest = comment.partition(" ")
    command = options.get("command")
    if not mark.startswith(MARK) or command is None:
        return None
    grant = _parse_command(command)
    if grant is None:
        return None
    addresses = [one for one in options.get("from", "").split(",") if one]
    return KeyLine(
        key=PublicKey(kind, blob, rest),
        grant=grant,
        expires=options.get("expiry-time", ""),
        addresses=tuple(addresses),
    )


def split_line(line: bytes) -> tuple[dict[str, str], str, str, str] | None:
    """Return options, kind, key and comment of any line of authorized_keys; None if it has no key.

    Of an option that stands there twice the first counts, as it does for sshd.
    """
    text = os.fsdecode(line).strip()
    if not text or text.startswith("#"):
        return None
    for at in (0, _find_end(text)):
        kind, _, rest = text[at:].strip().partition(" ")
        blob, _, comment = rest.strip().partition(" ")
        if _is_key(blob):
            options: dict[str, str] = {}
            for name, value in _iter_options(text[:at]):
                options.setdefault(name, value)
            return options, kind, blob, comment.strip()
    return None


def _is_key(blob: str) -> bool:
    try:
        find_fingerprint(blob)
    except ValueError:
        return False
    return blob.startswith("AAAA")


def _find_end(text: str) -> int:
    """Return where the options end: at the first blank outside quotes."""
    is_quoted, at = False, 0
    while at < len(text) and (is_quoted or text[at] not in " \t"):
        if text.startswith('\\"', at):
            at += 1
        elif text[at] == '"':
            is_quoted = not is_quoted
        at += 1
    return at


def _iter_options(text: str) -> Iterator[tuple[str, str]]:
    start, is_quoted = 0, False
    for at in range(len(text) + 1):
        if at < len(text) and text[at] == '"' and text[at - 1 : at] != "\\":
            is_quoted = not is_quoted
        if at == len(text) or (text[at] == "," and not is_quoted):
            name, _, value = text[start:at].partition("=")
            if name:
                yield name.lower(), value[1:-1].replace('\\"', '"')
            start = at + 1


def _parse_command(command: str) -> Grant | None:
    """Read our own command back."""
    try:
        words = shlex.split(command)
        at = words.index("receive")
    except ValueError:
        return None
    program, rest = words[:at], iter(words[at + 1 :])
    values: dict[str, str] = {}
    projects: list[str] = []
    is_append_only = False
    for word in rest:
        if word == "--append-only":
            is_append_only = True
        elif word == "--project":
            projects.append(next(rest, ""))
        else:
            values[word] = next(rest, "")
    quota = values.get("--quota", "")
    return Grant(
        user=values.get("--user", ""),
        store=values.get("--store", ""),
        projects=tuple(projects),
        append_only=is_append_only,
        quota_bytes=int(quota) if quota.isdigit() else None,
        program=tuple(program),
    )


def make_expiry(moment: dt.date, now: dt.datetime) -> str:
    """Return a moment as sshd wants it.

    Parameters
    ----------
    moment : date or datetime
        A date means its beginning. Without a time zone: of the server's.
    now : datetime
        With a time zone.

    Raises
    ------
    UsageError
        It is over.
    """
    is_day = not isinstance(moment, dt.datetime)
    begins = moment if isinstance(moment, dt.datetime) else dt.datetime.combine(moment, dt.time())
    local = begins.astimezone()
    if local <= now:
        raise UsageError(f"{moment.isoformat()} is over", hint="give a date in the future")
    # Not with a Z, which sshd understands from version 9.1 on only.
    return f"{moment:%Y%m%d}" if is_day else f"{local:%Y%m%d%H%M%S}"


def show_expiry(expires: str) -> str:
    """Return the moment of a line as people write it."""
    day = f"{expires[:4]}-{expires[4:6]}-{expires[6:8]}"
    clock = ":".join(expires[at : at + 2] for at in range(8, len(expires.rstrip("Z")), 2))
    return f"{day} {clock}".rstrip()


def find_program(command_path: Path | None, python: Path, found: str | None) -> tuple[str, ...]:
    """Return how sshd is to start hpctrack.

    Parameters
    ----------
    command_path : Path or None
        What the administrator says.
    python : Path
        The interpreter that runs now.
    found : str or None
        What is called hpctrack on the PATH.

    Raises
    ------
    UsageError
        There is no such program.
    """
    if command_path is not None:
        path = command_path.expanduser().absolute()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise UsageError(f"{path} is no program", hint="--command-path /path/of/hpctrack")
        return (str(path),)
    beside = python.absolute().with_name("hpctrack")
    if beside.is_file():
        return (str(beside),)
    if found is not None:
        return (str(Path(found).absolute()),)
    return (str(python.absolute()), "-m", "hpctrack")
