"""The SSH carrier. The only module that knows paramiko; its errors become ours here."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paramiko

from hpctrack.errors import AuthError, ConnectError, HostKeyError, UsageError
from hpctrack.sync.carriers.known_hosts import (
    KnownKey,
    Verdict,
    judge_key,
    list_key_types,
    make_fingerprint,
    parse_known_hosts,
)
from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.ssh_target import SshTarget, make_host_key_error, make_target
from hpctrack.sync.carriers.tcp import connect_tcp
from hpctrack.sync.carriers.transport import STDERR_KEPT_BYTES, ConnectOptions

HANDSHAKE_TIMEOUT_S = 30.0
"""For banner, key exchange and the server's look-up of the user; a hung sshd becomes an error."""

WRITE_TIMEOUT_S = 600.0
"""A receiver that takes nothing for so long hangs; a suspended laptop wakes up before."""

KEEPALIVE_S = 15
"""Routers forget connections that are silent for minutes, as ours is while runs are sealed."""

WINDOW_BYTES = 16 * 1024 * 1024
"""How much the other side may send ahead; the default of 2 MiB stops it at a long round trip."""

FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
"""Measured: 0.79 of rsync's time with GCM, 1.15 with a counter mode and its MAC."""

_LOST = (paramiko.SSHException, EOFError, OSError)
"""How paramiko says that a connection is no more; anything else is a mistake of ours."""


