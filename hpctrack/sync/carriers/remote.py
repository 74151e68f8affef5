"""Where to push to: ``ssh://user@host:port/path`` or a folder of this machine. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hpctrack.errors import UsageError

SSH_PORT = 22

_FORM_HINT = "write ssh://user@host/path/of/the/store or the path of a local folder"
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%\-]*\Z")
_USER = re.compile(r"[^\s@:/\-\x00-\x1f'\"`$;&|<>(){}\\][^\s@:/\x00-\x1f'\"`$;&|<>(){}\\]*\Z")
_SCP_FORM = re.compile(r"(?:[^/@\s]+@)?[^/:\s]+:")


@dataclass(frozen=True, slots=True)
class SshRemote:
    """A store on another machine.

    Parameters
    ----------
    host : str
        As given; ``ssh_config`` may know it under another name.
    path : str
        Absolute, or beginning with ``~``.
    user : str or None
    port : int or None
        None leaves it to ``ssh_config``.
    """

    host: str
    path: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        """Return the URL."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        slash = "" if self.path.startswith("/") else "/"
        return f"ssh://{user}{host}{port}{slash}{self.path}"


@dataclass(frozen=True, slots=True)
class LocalRemote:
    """A store on this machine."""

    path: Path

    def __str__(self) -> str:
        """Return the path."""
        return str(self.path)


Remote = SshRemote | LocalRemote


def parse_remote(text: str) -> Remote:
    """Read a remote.

    Parameters
    ----------
    text : str
        ``ssh://[user@]host[:port]/path`` (``/~/path`` is below the home folder there),
        ``file:///path`` or a path.

    Raises
    ------
    UsageError
        It is none of these, has a password in it, or a path that cannot be one.
    """
    scheme, separator, _rest = text.partition("://")
    if not separator:
        return _parse_path(text)
    if scheme.lower() == "ssh":
        return _parse_ssh(text)
    if scheme.lower() == "file":
        parts = urlsplit(text)
        if parts.netloc not in {"", "localhost"} or not parts.path:
            raise UsageError(f"{text!r} is not a local folder", hint="write file:///path")
        return LocalRemote(Path(_check_path(unquote(parts.path), text)))
    raise UsageError(f"a remote cannot begin with {scheme + '://'!r}", hint=_FORM_HINT)


def _parse_path(text: str) -> LocalRemote:
    if not text.strip():
        raise UsageError("the remote is empty", hint=_FORM_HINT)
    if _SCP_FORM.match(text):
        host, _colon, path = text.partition(":")
        rooted = path if path.startswith("/") else f"/~/{path}"
        raise UsageError(f"{text!r} is not a remote", hint=f"write ssh://{host}{rooted}")
    return LocalRemote(Path(_check_path(text, text)).expanduser())


def _parse_ssh(text: str) -> SshRemote:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is not a remote: {error}", hint=_FORM_HINT) from None
    if parts.password is not None:
        # Not repeated in the message: it would end in logs and histories.
        raise UsageError("a remote must not have a password in it", hint="use a key, or ssh-agent")
    if parts.query or parts.fragment:
        raise UsageError(f"{text!r} has a '?' or '#' in it", hint="write them as %3F and %23")
    user = unquote(parts.username) if parts.username else None
    # A leading '-' would be an option to a program that is started with it.
    if not host or not _HOST.match(host) or (user is not None and not _USER.match(user)):
        raise UsageError(f"{text!r} has no host or user that can be", hint=_FORM_HINT)
    if port == 0:
        raise UsageError(f"{text!r} has port 0", hint=_FORM_HINT)
    path = _check_path(unquote(parts.path), text)
    if path in {"", "/"}:
        raise UsageError(f"{text!r} does not say where the store is", hint=_FORM_HINT)
    if path.startswith("/~"):
        path = path[1:]
    # urlsplit folds the host's case; ssh_config and known_hosts patterns do not care.
    return SshRemote(host, path, user, port)


def _check_path(path: str, text: str) -> str:
    if any(not one.isprintable() for one in path):
        raise UsageError(f"{text!r} has control characters in its path")
    return path
