"""Which carrier goes to a remote, and why."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.errors import AuthError, MissingPackageError, UsageError
from hpctrack.sync.carriers import terminal
from hpctrack.sync.carriers.command import make_command
from hpctrack.sync.carriers.host_config import HostConfig, find_ssh, read_host_config
from hpctrack.sync.carriers.limited import LimitedTransport
from hpctrack.sync.carriers.openssh import OpensshTransport
from hpctrack.sync.carriers.process_transport import ProcessTransport
from hpctrack.sync.carriers.remote import LocalRemote, Remote, SshRemote
from hpctrack.sync.carriers.ssh_target import Hop, SshTarget, plan_way
from hpctrack.sync.carriers.tcp import begin_tcp
from hpctrack.sync.carriers.transport import ConnectOptions, Transport

Kind = Literal["paramiko", "ssh"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A carrier.

    Parameters
    ----------
    kind : str
    reason : str
        Why, or empty if it is the usual one.
    """

    kind: Kind
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What this machine has.

    Parameters
    ----------
    ssh : str or None
        The path of the program.
    has_paramiko, has_ticket : bool
        The package; a ticket of Kerberos.
    """

    ssh: str | None
    has_paramiko: bool
    has_ticket: bool


def open_transport(
    remote: Remote,
    options: ConnectOptions,
    *,
    bwlimit_bytes_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Transport:
    """Start ``hpctrack receive`` at a remote.

    Parameters
    ----------
    remote : Remote
        Where.
    options : ConnectOptions
        Keys, known hosts, the command, the carrier.
    bwlimit_bytes_s : float, optional
        Send at most so many bytes in a second.
    clock : Clock, optional

    Raises
    ------
    MissingPackageError, UsageError
        The carrier is not installed; ssh_config cannot be used; a key is not there.
    ConnectError, HostKeyError, AuthError
        The host cannot be reached or trusted, or does not let us in. Over the system's ``ssh``
        these come from the first read or write.
    """
    if isinstance(remote, LocalRemote):
        found: Transport = ProcessTransport(remote.path, remote_command=options.remote_command)
    else:
        found = _open_ssh(remote, options, clock)
    if bwlimit_bytes_s is not None:
        return LimitedTransport(found, bwlimit_bytes_s, clock=clock)
    return found


LEAVE_S = 0.5


class PendingTransport:
    """A transport that is being opened on a thread: a login takes half a second, imports too.

    Parameters
    ----------
    remote, options, bwlimit_bytes_s, clock
        As for `open_transport`.
    """

    def __init__(
        self,
        remote: Remote,
        options: ConnectOptions,
        *,
        bwlimit_bytes_s: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._found: Transport | None = None
        self._error: BaseException | None = None
        self._is_left = False
        self._lock = threading.Lock()

        def work() -> None:
            try:
                found = open_transport(
                    remote, options, bwlimit_bytes_s=bwlimit_bytes_s, clock=clock
                )
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                self._error = error
                return
            with self._lock:
                self._found = found
                is_left = self._is_left
            if is_left:
                found.close()

        self._thread = threading.Thread(target=work, name="open", daemon=True)
        self._thread.start()

    def result(self) -> Transport:
        """Wait until it is open, and return it; it is then the caller's to close.

        Raises
        ------
        HpctrackError
            What `open_transport` raises.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._found is not None  # noqa: S101 - or there were an error
        return self._found

    def close(self) -> None:
        """Close what is or will be open, without waiting for it long."""
        with self._lock:
            self._is_left = True
            found = self._found
        if found is not None:
            found.close()
        # A thread in the middle of a login must not meet the end of the interpreter, if it can be.
        self._thread.join(LEAVE_S)


def choose_carrier(
    configs: Iterable[HostConfig], way: tuple[SshTarget, ...], options: ConnectOptions, means: Means
) -> Choice:
    """Choose a carrier. Pure.

    Parameters
    ----------
    configs : iterable of HostConfig
        Of all machines on the way.
    way : tuple of SshTarget
        The same.
    options : ConnectOptions
        May name it.
    means : Means

    Raises
    ------
    MissingPackageError, UsageError
        There is none, or not the one that was asked for.
    """
    if options.transport == "ssh" and means.ssh is None:
        raise UsageError("there is no program `ssh` on this machine", hint="--transport paramiko")
    if options.transport == "paramiko" and not means.has_paramiko:
        raise MissingPackageError("paramiko", extra="sync")
    if options.transport != "auto":
        return Choice(options.transport, "asked for")
    if means.ssh is None:
        if not means.has_paramiko:
            raise MissingPackageError("paramiko", extra="sync")
        return Choice("paramiko")
    if not means.has_paramiko:
        return Choice("ssh", "paramiko is not installed")
    reasons = (reason for one in configs for reason in _list_reasons(one, means))
    reason = next(reasons, "")
    if not reason and way[-1].identities and all(map(_is_on_token, way[-1].identities)):
        reason = "the key is on a token"
    return Choice("ssh", reason) if reason else Choice("paramiko")