class ParamikoTransport:
    """``hpctrack receive`` on another machine.

    Parameters
    ----------
    remote : SshRemote
        Where.
    options : ConnectOptions
        Keys, known hosts, the command.

    Raises
    ------
    ConnectError
        Nobody answers there.
    HostKeyError
        Its key is unknown, or another one than before.
    AuthError
        It accepts none of our keys.
    UsageError
        ``ssh_config`` cannot be read, or asks for what is not supported.
    """

    def __init__(self, remote: SshRemote, options: ConnectOptions) -> None:
        target = make_target(remote, options, _read_ssh_config(remote.host, options.ssh_config))
        self.peer = target.shown
        self._stderr = b""
        self._session = paramiko.Transport(
            connect_tcp(target.host, target.port), default_window_size=WINDOW_BYTES
        )
        command = f"{options.remote_command or 'hpctrack'} receive --store "
        try:
            _check_server(self._session, target)
            _log_in(self._session, target)
            self._channel = _start(self._session, target, command + shlex.quote(remote.path))
        except BaseException:
            self._session.close()
            raise
        # paramiko sets it whenever there are bytes to read, or no more will come.
        self._readable = threading.Event()
        self._channel.in_buffer.set_event(self._readable)

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        self._drain_stderr()
        self._channel.settimeout(timeout_s)
        try:
            data: bytes = self._channel.recv(max_bytes)
        except TimeoutError:
            raise
        except _LOST as error:
            raise ConnectionError(_say(error)) from None
        if not data and not self._is_ended():
            raise ConnectionError("the connection was lost")
        return data

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        self._drain_stderr()
        return self._readable.wait(timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything."""
        self._channel.settimeout(WRITE_TIMEOUT_S)
        try:
            self._channel.sendall(data)
        except TimeoutError:
            raise
        except _LOST as error:
            raise ConnectionError(_say(error)) from None

    def read_stderr(self) -> str:
        """Return the end of what the other side has printed so far."""
        self._drain_stderr()
        return self._stderr.decode("utf-8", "replace")

    def wait(self, timeout_s: float) -> int | None:
        """Return the other side's exit status."""
        if not self._channel.status_event.wait(timeout_s):
            return None
        status = int(self._channel.recv_exit_status())
        return None if status < 0 else status

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(*_LOST):
            self._channel.close()
        self._session.close()

    def _is_ended(self) -> bool:
        """Tell an end that the other side has announced from a connection that broke."""
        return bool(self._channel.eof_received)

    def _drain_stderr(self) -> None:
        """Take what is there: both streams share a window, and a full one would stop stdout."""
        while self._channel.recv_stderr_ready():
            data = self._channel.recv_stderr(65536)
            if not data:
                break
            self._stderr = (self._stderr + data)[-STDERR_KEPT_BYTES:]


def _read_ssh_config(host: str, path: Path | None) -> dict[str, Any]:
    path = path or Path("~/.ssh/config").expanduser()
    try:
        found: dict[str, Any] = paramiko.SSHConfig.from_path(str(path)).lookup(host)
    except FileNotFoundError:
        return {}
    except (paramiko.SSHException, OSError, ImportError) as error:
        raise UsageError(f"{path} cannot be used: {_say(error)}") from None
    return found


# -- the server's key --------------------------------------------------------------------------


def _check_server(session: Any, target: SshTarget) -> None:
    """Exchange keys and go on only with a server that the user has vouched for."""
    known = list(_read_known_hosts(target.known_files))
    _choose_algorithms(session, list_key_types(known, target.known_name))
    session.banner_timeout = session.auth_timeout = HANDSHAKE_TIMEOUT_S
    try:
        session.start_client(timeout=HANDSHAKE_TIMEOUT_S)
        key = session.get_remote_server_key()
    except _LOST as error:
        raise ConnectError(
            f"{target.shown} does not speak SSH with us: {_say(error)}",
            hint="is that the port of sshd?",
        ) from None
    verdict = judge_key(known, target.known_name, key.asbytes())
    if verdict != Verdict.TRUSTED:
        raise make_host_key_error(
            target, verdict, f"{key.get_name()} {make_fingerprint(key.asbytes())}"
        )


def _read_known_hosts(paths: Iterable[Path]) -> Iterator[KnownKey]:
    for path in paths:
        try:
            text = path.read_text(errors="replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostKeyError(f"{path} cannot be read: {_say(error)}") from None
        yield from parse_known_hosts(text)


def _choose_algorithms(session: Any, known_types: list[str]) -> None:
    """Ask for a key that can be checked, and for the fast ciphers."""
    wanted = [
        name
        for one in known_types
        for name in (("rsa-sha2-512", "rsa-sha2-256") if one == "ssh-rsa" else (one,))
    ]
    security = session.get_security_options()
    security.key_types = _put_first(wanted, security.key_types)
    security.ciphers = _put_first(FAST_CIPHERS, security.ciphers)


def _put_first(wanted: Any, offered: Any) -> list[str]:
    first = [one for one in wanted if one in offered]
    return [*first, *(one for one in offered if one not in first)]


# -- our keys ----------------------------------------------------------------------------------


def _log_in(session: Any, target: SshTarget) -> None:
    """Offer the files' keys, then the agent's: a server allows only a few attempts."""
    tried: list[str] = []
    locked: list[str] = []
    with contextlib.closing(paramiko.Agent()) if target.uses_agent else _NoAgent() as agent:
        for name, key in [*_load_keys(target, locked), *_list_agent_keys(agent)]:
            tried.append(name)
            try:
                session.auth_publickey(target.user, key)
            except _LOST:
                if not session.is_active():
                    break
                continue
            if session.is_authenticated():
                return
            raise AuthError(
                f"{target.shown} took {name} of {target.user} and asks for a second factor",
                hint="not supported yet; a key that needs none is",
            )
    hint = "put the public key into ~/.ssh/authorized_keys there, or name a key with --identity"
    if locked:
        hint = f"{', '.join(locked)}: locked by a passphrase; `ssh-add` it first"
    shown = ", ".join(tried) or "no key that could be used"
    raise AuthError(f"{target.shown} did not accept {target.user} with {shown}", hint=hint)


def _load_keys(target: SshTarget, locked: list[str]) -> Iterator[tuple[str, Any]]:
    for path in target.identities:
        try:
            yield path.name, paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            # cryptography says TypeError for a passphrase that was not given
            locked.append(path.name)
        except (*_LOST, ValueError) as error:
            if target.identities == (path,):
                raise UsageError(f"{path} is no key: {_say(error)}") from None


class _NoAgent:
    """Stands for ssh-agent when one key was named."""

    def __enter__(self) -> None:
        """Return nothing."""

    def __exit__(self, *_: object) -> None:
        """Close nothing."""


def _list_agent_keys(agent: Any) -> list[tuple[str, Any]]:
    keys = agent.get_keys() if agent is not None else ()
    return [(f"agent:{key.comment or key.get_name()}", key) for key in keys]


def _start(session: Any, target: SshTarget, command: str) -> Any:
    try:
        session.set_keepalive(KEEPALIVE_S)
        channel = session.open_session(timeout=HANDSHAKE_TIMEOUT_S)
        channel.exec_command(command)
    except _LOST as error:
        raise ConnectError(f"{target.shown} does not start a command: {_say(error)}") from None
    return channel


def _say(error: BaseException) -> str:
    """Return an error's words on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
