"""What ``ssh_config`` says about a host: read by ``ssh -G``, which knows every rule of it."""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.settings import copy_environment, environment
from hpctrack.errors import UsageError

READ_TIMEOUT_S = 10.0
"""A ``Match exec`` may run anything; one that hangs is an error, not a wait."""

_TOKEN = re.compile(r"%([%a-zA-Z])")


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The settings of one host.

    Parameters
    ----------
    values : mapping
        Names in lower case and what was said of each, in order. ``ssh -G`` tells defaults too.
    source : Path or None
        The file that was named, or stands for the user's own; None for the usual ones.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: Path | None = None

    def first(self, name: str, default: str = "") -> str:
        """Return the first value, or a default; ``none`` counts as nothing said."""
        found = self.values.get(name, ())
        return found[0] if found and found[0].lower() != "none" else default

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value."""
        return tuple(one for one in self.values.get(name, ()) if one.lower() != "none")

    def is_on(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return self.first(name).lower() in {"yes", "true"}


def read_host_config(
    host: str, *, user: str | None = None, port: int | None = None, path: Path | None = None
) -> HostConfig:
    """Read the configuration of a host.

    Parameters
    ----------
    host : str
        As the user calls it.
    user, port : optional
        What was given with it; ``Match`` may ask for them.
    path : Path, optional
        Instead of the user's and the system's files.

    Raises
    ------
    UsageError
        A file cannot be read or understood.
    """
    path = path or _find_other_home()
    program = find_ssh()
    if program is None:
        return HostConfig(_read_by_paramiko(host, path), path)
    words = [program, "-G", *(["-F", str(path)] if path else ())]
    words += [*(["-p", str(port)] if port else ()), *(["-l", user] if user else ()), "--", host]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            env=copy_environment(),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=READ_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"ssh_config takes more than {READ_TIMEOUT_S:g} s to say what it knows of {host}",
            hint="see its `Match exec` lines: ssh -G " + host,
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{path or 'ssh_config'} cannot be used: {last}")
    return HostConfig(parse_config_dump(done.stdout), path)


def find_ssh() -> str | None:
    """Return the system's ``ssh`` program, if there is one."""
    return shutil.which("ssh", path=environment().get("PATH"))


def parse_config_dump(text: str) -> dict[str, tuple[str, ...]]:
    """Parse what ``ssh -G`` prints: a name and a value in each line. Pure."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        name, _space, value = line.strip().partition(" ")
        if name and value:
            found[name.lower()] = (*found.get(name.lower(), ()), value.strip())
    return found


def expand(text: str, facts: Mapping[str, str]) -> Path:
    """Replace ``~`` and the ``%`` tokens that ssh_config(5) names in the path of a file."""
    filled = _TOKEN.sub(lambda found: facts.get(found[1], found[0]), text)
    return Path(filled).expanduser()


def make_facts(given: str, host: str, port: int, user: str, alias: str) -> dict[str, str]:
    """Return what the ``%`` tokens stand for."""
    local = socket.gethostname()
    digest = hashlib.sha1(f"{local}{host}{port}{user}".encode(), usedforsecurity=False)
    return {
        "%": "%",
        "C": digest.hexdigest(),
        "d": str(Path("~").expanduser()),
        "h": host,
        "i": str(os.getuid()),
        "k": alias or host,
        "L": local.partition(".")[0],
        "l": local,
        "n": given,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }


def move_home(path: Path) -> Path:
    """Return a file of the account's home as one of ``$HOME``.

    ssh goes by the account, everything else by ``$HOME``. Where the two differ, say in a
    container, the user means the latter.
    """
    account, ours = _account_home(), Path("~").expanduser()
    if account != ours and path.is_relative_to(account / ".ssh"):
        return ours / path.relative_to(account)
    return path


def _find_other_home() -> Path | None:
    own = Path("~/.ssh/config").expanduser()
    is_other = Path("~").expanduser() != _account_home()
    return own if is_other and own.is_file() else None


def _account_home() -> Path:
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path("~").expanduser()


def _read_by_paramiko(host: str, path: Path | None) -> dict[str, tuple[str, ...]]:
    from hpctrack.sync.carriers.paramiko.config import (  # noqa: PLC0415 - an extra, slow to import
        read_config,
    )

    return dict(_split(read_config(host, path or Path("~/.ssh/config").expanduser())))


def _split(found: Mapping[str, str | list[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, value in found.items():
        yield name, tuple(value) if isinstance(value, list) else (value,)