def _list_reasons(config: HostConfig, means: Means) -> Iterable[str]:
    """Yield what ssh_config asks for that only ``ssh`` can do."""
    if config.first("controlpath"):
        yield "ssh_config shares connections (ControlPath)"
    if config.first("proxycommand"):
        yield "ssh_config has a ProxyCommand"
    # Debian switches it on for everybody; it matters to those who have a ticket.
    if config.is_on("gssapiauthentication") and means.has_ticket:
        yield "ssh_config has GSSAPIAuthentication, and there is a Kerberos ticket"
    if config.first("pkcs11provider"):
        yield "ssh_config has a PKCS11Provider"
    if config.first("securitykeyprovider", "internal") != "internal":
        yield "ssh_config has a SecurityKeyProvider"
    if config.is_on("hostbasedauthentication"):
        yield "ssh_config has HostbasedAuthentication"
    for name in ("RevokedHostKeys", "KnownHostsCommand"):
        if config.first(name.lower()):
            yield f"ssh_config has {name}"


def _is_on_token(path: Path) -> bool:
    try:
        return Path(f"{path}.pub").read_text(errors="replace").startswith("sk-")
    except OSError:
        return False


def _open_ssh(remote: SshRemote, options: ConnectOptions, clock: Clock) -> Transport:
    configs: dict[Hop, HostConfig] = {}

    def read(hop: Hop) -> HostConfig:
        if hop not in configs:
            configs[hop] = read_host_config(
                hop.host, user=hop.user, port=hop.port, path=options.ssh_config
            )
        return configs[hop]

    hop = Hop(remote.host, remote.user, remote.port)
    way = plan_way(hop, options, read)
    means = find_means()
    choice = choose_carrier(configs.values(), way, options, means)
    can_ask = not options.batch and terminal.has_terminal()
    command = make_command(remote, options)

    def open_openssh(reason: str) -> Transport:
        assert means.ssh is not None  # noqa: S101 - or it had not been chosen
        return OpensshTransport(
            means.ssh,
            hop,
            command,
            target=way[-1],
            config=read(hop),
            options=options,
            can_ask=can_ask,
            reason=reason,
            clock=clock,
        )

    if choice.kind == "ssh":
        return open_openssh(choice.reason)
    is_bound = options.transport != "auto" or means.ssh is None
    return _open_paramiko(
        way, command, choice, can_ask=can_ask, otherwise=None if is_bound else open_openssh
    )


def find_means() -> Means:
    """Find out what this machine has."""
    cache = environment().get("KRB5CCNAME", "")
    return Means(
        ssh=find_ssh(),
        has_paramiko=find_spec("paramiko") is not None,
        has_ticket=bool(cache) or Path(f"/tmp/krb5cc_{os.getuid()}").exists(),  # noqa: S108
    )


def _open_paramiko(
    way: tuple[SshTarget, ...],
    command: str,
    choice: Choice,
    *,
    can_ask: bool,
    otherwise: Callable[[str], Transport] | None,
) -> Transport:
    first = way[0]
    # The host answers while the library is imported: both take about as long as a round trip.
    connected = begin_tcp(first.host, first.port, timeout_s=first.connect_timeout_s)
    from hpctrack.sync.carriers.paramiko import transport as carrier  # noqa: PLC0415 - an extra
    from hpctrack.sync.carriers.paramiko.login import NeedsSshError, Person  # noqa: PLC0415
    from hpctrack.sync.carriers.paramiko.session import IncompatibleError  # noqa: PLC0415

    def answer(title: str, text: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        return terminal.answer_prompts(title, text, prompts, who=way[-1].shown)

    person = Person(terminal.ask_secret, answer) if can_ask else None
    try:
        return carrier.ParamikoTransport(
            way, command, person=person, connected=connected, reason=choice.reason
        )
    except (NeedsSshError, IncompatibleError) as error:
        if otherwise is None:
            raise
        return otherwise(error.message)
    except AuthError:
        if otherwise is None or not any(map(_is_on_token, way[-1].identities)):
            raise
        return otherwise("a key on a token is left to try")
